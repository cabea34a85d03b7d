"""Changes of one place in a file, by what the file is made of: bytes, JSON, protobuf, flatbuffer, zip, HDF5, TOML."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import flatbuffers
import h5py
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Random = np.random.Generator
Mutator = Callable[[bytes, Random], bytes]

NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 127, 255, 65_537, 500_000_000, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
"""Sizes, axes, indices and offsets at which arithmetic, memory and loops break."""

TEXTS = (
    "", "a", "\0", "../../x", "/dev/full", "Conv2D", "float16", "string", "é" * 300, "x" * 70_000, "\x1b[31mred", "None",
    "builtins", "Lambda", "\u202egnp.exe", "{", "0", "NaN",
)  # fmt: skip
"""Names, kinds and paths that are none, are too long, or mean something to whoever prints or imports them."""


def pick(random: Random, values: Any) -> Any:
    """One of a sequence; None of an empty one."""
    return values[int(random.integers(len(values)))] if len(values) else None


def flip(content: bytes, random: Random) -> bytes:
    """A bit, a run of bytes, a cut, a repetition, or a number where there was none."""
    if not content:
        return b"\0"
    changed, place = bytearray(content), int(random.integers(len(content)))
    length = int(random.integers(1, 17))
    match int(random.integers(6)):
        case 0:
            changed[place] ^= 1 << int(random.integers(8))
        case 1:
            changed[place : place + length] = random.bytes(length)
        case 2:
            del changed[place:]
        case 3:
            del changed[place : place + length]
        case 4:
            changed[place:place] = changed[max(0, place - 64) : place]
        case _:
            number = int(pick(random, NUMBERS)) % 2**64
            changed[place : place + 8] = number.to_bytes(8, str(pick(random, ("little", "big"))))
    return bytes(changed)


def other(value: Any, random: Random) -> Any:
    """Another value, most often of the same type."""
    same = random.random() < 0.8
    if isinstance(value, bool) and same:
        return not value
    if isinstance(value, int) and same:
        return pick(random, NUMBERS)
    if isinstance(value, float) and same:
        return pick(random, (float("nan"), float("inf"), -1.0, 0.0, 1e38, -1e-45))
    if isinstance(value, str) and same:
        return pick(random, TEXTS)
    return pick(random, (None, True, 0, -1, 2**40, 0.5, "", "x", [], {}, [[]], {"": None}))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree of dictionaries and lists."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        here = waiting.pop()
        keys = here.keys() if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def _change_tree(tree: Any, random: Random) -> Any:
    places = _places(tree)
    if not places:
        return other(tree, random)
    container, key = pick(random, places)
    match int(random.integers(5)):
        case 0:
            del container[key]
        case 1:
            source, name = pick(random, places)
            container[key] = source.get(name) if isinstance(source, dict) else source[min(name, len(source) - 1)]
        case 2 if isinstance(container, list):
            container.append(container[key])
        case 3 if isinstance(container, dict):
            container[pick(random, TEXTS)] = container.pop(key)
        case _:
            container[key] = other(container[key], random)
    return tree


def as_json(content: bytes, random: Random) -> bytes:
    """A value, key or list of a JSON document; its bytes where it is none."""
    try:
        changed = _change_tree(json.loads(content), random)
        return json.dumps(changed).encode()
    except (ValueError, RecursionError):
        return flip(content, random)


def message(kind: type[Any]) -> Mutator:
    """A field of a protobuf message, however deep."""

    def change(content: bytes, random: Random) -> bytes:
        """One field set, dropped, repeated or exchanged."""
        try:
            parsed = kind.FromString(content)
        except Exception:  # noqa: BLE001  an earlier change broke it, in whatever way
            return flip(content, random)
        inner = _messages(parsed)
        _change_message(pick(random, inner), random)
        return bytes(parsed.SerializeToString())

    return change


def _messages(top: Any, most: int = 20_000) -> list[Any]:
    found, waiting = [], [top]
    while waiting and len(found) < most:
        here = waiting.pop()
        found.append(here)
        for field, value in here.ListFields():
            if field.message_type is None or field.message_type.GetOptions().map_entry:
                continue
            waiting.extend(value if field.is_repeated else [value])
    return found


def _change_message(parsed: Any, random: Random) -> None:
    field = pick(random, parsed.DESCRIPTOR.fields if random.random() < 0.2 else [f for f, _ in parsed.ListFields()])
    if field is None:
        return
    if field.message_type is not None or random.random() < 0.2:
        if field.is_repeated and field.message_type is not None and not field.message_type.GetOptions().map_entry:
            rows = getattr(parsed, field.name)
            if len(rows) and random.random() < 0.5:
                rows.add().CopyFrom(pick(random, rows))
                return
            if len(rows):
                del rows[int(random.integers(len(rows)))]
                return
        parsed.ClearField(field.name)
        return
    values = {"string": TEXTS, "bytes": (b"", b"\0", b"\xff" * 9, b"x" * 4096)}.get(_cpp(field), NUMBERS)
    value = pick(random, values)
    try:
        if field.is_repeated:
            rows = getattr(parsed, field.name)
            rows[int(random.integers(len(rows)))] = value
        else:
            setattr(parsed, field.name, value)
    except (ValueError, TypeError, IndexError, UnicodeError):
        parsed.ClearField(field.name)


def _cpp(field: Any) -> str:
    return {field.TYPE_STRING: "string", field.TYPE_BYTES: "bytes"}.get(field.type, "number")


def flatbuffer(content: bytes, random: Random) -> bytes:
    """An attribute of a TFLite file's object tree."""
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        parts = _objects(model)
        _change_object(pick(random, parts), random)
        builder = flatbuffers.Builder(len(content) + 1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
    except Exception:  # noqa: BLE001  what the change made cannot be packed: then bytes are changed
        return flip(content, random)


def _objects(top: Any) -> list[Any]:
    found, waiting = [], [top]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting.extend(here)
        elif hasattr(here, "Pack"):
            found.append(here)
            waiting.extend(vars(here).values())
    return found


def _change_object(part: Any, random: Random) -> None:
    name = pick(random, sorted(vars(part)))
    value = getattr(part, name)
    if isinstance(value, list) and value:
        place = int(random.integers(len(value)))
        if random.random() < 0.5:
            value.append(value[place])
        else:
            del value[place]
    elif isinstance(value, np.ndarray) and value.size:
        changed = value.copy()
        number = int(pick(random, NUMBERS))
        bounds = np.iinfo(value.dtype) if value.dtype.kind in "iu" else None
        changed.flat[int(random.integers(value.size))] = number if bounds is None else number % (int(bounds.max) + 1)
        setattr(part, name, changed if random.random() < 0.8 else changed[: int(random.integers(value.size))])
    elif isinstance(value, bytes):
        setattr(part, name, str(pick(random, TEXTS)).encode())
    elif isinstance(value, bool | int | float):
        setattr(part, name, pick(random, (0, 1, 2, 3, 5, 17, 127)) if random.random() < 0.7 else other(value, random))
    else:
        setattr(part, name, None)


def zipped(inside: dict[str, Mutator]) -> Mutator:
    """An entry of a zip archive, by the end of its name; or the archive's own structure."""

    def change(content: bytes, random: Random) -> bytes:
        """One entry changed, dropped, renamed or doubled."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                entries = [(name, archive.read(name)) for name in archive.namelist()]
        except Exception:  # noqa: BLE001  as in `message`
            return flip(content, random)
        if not entries or random.random() < 0.1:
            return flip(content, random)
        place = int(random.integers(len(entries)))
        name, held = entries[place]
        match int(random.integers(8)):
            case 0:
                del entries[place]
            case 1:
                entries[place] = str(pick(random, TEXTS))[:60_000], held
            case 2:
                entries.append((name, flip(held, random)))
            case _:
                mutator = next((inner for end, inner in inside.items() if name.endswith(end)), flip)
                entries[place] = name, mutator(held, random)
        made = io.BytesIO()
        import warnings  # noqa: PLC0415  only here

        with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
            warnings.simplefilter("ignore")  # doubled names are the point
            for name, held in entries:
                archive.writestr(name or "x", held)
        return made.getvalue()

    return change


def hdf5(content: bytes, random: Random) -> bytes:
    """An attribute, a data set or a group of an HDF5 file; texts of JSON are changed as such."""
    made = io.BytesIO(content)
    try:
        with h5py.File(made, "r+") as file:
            names: list[str] = [""]
            file.visit(names.append)
            group = file[str(pick(random, names)) or "/"]
            if group.attrs and random.random() < 0.8:
                _change_attribute(group, str(pick(random, sorted(group.attrs))), random)
            elif isinstance(group, h5py.Dataset):
                _change_dataset(group, random)
            elif len(group):
                del group[str(pick(random, sorted(group)))]
    except Exception:  # noqa: BLE001  as in `message`
        return flip(content, random)
    return made.getvalue()


def _change_attribute(group: Any, name: str, random: Random) -> None:
    value = group.attrs[name]
    if isinstance(value, str | bytes):
        text = value.encode() if isinstance(value, str) else value
        group.attrs[name] = as_json(text, random).decode("utf8", "replace")
    elif random.random() < 0.3:
        del group.attrs[name]
    else:
        group.attrs[name] = pick(random, (b"x", 7, np.zeros((2, 2)), np.array([b"a", b"a"])))


def _change_dataset(data: Any, random: Random) -> None:
    if data.size and data.dtype.kind == "f" and random.random() < 0.5:
        data[(0,) * data.ndim] = pick(random, (np.nan, np.inf, 1e38, -1e38))
        return
    parent, name = data.parent, data.name
    del parent[name]
    shape = tuple(int(pick(random, (0, 1, 3, 70_000))) for _ in range(int(random.integers(0, 5))))
    parent.create_dataset(
        name,
        shape=shape,
        dtype=str(pick(random, ("f4", "f8", "i1", "S3"))),
        chunks=True if shape and 0 not in shape else None,
    )


def toml(content: bytes, random: Random) -> bytes:
    """A word, a number or a line of a TOML file."""
    lines = content.decode("utf8", "replace").splitlines() or [""]
    place = int(random.integers(len(lines)))
    key, equals, _ = lines[place].partition("=")
    match int(random.integers(5)):
        case 0:
            return flip(content, random)
        case 1:
            lines.insert(place, lines[int(random.integers(len(lines)))])
        case 2:
            lines[place] = f"{pick(random, TEXTS)} = 1"
        case 3 if equals:
            lines[place] = (
                f"{key}= {pick(random, ('-1', '2e999', '9' * 40, 'true', '[]', '{}', '[[1]]', 'nan', '[' * 900))}"
            )
        case _ if equals:
            lines[place] = f"{key}= {json.dumps(str(pick(random, TEXTS)))}"
        case _:
            lines[place] = f"[{json.dumps(str(pick(random, TEXTS)))}]"
    return "\n".join(lines).encode("utf8", "replace")
