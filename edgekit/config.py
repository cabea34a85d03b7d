"""TOML to nouns. A complaint names the file, the key by its dotted path, and the nearest right key.

Two kinds of file are read: one TOML per target (`target`), and a project's ``edgekit.toml``
(`project`), whose keys are documented in `Project`.
"""

import difflib
import math
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgekit.errors import InputError
from edgekit.types import Boundary, Noun, Precision, Preprocessing, Target

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
        shapes: a table of input name → shape, for dimensions that the model leaves open.
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        keep_layout: keep the source's layout (NCHW) at the artifact's boundary.
        allow_unsafe: permit a Lambda layer's bytecode from this model file.
        preprocessing: how raw samples become inputs, ``[preprocessing.INPUT]`` for each input, or one
            plain ``[preprocessing]`` for all (kept under the name ``*``). Its keys are those of
            `edgekit.types.Preprocessing`: size, channels, scale, mean, std, layout.
        calibration_samples: the most samples that calibration uses, taken evenly from the data.
        seed: drives every random choice.
        require_compiled: fail (exit 3) where a target's compiler is missing, instead of noting it.
        output: where results go, instead of ``dist/MODEL/TARGET``.
    """

    model: str | None = None
    targets: tuple[str, ...] = ()
    precision: Precision | None = None
    io: Boundary | None = None
    calibration: str | None = None
    eval: str | None = None
    metric: Literal["top1", "top5", "auc", "mae", "mse"] | None = None
    max_drop: Annotated[float, msgspec.Meta(ge=0)] | None = None
    shapes: dict[str, tuple[Positive, ...]] = {}
    custom_objects: str | None = None
    keep_layout: bool = False
    allow_unsafe: bool = False
    preprocessing: dict[str, Preprocessing] = {}
    calibration_samples: Positive = 256
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    require_compiled: bool = False
    output: str | None = None


def project(folder_or_file: Path) -> Project:
    """Read ``edgekit.toml`` (a file, or the folder that holds it).

    Raises:
        InputError: there is none, or something in it is wrong; the key and the remedy are named.
    """
    file = folder_or_file / FILE_NAME if folder_or_file.is_dir() else folder_or_file
    if not file.is_file():
        raise InputError(
            f"There is no {file.name} in {file.parent}.",
            place=str(file),
            fix=f'create it with, for instance: model = "model.keras" and targets = ["{_first(target_names())}"]',
        )
    content = _read(file)
    tables = content.get("preprocessing")
    if isinstance(tables, dict) and tables and not any(isinstance(value, dict) for value in tables.values()):
        _check(tables, Preprocessing, file, "preprocessing")
        content["preprocessing"] = {ANY_INPUT: tables}
    made: Project = _convert(content, Project, file)
    for name, table in made.preprocessing.items():
        _check_preprocessing(table, file, "preprocessing" if name == ANY_INPUT else f"preprocessing.{name}")
    folder = file.resolve().parent
    return msgspec.structs.replace(
        made,
        targets=tuple(_absolute(name, folder) if name.endswith(".toml") else name for name in made.targets),
        **{key: _absolute(getattr(made, key), folder) for key in ("model", "calibration", "eval", "output")},
    )


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
        f"There is no target {name}.",
        place=f"targets looked up in: {', '.join(map(str, targets_path()))}",
        fix=_nearest(Path(name).stem, target_names()) or f"choose one of: {', '.join(target_names())}",
    )


def _target(file: Path) -> Target:
    made: Target = _convert(_read(file), Target, file)
    if made.name != file.stem:
        raise _wrong(file, "name", f'"{made.name}", but the file is named {file.name}', f'name = "{file.stem}"')
    if not made.variants:
        raise _wrong(file, "variants", "empty", "add a [[variants]] table with file, backend, precision and use")
    files = [variant.file for variant in made.variants]
    for i, name in enumerate(files):
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise _wrong(file, f"variants[{i}].file", f'"{name}"', "give a plain file name such as model_int8.tflite")
        if name in files[:i]:
            raise _wrong(file, f"variants[{i}].file", f'"{name}" a second time', "give every variant its own file")
    return made


def _read(file: Path) -> dict[str, Any]:
    """A TOML file's tables.

    Raises:
        InputError: it cannot be read or is no TOML; the line is named where there is one.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file.name} is no valid TOML: {error}.", place=str(file), fix="mend that line") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.name} is no text in UTF-8 (byte {error.start}).", place=str(file), fix="save it as UTF-8"
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of thousands of digits
        raise InputError(f"{file.name} cannot be read: {error}.", place=str(file), fix="simplify it") from error
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror}.", place=str(file), fix="check it") from error


