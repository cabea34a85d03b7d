"""build, check and inspect for programs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edgekit import config
from edgekit.api import given
from edgekit.api.given import Model, Samples
from edgekit.api.results import BuildResult, CheckResult, InspectResult
from edgekit.api.running import Progress, in_memory, in_python, session
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.nouns.description import Description
from edgekit.nouns.model import Constant, SourceOptions
from edgekit.nouns.profile import DeviceConfig
from edgekit.nouns.quantization import Quantization
from edgekit.nouns.results import Result
from edgekit.steps import reading
from edgekit.verbs import build as builds
from edgekit.verbs import check as checks
from edgekit.verbs import inspect as inspections

type Shapes = Mapping[str, Sequence[int]]
type Constants = Mapping[str, Constant | bool | int | float]


def build(
    model: Model,
    targets: str | Iterable[str],
    *,
    precision: str | None = None,
    io: str | None = None,
    recipe: str | Path | None = None,
    passes: Mapping[str, Mapping[str, Any]] | None = None,
    qat: bool = False,
    prune: float | None = None,
    prune_channels: float | None = None,
    data: Samples = None,
    teacher: str | Path | None = None,
    calibration: Samples = None,
    eval: Samples = None,  # noqa: A002  the name of the option
    metric: str | Callable[..., float] | None = None,
    budget: Mapping[str, Any] | None = None,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    min_sqnr: float | None = None,
    effort: str | None = None,
    time_limit: str | None = None,
    allow_loss: bool = False,
    min_mapped: float | None = None,
    shapes: Shapes | None = None,
    constants: Constants | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    custom_objects: str | None = None,
    optimize_graph: bool = True,
    keep_layout: bool = False,
    allow_unsafe: bool = False,
    max_memory: str | None = None,
    max_seconds: float | None = None,
    description: Description | Mapping[str, Any] | None = None,
    calibration_samples: int = 256,
    quantization: Quantization | Mapping[str, Any] | None = None,
    seed: int = 0,
    require_compiled: bool = False,
    embed_preprocessing: bool = False,
    integration: bool = True,
    sample_app: bool = False,
    output: str | Path | None = None,
    profile: bool = False,
    device: str | None = None,
    quick: bool = False,
    verify_on: str | None = None,
    devices: Mapping[str, DeviceConfig | Mapping[str, Any]] | None = None,
    cache_limit: str | None = None,
    progress: Progress = False,
) -> BuildResult:
    """Turn a model into verified artifacts for one or more targets.

        result = edgekit.build("model.onnx", "android", calibration=x_train[:200], eval=(x_test, y_test), metric="top1")
        result["android"]["int8"].path, result["android"]["int8"].verification.sqnr_db

    Every key of ``edgekit.toml`` is a keyword of the same name and meaning (``output_folder`` is ``output`` here, and
    its tables ``[[input]]``, ``[[output]]`` and ``[metadata]`` are ``description``); the file itself is not read.

    Args:
        model: a path, a Keras model, or an ONNX ``ModelProto``.
        targets: a name or several (`edgekit.targets`), ``"all"``, or paths of target files.
        precision: the only one to build, instead of what each target proposes.
        io: dtype of an int8 file's inputs and outputs: ``float32``, ``int8`` or ``uint8``.
        recipe: what is done to the network before files are made of it: a recipe's name, or a path; nothing without.
        passes: settings of the recipe's passes by name, such as ``{"qat": {"epochs": 3}}``.
        qat: instead of a recipe: train with the arithmetic of the integers.
        prune: instead of a recipe: the share of weights that are to be zero.
        prune_channels: instead of a recipe: the share of multiply-accumulates that is to go, with whole channels.
        data: samples to train on, in the same forms as ``calibration``; those of calibration without.
        teacher: the path of another network whose outputs training is to meet.
        calibration: samples, from which the ranges of activations are taken: a path or ``module:function``; an array
            ``[N, ...]``; a dict of arrays by input name; a tuple of arrays, one for each input; an iterable of samples
            or batches; or a function that returns any of them.
        eval: labelled samples in the same forms, labels under ``y`` in a dict and last in a tuple.
        metric: ``top1``, ``top5``, ``auc``, ``mae``, ``mse``, ``module:function``, or a function of the outputs (arrays
            ``[N, *shape]`` by name) and the labels; it returns a number and has an attribute ``higher_is_better``.
        budget: what is demanded of each file, by the keys of `edgekit.nouns.budget.Demands`; or of those of one target,
            under its name: ``{"max_size": "4M", "edgetpu": {"min_mapped": 0.9}}``.
        max_drop: the largest loss of the metric that is no failure.
        min_agreement: the least share (0..1) of choices (top-1 classes) that are the source's.
        min_sqnr: the least SQNR in dB of the worst output.
        effort: how far to search for files that meet the budget: ``quick``, ``normal`` or ``thorough``; without it and
            without ``time_limit`` each file is built once.
        time_limit: when that search ends, such as ``"10m"``.
        allow_loss: publish quantized files even if verification calls them of no use (``fail``).
        min_mapped: the least share (0..1) of the network that its accelerator must take.
        shapes: of inputs by name, for dimensions that the model leaves open.
        constants: values by name of inputs that are bound to them for good.
        inputs: names of tensors that become the inputs, in place of the model's own.
        outputs: names of tensors that become the outputs (``inspect(model, tensors=True)`` lists them).
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        optimize_graph: rewrite the network into fewer operators that compute the same.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit what does not only compute in this model: bytecode, operators on files.
        max_memory: what a process that reads models may use, such as ``"24G"``.
        max_seconds: what one inference may take, apart from what its operators explain; 10 without.
        description: what inputs and outputs mean: ``{"input": [...], "output": [...], "metadata": {...}}`` with the
            tables of ``edgekit.toml``, or an `edgekit.nouns.description.Description`.
        calibration_samples: the most samples that calibration uses, chosen by their contents.
        quantization: how quantized files are made, by the keys of `edgekit.nouns.quantization.Quantization`.
        seed: drives every random choice.
        require_compiled: fail if a target's compiler is missing, instead of noting it.
        embed_preprocessing: make OpenVINO files that take the bytes of images, and normalize them themselves.
        integration: write code that takes the files into an app, for targets that have some.
        sample_app: write a small app of its own beside that code.
        output: where results go, instead of ``dist/MODEL/TARGET``.
        profile: measure what was built on ``device``.
        device: where to measure; this host without.
        quick: measure for seconds only.
        verify_on: a device whose outputs must be this host's.
        devices: boards beside those of your own ``devices.toml``, by id.
        cache_limit: what the cache may keep, such as ``"50G"``.
        progress: True shows a bar, or lines in a notebook; a function gets every `edgekit.api.ProgressEvent`.

    Returns:
        A mapping of target → folder → file. It holds the errors of targets that failed, while others were built;
        ``result["edgetpu"]`` raises that target's error. A missed budget is the ``verdict`` of a file's verification.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read the model are not installed.
        Unsupported: no target takes the model or an option.
        DeviceError: a device that is named cannot be used; nothing was built.
    """
    options = {name: value for name, value in locals().items() if name in Project.__struct_fields__}
    options |= {"model": None, "targets": _listed(targets), "output_folder": output, **described(description)}
    with opened(model, progress, cache_limit=cache_limit, max_memory=max_memory, max_seconds=max_seconds) as (
        running,
        path,
        folder,
    ):
        return _build(running, options, path, folder)


@contextmanager
def opened(model: Model, progress: Progress, **limits: Any) -> Iterator[tuple[Session, Path, Path]]:
    """A session, the model's file, and a folder for what else the program holds in memory."""
    with session(progress, **limits) as running, in_memory(running) as folder:
        yield running, given.model_file(model, folder), folder


