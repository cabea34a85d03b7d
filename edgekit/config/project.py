"""A project's ``edgekit.toml``, whose keys are documented in `Project`."""

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edgekit.config import budgets, described, toml
from edgekit.config.devices import checked
from edgekit.config.targets import target_names
from edgekit.errors import InputError
from edgekit.host import cachedir, sandbox
from edgekit.nouns.base import Noun
from edgekit.nouns.budget import Demands
from edgekit.nouns.description import Description, Input, ModelCard, Output
from edgekit.nouns.ladder import Effort
from edgekit.nouns.model import Boundary, Constant, Precision, SourceOptions
from edgekit.nouns.profile import DeviceConfig
from edgekit.nouns.quantization import Quantization

FILE_NAME = "edgekit.toml"
"""What a project's file is called inside its folder."""


METRICS = ("top1", "top5", "auc", "mae", "mse", "miou", "map", "map50")
"""The task metrics that are built in."""


Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""A dimension or a count; TFLite stores dimensions as int32."""

InferenceSeconds = Annotated[float, msgspec.Meta(ge=1, le=86400)]
"""What one inference may take, beyond what its operators explain."""


class Project(Noun, frozen=True, kw_only=True):
    """Every option of ``edgekit build``, as ``edgekit.toml`` gives it. Flags win over the file.

    Every key is optional. Paths are relative to the file and come out absolute.

    Keys:
        model: the trained network, a path.
        targets: names of targets (``edgekit targets`` lists them), or paths of target files.
        precision: one for all variants, instead of what each target proposes.
        io: dtype of a full-integer artifact's inputs and outputs: float32, int8 or uint8.
        recipe: what is done to the network before files are made of it: a recipe's name (``edgekit recipes`` lists
            them), or the path of one of your own; ``ptq`` does nothing.
        passes: settings of that recipe's passes, ``[passes.NAME]`` for each; their keys are those of
            `edgekit.nouns.recipe`.
        qat: instead of a recipe: train with the arithmetic of the integers.
        prune: instead of a recipe: the share of weights that are to be zero.
        prune_channels: instead of a recipe: the share of multiply-accumulates that is to go, with whole channels.
        data: samples to train on, a path or ``module:function``, labelled or not; those of calibration without.
        teacher: another network, a path, whose outputs training is to meet; the source itself without.
        calibration: samples for quantization, a path or ``module:function``.
        eval: labelled samples for the task metric, a path or ``module:function``.
        metric: top1, top5, auc, mae, mse, miou (masks), map or map50 (boxes); or ``module:function``, called with the
            outputs (arrays ``[N, *shape]`` by name) and the labels, which returns a number and has an attribute
            ``higher_is_better``.
        budget: what is demanded of each file, ``[budget]``, and of those of one target, ``[budget.TARGET]``; its keys
            are those of `edgekit.nouns.budget.Demands`.
        max_drop: short for that key of ``[budget]``: the largest loss of the metric that is no failure, 0 or more
            (0.01: one point of a share).
        min_agreement: likewise: the least share (0..1) of choices that are the source's: the class with the highest
            score of each sample, or of each step or place behind a softmax, or whole numbers wider than 8 bits.
        min_sqnr: likewise: the least SQNR in dB, of the worst output, that is no failure.
        effort: how far to search for a file that meets the budget (max_drop, min_agreement, min_sqnr): quick, normal or
            thorough. Without it and without time_limit each file is built once.
        time_limit: when such a search ends, counted from the build's start, such as ``"90s"``, ``"10m"`` or
            ``"1h30m"``; the first file is built however long it takes. Alone it means thorough.
        allow_loss: publish quantized files that verification calls of no use (``fail``) all the same.
        min_mapped: short for that key of ``[budget]``: the least share (0..1) of a network that its accelerator must
            take, of multiply-accumulates if they are known, else of operators.
        shapes: a table of input name → shape, for dimensions that the model leaves open.
        constants: a table of input name → value, or list of values, that the input is bound to for good.
        inputs: names of tensors that become the inputs, in place of the model's own.
        outputs: names of tensors that become the outputs (``edgekit inspect --tensors`` lists them).
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        optimize_graph: rewrite the network into fewer operators that compute the same; true without.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit what does not only compute in this model: a Lambda layer's bytecode, operators on files.
        max_memory: what a process that reads models may use, such as ``"24G"``; 80 % of the machine's without.
        max_seconds: what one inference may take, apart from what its operators explain; 10 without.
        input: what the app gives to each of the model's inputs and how it becomes numbers, a table ``[[input]]`` for
            each, by its ``kind``: image, audio, tensor or tokens.
        output: what the numbers of each output mean, a table ``[[output]]`` for each, by its ``task``: classification,
            regression, embedding, segmentation, detection or keypoints.
        metadata: what people are told of the model, ``[metadata]``: name, description, version, author, license.
        calibration_samples: the most samples that calibration uses, chosen by their contents.
        quantization: how quantized files are made, ``[quantization]``; its keys are those of
            `edgekit.nouns.quantization.Quantization`.
        seed: drives every random choice.
        require_compiled: fail (exit 3) if a target's compiler is missing, instead of noting it.
        embed_preprocessing: make OpenVINO files that take the bytes of images, of the network's size, and normalize
            them themselves, as ``[[input]]`` says.
        integration: write code that takes the files into an app (``integration/``), for targets that have some; true
            without.
        sample_app: write a small app of its own beside that code, which shows how it is used.
        output_folder: where results go, instead of ``dist/MODEL/TARGET``.
        profile: measure what was built on ``device``.
        device: where to measure, this host without; ``edgekit devices`` lists them.
        quick: measure for seconds only.
        verify_on: a device whose outputs must be this host's, such as ``arm64-emulated``.
        devices: boards that this project measures on, ``[devices.ID]`` for each; its keys are those of
            `edgekit.nouns.profile.DeviceConfig`. An ID is of letters, digits, . _ and -; ``local`` is this host.
    """

    model: str | None = None
    targets: tuple[str, ...] = ()
    precision: Precision | None = None
    io: Boundary | None = None
    recipe: str | None = None
    passes: dict[str, dict[str, Any]] = {}
    qat: bool = False
    prune: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    prune_channels: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    data: str | None = None
    teacher: str | None = None
    calibration: str | None = None
    eval: str | None = None
    metric: str | None = None
    budget: dict[str, Demands] = {}
    max_drop: Annotated[float, msgspec.Meta(ge=0)] | None = None
    min_agreement: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    min_sqnr: Annotated[float, msgspec.Meta(ge=0)] | None = None
    effort: Effort | None = None
    time_limit: str | None = None
    allow_loss: bool = False
    min_mapped: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    shapes: dict[str, tuple[Positive, ...]] = {}
    constants: dict[str, bool | int | float | Constant] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    custom_objects: str | None = None
    optimize_graph: bool = True
    keep_layout: bool = False
    allow_unsafe: bool = False
    max_memory: str | None = None
    max_seconds: InferenceSeconds | None = None
    input: tuple[Input, ...] = ()
    output: tuple[Output, ...] = ()
    metadata: ModelCard = ModelCard()
    calibration_samples: Positive = 256
    quantization: Quantization = Quantization()
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    require_compiled: bool = False
    embed_preprocessing: bool = False
    integration: bool = True
    sample_app: bool = False
    output_folder: str | None = None
    profile: bool = False
    device: str | None = None
    quick: bool = False
    verify_on: str | None = None
    devices: dict[str, DeviceConfig] = {}

    def demands(self, target: str) -> Demands:
        """What it demands of the files of a target, by the target's name."""
        return budgets.of(self.budget, target, {key: getattr(self, key) for key in budgets.SHORT})

    @property
    def all_demands(self) -> tuple[Demands, ...]:
        """What it demands of the files of its targets, whichever they are; of a target without a table once."""
        names = self.budget if self.targets == ("all",) else [Path(name).stem for name in self.targets]
        return tuple(self.demands(name) for name in dict.fromkeys(["", *names]))

    @property
    def description(self) -> Description:
        """What it says of the model's inputs and outputs."""
        return Description(inputs=self.input, outputs=self.output, card=self.metadata)

    @property
    def source_options(self) -> SourceOptions:
        """What it says about how the model is read."""
        return SourceOptions(
            shapes=self.shapes,
            custom_objects=self.custom_objects,
            keep_layout=self.keep_layout,
            allow_unsafe=self.allow_unsafe,
            constants={name: value if isinstance(value, tuple) else (value,) for name, value in self.constants.items()},
            inputs=self.inputs,
            outputs=self.outputs,
        )


