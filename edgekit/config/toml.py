"""TOML to nouns. A complaint names the file, the key by its dotted path, and the nearest right key."""

import json
import math
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit.errors import InputError

LARGEST_BYTES = 1 << 20
"""The largest file that is read: ten thousand names of classes take a few hundred KiB."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""

_DEEP = re.compile(rf"(?:^|[\[{{,])[ \t]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{8}}", re.MULTILINE)
"""A key of more than 8 parts: for those, `tomllib` takes memory with the square of their number."""


def read(file: Path) -> dict[str, Any]:
    """A TOML file's tables.

    Raises:
        InputError: it cannot be read, is too large or is no TOML; the line is named if there is one.
    """
    try:
        if (size := file.stat().st_size) > LARGEST_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than the {LARGEST_BYTES:,} that settings may take")
        text = file.read_text(encoding="utf8")
        if deep := _DEEP.search(text):
            raise ValueError(f"line {text.count('\n', 0, deep.start()) + 1} has a key of more than 8 parts")
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file.name} is no valid TOML: {error}.", place=str(file), fix="mend that line") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.name} is no text in UTF-8 (byte {error.start}).", place=str(file), fix="save it as UTF-8"
        ) from error
    except (RecursionError, ValueError) as error:  # too large, nested too deeply, a number of thousands of digits
        raise InputError(f"{file.name} cannot be read: {error}.", place=str(file), fix="simplify it") from error
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror}.", place=str(file), fix="check it") from error


def convert(content: dict[str, Any], kind: type[Any], file: Path) -> Any:
    """A file's tables as a noun.

    Raises:
        InputError: a key is unknown, missing or of the wrong kind.
    """
    check(content, kind, file, "")
    return msgspec.convert(content, kind)


def check(value: Any, kind: Any, file: Path, key: str) -> None:
    """Complain about the first thing in ``value`` that is not of ``kind``, with its dotted key.

    msgspec alone says ``$.shapes[...]`` if a table's key would be needed, and cannot suggest.
    """
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if len(options) > 1 and all(map(_tag, options)):
            _check_tagged(value, options, file, key)
            return
        kind = options[0] if len(options) == 1 else kind
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _check_table(value, kind, file, key)
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            check(item, arguments[1], file, join(key, name))
    elif origin is tuple and arguments[-1] is Ellipsis and isinstance(value, list):
        for i, item in enumerate(value):
            check(item, arguments[0], file, f"{key}[{i}]")
    elif origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        for i, (item, one) in enumerate(zip(value, arguments, strict=True)):
            check(item, one, file, f"{key}[{i}]")
    else:
        _check_value(value, kind, file, key)


def _tag(kind: Any) -> str:
    """The key by which one of several kinds of tables is told; "" if there is none."""
    config = getattr(kind, "__struct_config__", None)
    return (config.tag_field if config is not None else "") or ""


def _check_tagged(value: Any, kinds: list[type[msgspec.Struct]], file: Path, key: str) -> None:
    """Complain about a table that is one of several kinds, told by one of its keys."""
    if not isinstance(value, dict):
        raise wrong(file, key, shown(value), f"a table: [[{key.partition('[')[0]}]]")
    field, by_name = _tag(kinds[0]), {str(kind.__struct_config__.tag): kind for kind in kinds}
    name = value.get(field)
    if not isinstance(name, str) or name not in by_name:
        near = nearest(name, tuple(by_name)) if isinstance(name, str) else ""
        if name is None:
            raise InputError(
                f"{file.name} lacks the key `{join(key, field)}`.",
                place=f"{file}: {key}",
                fix=f"add {field} = with one of: {', '.join(by_name)}",
            )
        raise wrong(file, join(key, field), shown(name), near or f"one of: {', '.join(by_name)}")
    _check_table(value, by_name[name], file, key)


def _check_table(value: Any, kind: type[msgspec.Struct], file: Path, key: str) -> None:
    if not isinstance(value, dict):
        raise wrong(file, key, shown(value), f"a table: [{key}]")
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in value:
        if name == _tag(kind):
            if value[name] != kind.__struct_config__.tag:
                raise wrong(file, join(key, name), shown(value[name]), f'"{kind.__struct_config__.tag}"')
            continue
        if name not in hints:
            raise InputError(
                f"{file.name} has an unknown key `{join(key, name)}`.",
                place=f"{file}: {join(key, name)}",
                fix=getattr(kind, "ABSENT", {}).get(name)
                or nearest(name, tuple(hints))
                or f"use one of: {', '.join(hints)}",
            )
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            check(value[field.name], hints[field.name], file, join(key, field.name))
        elif field.required:
            raise InputError(
                f"{file.name} lacks the key `{join(key, field.name)}`.",
                place=str(file),
                fix=f"add {field.name} = … {f'to [{key}]' if key else 'at its top'}",
            )


def _check_value(value: Any, kind: Any, file: Path, key: str) -> None:
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    if choices:
        if value not in choices:
            near = nearest(value, choices) if isinstance(value, str) else ""
            raise wrong(file, key, shown(value), near or f"one of: {', '.join(choices)}")
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(file, key, str(value), "a finite number")
    if isinstance(value, str) and "\0" in value:  # no path, name or address of any system holds one
        raise wrong(file, key, shown(value), "a text without a NUL character")
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        expected = _expected(str(error), kind)
        raise wrong(file, key, shown(value), f"{expected}; {why}" if (why := _reason(kind)) else expected) from error


def wrong(file: Path, key: str, got: str, expected: str) -> InputError:
    """The complaint about one key: what it is, and what was expected."""
    fix = expected if expected.startswith(("did you mean", "add ", "give ")) else f"expected {expected}"
    return InputError(f"{file.name}: `{key}` is {got}.", place=f"{file}: {key}", fix=fix)


def _expected(message: str, kind: Any) -> str:
    """What msgspec expected (``Expected `int` >= 1 - at `$` ``) in TOML's words."""
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        length = "" if items[-1] is Ellipsis else f" of {len(items)} values"
        return f"a list{length} in brackets: [ … ]"
    words = {
        "str": "a text in quotes",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "array": "a list in brackets: [ … ]",
        "object": "a table",
    }
    found = re.search(r"Expected `(\w+(?: \| \w+)*)`( [<>]=? ?-?[\d.]+)?", message)
    if found is None:
        return "a table" if typing.get_origin(kind) is dict else message.removesuffix(" - at `$`")
    return " or ".join(words.get(one, one) for one in found[1].split(" | ")) + (found[2] or "")


def _reason(kind: Any) -> str:
    """Why a kind of value has its bounds, if it says so."""
    return next((meta.extra["why"] for meta in getattr(kind, "__metadata__", ()) if "why" in (meta.extra or {})), "")


def shown(value: Any) -> str:
    """A value as TOML would have it, shortened."""
    match value:
        case bool():
            text = str(value).lower()
        case int() if value.bit_length() > 64:  # str refuses above 4,300 digits
            text = f"a number of {value.bit_length()} bits"
        case int() | float():
            text = str(value)
        case str():
            text = json.dumps(value, ensure_ascii=False)  # whose escapes are TOML's
        case dict():
            text = "a table"
        case _:
            text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"


def join(key: str, name: str) -> str:
    """The dotted key of ``name`` in the table ``key``."""
    shown = name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'
    return f"{key}.{shown}" if key else shown


def nearest(name: str, names: tuple[str, ...], alike: float = 0.5) -> str:
    """``did you mean …?`` with the nearest name, if it is so much alike (1: the same); empty if none is."""
    import difflib  # noqa: PLC0415  only after a mistake

    close = difflib.get_close_matches(name, names, 1, alike)
    return f"did you mean {close[0]}?" if close else ""
