"""What users write down: targets, projects, devices.

Three kinds of file are read: one TOML per target (`target`), a project's ``edgekit.toml``
(`project`), whose keys are documented in `Project`, and the user's own ``devices.toml`` (`devices`).
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgekit import cachedir, sandbox, toml
from edgekit.errors import InputError
from edgekit.naming import Constant
from edgekit.ownership import writing
from edgekit.profiles import KEYS, DeviceConfig
from edgekit.types import Boundary, Noun, Precision, Preprocessing, SourceOptions, Target

FILE_NAME = "edgekit.toml"
"""What a project's file is called inside its folder."""

ANY_INPUT = "*"
"""The key of `Project.preprocessing` that stands for every input without a table of its own."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""A dimension or a count; TFLite stores dimensions as int32."""


class Project(Noun, frozen=True, kw_only=True):
    """Every option of ``edgekit build``, as ``edgekit.toml`` gives it. Flags win over the file.

    Every key is optional. Paths are relative to the file and come out absolute.

    Keys:
        model: the trained network, a path.
        targets: names of targets (``edgekit targets`` lists them), or paths of target files.
        precision: one for all variants, instead of what each target proposes.
        io: dtype of a full-integer artifact's inputs and outputs: float32, int8 or uint8.
        calibration: samples for quantization, a path or ``module:function``.
        eval: labelled samples for the task metric, a path or ``module:function``.
        metric: top1, top5, auc, mae or mse.
        max_drop: the largest loss of the metric that is no failure, 0 or more (0.01: one point of a share).
        allow_loss: publish quantized files that verification calls of no use (``fail``) all the same.
        min_mapped: the least share (0..1) of a network that its accelerator must take, of multiply-accumulates
            where they are known, else of operators.
        shapes: a table of input name → shape, for dimensions that the model leaves open.
        constants: a table of input name → value, or list of values, that the input is bound to for good.
        inputs: names of tensors that become the inputs, in place of the model's own.
        outputs: names of tensors that become the outputs (``edgekit inspect --tensors`` lists them).
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit what does not only compute in this model: a Lambda layer's bytecode, operators on files.
        max_memory: what a process that reads models may use, such as ``"24G"``; 80 % of the machine's without.
        preprocessing: how raw samples become inputs, ``[preprocessing.INPUT]`` for each input, or one
            plain ``[preprocessing]`` for all (kept under the name ``*``). Its keys are those of
            `edgekit.types.Preprocessing`: size, channels, scale, mean, std, layout.
        calibration_samples: the most samples that calibration uses, taken evenly from the data.
        seed: drives every random choice.
        require_compiled: fail (exit 3) where a target's compiler is missing, instead of noting it.
        output: where results go, instead of ``dist/MODEL/TARGET``.
        profile: measure what was built on ``device``.
        device: where to measure, this host without; ``edgekit devices`` lists them.
        quick: measure for seconds only.
        verify_on: a device whose outputs must be this host's, such as ``arm64-emulated``.
        devices: boards that this project measures on, ``[devices.ID]`` for each; its keys are those of
            `edgekit.profiles.DeviceConfig`. An ID is of letters, digits, . _ and -; ``local`` is this host.
    """

    model: str | None = None
    targets: tuple[str, ...] = ()
    precision: Precision | None = None
    io: Boundary | None = None
    calibration: str | None = None
    eval: str | None = None
    metric: Literal["top1", "top5", "auc", "mae", "mse"] | None = None
    max_drop: Annotated[float, msgspec.Meta(ge=0)] | None = None
    allow_loss: bool = False
    min_mapped: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    shapes: dict[str, tuple[Positive, ...]] = {}
    constants: dict[str, bool | int | float | Constant] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    custom_objects: str | None = None
    keep_layout: bool = False
    allow_unsafe: bool = False
    max_memory: str | None = None
    preprocessing: dict[str, Preprocessing] = {}
    calibration_samples: Positive = 256
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    require_compiled: bool = False
    output: str | None = None
    profile: bool = False
    device: str | None = None
    quick: bool = False
    verify_on: str | None = None
    devices: dict[str, DeviceConfig] = {}

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
    content = toml.read(file)
    tables = content.get("preprocessing")
    if isinstance(tables, dict) and tables and not any(isinstance(value, dict) for value in tables.values()):
        toml.check(tables, Preprocessing, file, "preprocessing")
        content["preprocessing"] = {ANY_INPUT: tables}
    made: Project = toml.convert(content, Project, file)
    for name, table in made.preprocessing.items():
        _check_preprocessing(table, file, "preprocessing" if name == ANY_INPUT else f"preprocessing.{name}")
    if made.max_memory is not None:
        memory_bytes(made.max_memory, f"{file}: max_memory")
    folder = file.resolve().parent
    return msgspec.structs.replace(
        made,
        targets=tuple(_absolute(name, folder) if name.endswith(".toml") else name for name in made.targets),
        devices=_devices(made.devices, file, folder),
        **{key: _absolute(getattr(made, key), folder) for key in ("model", "calibration", "eval", "output")},
    )


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


