"""profile, compare and devices for programs."""

from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edgekit import config
from edgekit.api import given
from edgekit.api.given import Samples
from edgekit.api.results import CompareResult, DevicesResult, ProfileResult
from edgekit.api.running import Progress, in_memory, session
from edgekit.config import toml
from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.measure import discovery, record
from edgekit.measure.protocol import FULL, QUICK, MeasurementSettings, adjusted
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Delegate, Device
from edgekit.verbs import compare as comparisons
from edgekit.verbs import devices as attached
from edgekit.verbs import profile as profiles

type Artifact = str | PathLike[str]
"""A folder that `build` wrote, a file in it, or a ``.tflite``, ``.xml`` or ``.onnx`` file."""


def profile(
    artifact: Artifact,
    *,
    device: str | None = None,
    quick: bool = False,
    threads: int = 1,
    delegate: Delegate | None = None,
    cores: tuple[int, ...] = (),
    require_full_delegation: bool = False,
    energy: bool = False,
    meter: str | None = None,
    ops: bool = False,
    model_energy: bool = False,
    input: Samples = None,  # noqa: A002  the name of the option
    shapes: dict[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    benchmark_binary: str | Path | None = None,
    output: str | Path | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> ProfileResult:
    """Measure latency, memory and energy of an artifact on a device, and record the profile.

        edgekit.profile(result["android"]["int8"], quick=True).latency_ms.median

    Args:
        artifact: a file or folder that `build` returned, or the path of one; a ``.tflite``, ``.xml`` or ``.onnx`` file.
        device: its id (`devices`); this host without.
        quick: an answer within seconds; no figure to publish.
        threads: of the CPU.
        delegate: what takes operators off LiteRT's own kernels; without, the one that the file is made for.
        cores: CPUs of the device to which the process is pinned.
        require_full_delegation: an error if the delegate leaves operators.
        energy: measure energy too, with the best meter there.
        meter: measure energy with this meter.
        ops: time every operator too, in a run of its own.
        model_energy: if nothing is measured, estimate energy from MACs and bytes moved.
        input: samples to run on, in the forms of `build`'s ``calibration``; random ones without. If the artifact
            is a folder of several files, a path.
        shapes: of an ONNX file's inputs, for dimensions that it leaves open.
        seed: for random inputs and the order of blocks.
        benchmark_binary: Android's tool: a file, or ``"download"``.
        output: the folder for profiles; ``profiles/`` in an artifact's folder without.
        max_seconds: as in `build`.
        progress: as in `build`.

    Returns:
        A sequence of `edgekit.nouns.results.Measured`, one for each file; of a single file also its
        ``latency_ms`` and ``profile``.

    Raises:
        InputError: there is no such file or device, or an option does not fit.
        DeviceError: the device went away, or is not usable.
        MissingTool: the device has no runtime for the file.
        Unsupported: the device cannot run the file.
    """
    said = {name: value for name, value in locals().items() if name in _Said.__struct_fields__}
    settings = _settings(said, input, quick=quick, ops=ops)
    with session(progress, max_seconds=max_seconds) as running, in_memory(running) as folder:
        chosen = _device(running, device, settings)
        files = subjects(running, Path(artifact), chosen.runs, SourceOptions(shapes=shapes or {}))
        settings = _with_inputs(settings, input, files, folder)
        return ProfileResult(tuple(profiles.profile(running, chosen, files, settings)))


def compare(
    a: Artifact,
    b: Artifact,
    *,
    device: str | None = None,
    quick: bool = False,
    threads: int = 1,
    delegate: Delegate | None = None,
    cores: tuple[int, ...] = (),
    require_full_delegation: bool = False,
    energy: bool = False,
    meter: str | None = None,
    input: Samples = None,  # noqa: A002  the name of the option
    shapes: dict[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    benchmark_binary: str | Path | None = None,
    output: str | Path | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> CompareResult:
    """Tell whether A is faster than B on a device, or whether no difference is shown.

    Both are measured in blocks that take turns. Two profiles (``.json``) that one call recorded are only read.

    Args:
        a: a file (see `profile`), or a recorded profile.
        b: the same.
        device: its id (`devices`); this host without.
        quick: an answer within seconds; no figure to publish.
        threads: of the CPU.
        delegate: what takes operators off LiteRT's own kernels; without, the one that the file is made for.
        cores: CPUs of the device to which the process is pinned.
        require_full_delegation: an error if the delegate leaves operators.
        energy: measure energy too, with the best meter there.
        meter: measure energy with this meter.
        input: samples to run on, in the forms of `build`'s ``calibration``; random ones without.
        shapes: of an ONNX file's inputs, for dimensions that it leaves open.
        seed: for random inputs and the order of blocks.
        benchmark_binary: Android's tool: a file, or ``"download"``.
        output: the folder for profiles; ``profiles/`` in an artifact's folder without.
        max_seconds: as in `build`.
        progress: as in `build`.

    Returns:
        ``verdict`` (of A) and ``comparison``, with the ratio of latencies and its 95 % interval.

    Raises:
        As `profile`; and
        InputError: a folder holds several files, or two profiles were not measured in turns.
    """
    said = {name: value for name, value in locals().items() if name in _Said.__struct_fields__}
    paths = Path(a), Path(b)
    with session(progress, max_seconds=max_seconds) as running, in_memory(running) as folder:
        if all(path.suffix == ".json" for path in paths):
            left, right = (record.read(path) for path in paths)
            found = comparisons.compare_profiles(left, right)
            return CompareResult(found, (left.artifact, right.artifact), left.device.title)
        settings = _settings(said, input, quick=quick)
        chosen = _device(running, device, settings)
        options = SourceOptions(shapes=shapes or {})
        pair = comparisons.pair(running, paths, chosen, options)
        settings = _with_inputs(settings, input, list(pair), folder)
        measured, found = comparisons.compare(running, chosen, pair, settings)
        return CompareResult(found, comparisons.names(pair), chosen.title, tuple(measured))


def devices(*, progress: Progress = False) -> DevicesResult:
    """What is attached, what each device can run, its meters, and what is wrong with it.

    Args:
        progress: as in `build`.

    Returns:
        A mapping of id → `edgekit.nouns.profile.Device`.

    Raises:
        InputError: something in your own ``devices.toml`` is wrong.
    """
    with session(progress) as running:
        return DevicesResult(tuple(attached.devices(running, config.devices())))


class _Said(msgspec.Struct, frozen=True):
    """Keywords that `edgekit.measure.protocol.adjusted` takes."""

    threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    delegate: Delegate | None = None
    cores: tuple[int, ...] = ()
    require_full_delegation: bool = False
    energy: bool = False
    meter: str | None = None
    model_energy: bool = False
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    benchmark_binary: str | None = None
    output: str | None = None


def _settings(said: dict[str, Any], samples: Samples, *, quick: bool, ops: bool = False) -> MeasurementSettings:
    said = {name: fspath(value) if hasattr(value, "__fspath__") else value for name, value in said.items()}
    for field in msgspec.structs.fields(_Said):
        if said.get(field.name) is not None:
            toml.check(said[field.name], field.type, Path("edgekit"), field.name)
    inputs = str(Path(samples)) if samples is not None and given.is_named(samples) else None
    return adjusted(QUICK if quick else FULL, **said, operators=ops, inputs=inputs)


def _with_inputs(
    settings: MeasurementSettings, samples: Samples, files: list[Measurable], folder: Path
) -> MeasurementSettings:
    """The settings with the samples that the program holds, as a file.

    Raises:
        InputError: the files have different inputs.
    """
    if samples is None or given.is_named(samples):
        return settings
    first = files[0].signature
    if any([s.source_name for s in f.signature.inputs] != [s.source_name for s in first.inputs] for f in files):
        raise InputError("The files have different inputs.", place="input", fix="measure one after the other")
    return replace(settings, inputs=str(given.samples_file(samples, first, folder, "input")))


def _device(running: Session, device: str | None, settings: MeasurementSettings) -> Device:
    found = discovery.choose(running, config.devices(), device, "device")
    profiles.require_fit(found, settings)
    return found