def _convert(content: dict[str, Any], kind: type[Any], file: Path) -> Any:
    _check(content, kind, file, "")
    return msgspec.convert(content, kind)


def _check(value: Any, kind: Any, file: Path, key: str) -> None:
    """Complain about the first thing in ``value`` that is not of ``kind``, with its dotted key.

    msgspec alone says ``$.shapes[...]`` where a table's key would be needed, and cannot suggest.
    """
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        kind = options[0] if len(options) == 1 else kind
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _check_table(value, kind, file, key)
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            _check(item, arguments[1], file, _join(key, name))
    elif origin is tuple and arguments[-1] is Ellipsis and isinstance(value, list):
        for i, item in enumerate(value):
            _check(item, arguments[0], file, f"{key}[{i}]")
    else:
        _check_value(value, kind, file, key)


def _check_table(value: Any, kind: type[msgspec.Struct], file: Path, key: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(file, key, _shown(value), f"a table: [{key}]")
    hints = typing.get_type_hints(kind, include_extras=True, localns={"FileDigest": None})
    for name in value:
        if name not in hints:
            raise InputError(
                f"{file.name} has an unknown key `{_join(key, name)}`.",
                place=f"{file}: {_join(key, name)}",
                fix=_nearest(name, tuple(hints)) or f"use one of: {', '.join(hints)}",
            )
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            _check(value[field.name], hints[field.name], file, _join(key, field.name))
        elif field.required:
            raise InputError(
                f"{file.name} lacks the key `{_join(key, field.name)}`.",
                place=str(file),
                fix=f"add {field.name} = … {f'to [{key}]' if key else 'at its top'}",
            )


def _check_value(value: Any, kind: Any, file: Path, key: str) -> None:
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    if choices:
        if value not in choices:
            near = _nearest(value, choices) if isinstance(value, str) else ""
            raise _wrong(file, key, _shown(value), near or f"one of: {', '.join(choices)}")
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(file, key, str(value), "a finite number")
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise _wrong(file, key, _shown(value), _expected(str(error), kind)) from error


def _check_preprocessing(table: Preprocessing, file: Path, key: str) -> None:
    channels = {1, len(table.channels)}
    for name, numbers in {"mean": table.mean, "std": table.std}.items():
        if len(numbers) not in channels:
            raise _wrong(file, f"{key}.{name}", f"{len(numbers)} numbers long", f"1 number or {len(table.channels)}")
    if 0.0 in table.std:
        raise _wrong(file, f"{key}.std", "0, and values are divided by it", "a number that is not 0")
    if table.scale == 0.0:
        raise _wrong(file, f"{key}.scale", "0, which makes every input 0", "a number that is not 0, such as 1.0")
    if table.size is not None and min(table.size) < 1:
        raise _wrong(file, f"{key}.size", _shown(list(table.size)), "[height, width] in pixels, 1 or more")


def _wrong(file: Path, key: str, got: str, expected: str) -> InputError:
    fix = expected if expected.startswith(("did you mean", "add ", "give ")) else f"expected {expected}"
    return InputError(f"{file.name}: `{key}` is {got}.", place=f"{file}: {key}", fix=fix)


def _expected(message: str, kind: Any) -> str:
    """What msgspec expected (``Expected `int` >= 1 - at `$` ``) in TOML's words."""
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        length = "" if items[-1] is Ellipsis else f" of {len(items)} values"
        return f"a list{length} in brackets: [ … ]"
    words = {"str": "a text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false"}
    found = re.search(r"Expected `(\w+)`( [<>]=? ?-?[\d.]+)?", message)
    if found is None:
        return "a table" if typing.get_origin(kind) is dict else message.removesuffix(" - at `$`")
    return words.get(found[1], "a table" if found[1] == "object" else found[1]) + (found[2] or "")


def _shown(value: Any) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case int() if value.bit_length() > 64:  # str refuses above 4,300 digits
            text = f"a number of {value.bit_length()} bits"
        case int() | float():
            text = str(value)
        case str():
            text = f'"{value}"'
        case dict():
            text = "a table"
        case _:
            text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"


def _join(key: str, name: str) -> str:
    shown = name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'
    return f"{key}.{shown}" if key else shown


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1, 0.5)
    return f"did you mean {close[0]}?" if close else ""


def _first(names: tuple[str, ...]) -> str:
    return names[0] if names else "android"


def _absolute(value: str | None, folder: Path) -> str | None:
    """A path relative to the project's file; ``module:function`` stays as it is."""
    if value is None or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        return value
    return str(folder / value)