class DeviceFile(Noun, frozen=True, kw_only=True):
    """What ``devices.toml`` holds: a table ``[devices.ID]`` for each device that is not discovered by itself."""

    devices: dict[str, DeviceConfig] = {}


def devices_file() -> Path:
    """The user's own ``devices.toml``: in ``EDGEKIT_CONFIG``, or the platform's folder for settings."""
    named = os.environ.get("EDGEKIT_CONFIG")
    if named:
        return Path(named) / "devices.toml"
    import platformdirs  # noqa: PLC0415  only measuring needs it

    return platformdirs.user_config_path("edgekit") / "devices.toml"


def devices(given: Project | None = None) -> dict[str, DeviceConfig]:
    """Every configured device by id: those of a project, and above them the user's own.

    Raises:
        InputError: something in the file is wrong; the key and the remedy are named.
    """
    file = devices_file()
    found: DeviceFile = toml.convert(toml.read(file), DeviceFile, file) if file.is_file() else DeviceFile()
    return (given.devices if given is not None else {}) | _devices(found.devices, file, file.parent)


def _devices(found: dict[str, DeviceConfig], file: Path, folder: Path) -> dict[str, DeviceConfig]:
    """The devices of a file with proper names, and with paths of this host below ``folder``."""
    made = {}
    for name, device in found.items():
        place = f"{file}: {toml.join('devices', name)}"
        check_device_name(name, place)
        place_of = partial(toml.join, place)
        check_device_keys(device.kind, device_table(device).keys() - {"kind"}, place_of)
        made[name] = _reachable(device, folder, place_of)
    return made


def check_device_name(name: str, place: str) -> None:
    """Refuse a name that no device can have.

    Raises:
        InputError: it is no plain word, or that of this host.
    """
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII) or name == "local":
        fix = "use letters, digits, . _ and -; local is this host"
        raise InputError(f"{name!r} is no name for a device.", place=place, fix=fix)


def check_device_keys(
    kind: str, given: Iterable[str], place: Callable[[str], str], written: Callable[[str], str] = str
) -> None:
    """Refuse keys that a kind of device would not read.

    Args:
        kind: of the device; unknown ones and a third party's may read any.
        given: the keys.
        place: gives a key's place.
        written: gives a key as the user writes it.

    Raises:
        InputError: one is of another kind.
    """
    for key in sorted(given):
        if key not in KEYS.get(kind, (key,)):
            raise InputError(
                f"A device of kind {kind} has no {key.replace('_', ' ')}.",
                place=place(key),
                fix=f"leave it out; this kind takes {', '.join(map(written, sorted(KEYS[kind])))}",
            )


def _reachable(device: DeviceConfig, folder: Path, place: Callable[[str], str]) -> DeviceConfig:
    """A device whose files on this host are absolute paths, relative ones being below ``folder``.

    ``place`` gives a key's place, for complaints.
    """
    here = ("key", "known_hosts", *(("python", "delegate_library") if device.kind == "local" else ()))
    given = {name: value for name in here if (value := getattr(device, name)) is not None and "/" in value}
    given |= {name: value for name in ("key", "known_hosts") if (value := getattr(device, name)) is not None}
    paths = {name: _below(folder, value, place(name)) for name, value in given.items()}
    return msgspec.structs.replace(device, **paths)


def _below(folder: Path, value: str, place: str) -> str:
    try:
        return str(folder / Path(value).expanduser())
    except RuntimeError as error:  # ~name, and nobody here has that name
        raise InputError(f"There is no home folder for {value}.", place=place, fix="write the whole path") from error


def write_device(name: str, made: DeviceConfig) -> None:
    """Put a device into the user's own ``devices.toml``; what else stands there stays as it is.

    Raises:
        InputError: the name is no plain word, or the file cannot be read or written.
    """
    check_device_name(name, "NAME")
    reachable = _reachable(made, Path.cwd(), lambda key: f"--{key.replace('_', '-')}")

    def put(tables: Any) -> None:
        tables[name] = device_table(reachable)

    _edit_devices(put)


def device_table(device: DeviceConfig) -> dict[str, Any]:
    """What a device's table holds: its kind, and every key that is not as it would be without."""
    plain = msgspec.to_builtins(device)
    defaults = msgspec.to_builtins(DeviceConfig(kind=device.kind))
    return {key: value for key, value in plain.items() if key == "kind" or value != defaults[key]}