def described(description: Description | Mapping[str, Any] | None) -> dict[str, Any]:
    """The tables of a description under the names that they have in ``edgekit.toml``.

    Raises:
        InputError: it holds something else.
    """
    keys = ("input", "output", "metadata")
    if description is None:
        return dict.fromkeys(keys)
    if isinstance(description, Description):
        return {"input": description.inputs, "output": description.outputs, "metadata": description.card}
    unknown = [str(key) for key in description if key not in keys]
    if unknown:
        raise InputError(
            f"description has an unknown key {unknown[0]!r}.", place="description", fix=f"use {', '.join(keys)}"
        )
    return {key: description.get(key) for key in keys}


def _listed(targets: str | Iterable[str]) -> list[str]:
    return [targets] if isinstance(targets, str) else list(targets or ())


def in_project(running: Session, options: dict[str, Any], path: Path, folder: Path) -> tuple[Project, builds.InMemory]:
    """The options as a project, and what the program holds in memory of what these name."""
    held = {name: options[name] for name in ("data", "calibration", "eval") if _held(options[name])}
    metric = options["metric"] if callable(options["metric"]) else None
    project = _project(options | dict.fromkeys(held) | ({} if metric is None else {"metric": None}))
    labels = {name: f"{name} data of the calling program" for name in held}
    labels |= {} if metric is None else {"metric": "a function of the calling program"}
    project = msgspec.structs.replace(project, **labels)
    files = {}
    if held:
        signature = reading.open_network(running, path, project.source_options).model.signature
        files = {name: given.samples_file(data, signature, folder, name) for name, data in held.items()}
    return project, builds.InMemory(files, metric)