def project(folder_or_file: Path) -> Project:
    """Read ``edgekit.toml`` (a file, or the folder that holds it).

    Raises:
        InputError: there is none, or something in it is wrong; the key and the remedy are named.
    """
    file = folder_or_file / FILE_NAME if folder_or_file.is_dir() else folder_or_file
    if not file.is_file():
        raise InputError(
            f"There is no {file.name} in {file.parent.resolve()}.",
            place=str(file),
            fix=f'create it with, for instance: model = "model.keras" and targets = ["{_first(target_names())}"]',
        )
    return _project(toml.read(file), file)


def from_keywords(content: dict[str, Any], call: str = "edgekit.build") -> Project:
    """The same from a program's keywords, whose paths are relative to the current folder.

    Args:
        content: the keywords.
        call: whose they are, for complaints.

    Raises:
        InputError: something in it is wrong.
    """
    return _project(content, Path(call))


def _project(content: dict[str, Any], file: Path) -> Project:
    made: Project = toml.convert(budgets.by_target(described.with_files(content, file), file), Project, file)
    described.check(made.input, made.output, file)
    budgets.check(made.budget, made.targets, file)
    if made.metric is not None and made.metric not in METRICS and not is_function(made.metric):
        near = toml.nearest(made.metric, METRICS, 0.6) or f"one of: {', '.join(METRICS)}, or module:function"
        raise toml.wrong(file, "metric", toml.shown(made.metric), near)
    if made.time_limit is not None:
        seconds(made.time_limit, f"{file}: time_limit")
    if made.max_memory is not None:
        memory_bytes(made.max_memory, f"{file}: max_memory")
    folder = file.resolve().parent
    return msgspec.structs.replace(
        made,
        recipe=_absolute(made.recipe, folder) if (made.recipe or "").endswith(".toml") else made.recipe,
        targets=tuple(_absolute(name, folder) if name.endswith(".toml") else name for name in made.targets),
        devices=checked(made.devices, file, folder),
        **{key: _absolute(getattr(made, key), folder) for key in _PATHS},
    )