def remove_device(name: str) -> None:
    """Take a device out of the user's own ``devices.toml``.

    Raises:
        InputError: it is not there.
    """
    known = tuple(devices())
    if name not in known:
        raise InputError(
            f"{devices_file().name} holds no device {name}.",
            place=str(devices_file()),
            fix=toml.nearest(name, known, 0.75) or f"it holds: {', '.join(known) or 'nothing'}",
        )
    _edit_devices(lambda tables: tables.pop(name))


def _edit_devices(change: Callable[[Any], object]) -> None:
    """Change the table of devices; comments and order are kept, and the file is replaced whole."""
    import tomlkit  # noqa: PLC0415  only here, and a tenth of a second

    file = devices_file()
    devices()  # complains about a file that is wrong, before it is changed
    file.parent.mkdir(parents=True, exist_ok=True)
    with writing(file.parent):
        document = tomlkit.parse(file.read_text(encoding="utf8")) if file.is_file() else tomlkit.document()
        if "devices" not in document:
            document["devices"] = tomlkit.table(is_super_table=True)
        change(document["devices"])
        aside = file.with_name(f".{file.name}.new")
        aside.write_text(tomlkit.dumps(document), encoding="utf8")
        aside.replace(file)


def cache_folder() -> Path:
    """``EDGEKIT_CACHE``, or the platform's cache folder for edgekit."""
    named = os.environ.get("EDGEKIT_CACHE")
    if named:
        return Path(named).absolute()  # workers run in other folders
    import platformdirs  # noqa: PLC0415  only where nothing is named

    return platformdirs.user_cache_path("edgekit")


def targets_path() -> tuple[Path, ...]:
    """The folders where targets are looked up: ``./targets`` first, then the packaged ones."""
    here = Path(__file__).resolve().parent
    candidates = (Path.cwd() / "targets", here / "_data" / "targets", here.parent / "targets")
    return tuple(dict.fromkeys(folder for folder in candidates if folder.is_dir()))


def target_names() -> tuple[str, ...]:
    """Every target that can be named, sorted."""
    return tuple(sorted({file.stem for folder in targets_path() for file in folder.glob("*.toml")}))


def target(name: str) -> Target:
    """The target of that name, or in the TOML file of that path.

    Raises:
        InputError: there is none (the nearest name is given), or something in its file is wrong.
    """
    for file in [Path(name)] if name.endswith(".toml") else [folder / f"{name}.toml" for folder in targets_path()]:
        if file.is_file() and (name.endswith(".toml") or name in target_names()):
            return _target(file)
    raise InputError(
        f"There is no target {name or repr(name)}.",
        place=f"targets looked up in: {', '.join(map(str, targets_path()))}",
        fix=toml.nearest(Path(name).stem, target_names()) or f"choose one of: {', '.join(target_names())}",
    )


def _target(file: Path) -> Target:
    made: Target = toml.convert(toml.read(file), Target, file)
    if made.name != file.stem:
        raise toml.wrong(file, "name", f'"{made.name}", but the file is named {file.name}', f'name = "{file.stem}"')
    if not made.variants:
        raise toml.wrong(file, "variants", "empty", "add a [[variants]] table with file, backend, precision and use")
    files = [variant.file for variant in made.variants]
    for i, name in enumerate(files):
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise toml.wrong(
                file, f"variants[{i}].file", f'"{name}"', "give a plain file name such as model_int8.tflite"
            )
        if name in files[:i]:
            raise toml.wrong(file, f"variants[{i}].file", f'"{name}" a second time', "give every variant its own file")
    return made


def _check_preprocessing(table: Preprocessing, file: Path, key: str) -> None:
    channels = {1, len(table.channels)}
    for name, numbers in {"mean": table.mean, "std": table.std}.items():
        if len(numbers) not in channels:
            raise toml.wrong(
                file, f"{key}.{name}", f"{len(numbers)} numbers long", f"1 number or {len(table.channels)}"
            )
    if 0.0 in table.std:
        raise toml.wrong(file, f"{key}.std", "0, and values are divided by it", "a number that is not 0")
    if table.scale == 0.0:
        raise toml.wrong(file, f"{key}.scale", "0, which makes every input 0", "a number that is not 0, such as 1.0")
    if table.size is not None and min(table.size) < 1:
        raise toml.wrong(file, f"{key}.size", toml.shown(list(table.size)), "[height, width] in pixels, 1 or more")


def _first(names: tuple[str, ...]) -> str:
    return names[0] if names else "android"


def is_function(value: str) -> bool:
    """Whether a value reads as ``module:function``."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value) is not None


def _absolute(value: str | None, folder: Path) -> str | None:
    """A path relative to the project's file; ``module:function`` stays as it is."""
    if value is None or is_function(value):
        return value
    return str(folder / value)