def _build(running: Session, options: dict[str, Any], path: Path, folder: Path) -> BuildResult:
    project, in_memory = in_project(running, options, path, folder)
    if not (project.profile or project.verify_on):
        return BuildResult(tuple(_in_python(builds.build(running, project, path, in_memory))))
    from edgekit.verbs import after_build  # noqa: PLC0415  statistics and plots, which few builds need

    found = after_build.find_devices(running, project, {"verify_on": "verify_on", "device": "device"})
    results = builds.build(running, project, path, in_memory)
    seen = after_build.measure_built(running, project, found, results, in_memory.files)
    return BuildResult(tuple(_in_python(after_build.refreshed(results))), seen.measured, seen.verified, seen.errors)


def _in_python(results: Iterable[Result]) -> Iterator[Result]:
    for row in results:
        if row.error is not None:
            in_python(row.error)
        yield row


def _held(data: Samples) -> bool:
    return data is not None and not given.is_named(data)


def _project(options: Mapping[str, Any]) -> Project:
    """The options that were given, checked as those of a file are.

    Raises:
        InputError: one is wrong.
    """
    return config.from_keywords({name: plain(value) for name, value in options.items() if value is not None})


def plain(value: Any) -> Any:
    """Paths as text, tuples as lists, nouns as tables, as a file holds them."""
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.item() if getattr(value, "ndim", None) == 0 else value  # a number of numpy's


def check(
    model: Model,
    targets: str | Iterable[str] = "all",
    *,
    shapes: Shapes | None = None,
    constants: Constants | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    custom_objects: str | None = None,
    keep_layout: bool = False,
    allow_unsafe: bool = False,
    max_memory: str | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> CheckResult:
    """Tell whether targets take a model, and where its operators would run. Needs no data, writes no artifact.

    Args:
        model: a path, a Keras model, or an ONNX ``ModelProto``.
        targets: a name or several; all without.
        shapes: of inputs by name, for dimensions that the model leaves open.
        constants: values by name of inputs that are bound to them for good.
        inputs: names of tensors that become the inputs, in place of the model's own.
        outputs: names of tensors that become the outputs (``inspect(model, tensors=True)`` lists them).
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit what does not only compute in this model: bytecode, operators on files.
        max_memory: what a process that reads models may use, such as ``"24G"``.
        max_seconds: what one inference may take, apart from what its operators explain; 10 without.
        progress: as in `build`.

    Returns:
        A sequence of `edgekit.nouns.results.Check`, one for each file of each target; ``works`` if all do.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    options = {name: value for name, value in locals().items() if name in Project.__struct_fields__}
    options |= {"model": None, "targets": _listed(targets)}
    with opened(model, progress, max_memory=max_memory, max_seconds=max_seconds) as (running, path, _):
        return CheckResult(tuple(checks.check(running, _project(options), path)))


def inspect(
    model: Model,
    *,
    tensors: bool = False,
    shapes: Shapes | None = None,
    constants: Constants | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    custom_objects: str | None = None,
    keep_layout: bool = False,
    allow_unsafe: bool = False,
    max_memory: str | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> InspectResult:
    """Describe a model: signature, operators, parameters, MACs, peak activation memory and size.

    Args:
        model: a path, a Keras model, or an ONNX ``ModelProto``; or a folder that `build` wrote, of which is told how
            its files came to be.
        tensors: list the tensors instead, by which ``inputs`` and ``outputs`` cut.
        shapes: of inputs by name, for dimensions that the model leaves open.
        constants: values by name of inputs that are bound to them for good.
        inputs: names of tensors that become the inputs, in place of the model's own.
        outputs: names of tensors that become the outputs (``inspect(model, tensors=True)`` lists them).
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit what does not only compute in this model: bytecode, operators on files.
        max_memory: what a process that reads models may use, such as ``"24G"``.
        max_seconds: what one inference may take, apart from what its operators explain; 10 without.
        progress: as in `build`.

    Returns:
        ``model`` and ``cost`` are the fields of `edgekit.nouns.results.Inspection`; of a folder there is its
        ``manifest``.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    options = {name: value for name, value in locals().items() if name in Project.__struct_fields__ and name != "model"}
    with opened(model, progress, max_memory=max_memory, max_seconds=max_seconds) as (running, path, _):
        if inspections.is_artifact(path):
            return InspectResult(None, manifest=inspections.read_artifact(path))
        how: SourceOptions = _project(options).source_options
        if tensors:
            return InspectResult(None, inspections.list_tensors(running, path, how))
        return InspectResult(inspections.inspect(running, path, how))