_PATHS = ("model", "data", "teacher", "calibration", "eval", "output_folder")

_UNITS_S = {"h": 3600, "m": 60, "s": 1}


def seconds(duration: str, place: str) -> float:
    """``10m`` or ``1h30m`` in seconds; a number alone counts seconds.

    Raises:
        InputError: it is no duration, or none at all; ``place`` is what said it.
    """
    number = r"(\d{1,6}(?:\.\d{1,3})?)"
    match = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", duration.strip().lower(), flags=re.ASCII)
    if match is None or not any(match.groups()):
        raise InputError(f"{duration!r} is no duration.", place=place, fix="write for instance 90s, 10m or 1h30m")
    found = sum(float(part or 0) * unit for part, unit in zip(match.groups(), _UNITS_S.values(), strict=True))
    if not found:
        raise InputError("A search cannot be done in no time.", place=place, fix="give it 10m, or leave the limit out")
    return found


def memory_bytes(size: str, place: str) -> int:
    """``24G`` in bytes, for a limit of memory; never more than the machine has.

    Raises:
        InputError: it is no size, or too little to load any library; ``place`` is what said it.
    """
    wanted = cachedir.parsed(size, place)
    if wanted < sandbox.LEAST_MEMORY:
        raise InputError(
            f"{size} of memory is too little to load the libraries that read models.",
            place=place,
            fix=f"give {sandbox.LEAST_MEMORY >> 30}G or more",
        )
    return min(wanted, sandbox.machine_memory())


def _first(names: tuple[str, ...]) -> str:
    return names[0] if names else "android"


def is_function(value: str) -> bool:
    """Whether a value reads as ``module:function`` (dots allowed on both sides)."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value) is not None


def _absolute(value: str | None, folder: Path) -> str | None:
    """A path relative to the project's file; ``module:function`` stays as it is."""
    if value is None or is_function(value):
        return value
    return str(folder / value)
