"""``[[input]]`` and ``[[output]]``: the files that they name are read, and what contradicts itself is refused."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.config import toml
from edgekit.errors import InputError
from edgekit.nouns.description import DetectionOutput, ImageInput, Input, Output, RegressionOutput

MOST_BYTES = 1 << 24
"""The largest file of labels or anchors that is read: it goes into manifests as it is."""


def with_files(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """A project's tables, lists in place of the names of files that hold these.

    Args:
        content: of ``edgekit.toml``.
        file: it, to whose folder names are relative.

    Raises:
        InputError: such a file cannot be read.
    """
    read = dict(content)
    for table in ("input", "output"):
        rows = _rows(content, table, file)
        if table in content:
            read[table] = [_with_lists(row, file, f"{table}[{i}]") for i, row in enumerate(rows)]
    return read


def _with_lists(row: Any, file: Path, key: str) -> Any:
    """A table, if it is one, with what its files hold."""
    if not isinstance(row, dict):
        return row
    return {
        name: _READERS[name](file.parent / value, f"{file}: {key}.{name}")
        if name in _READERS and isinstance(value, str)
        else value
        for name, value in row.items()
    }


def _rows(content: dict[str, Any], table: str, file: Path) -> list[Any]:
    """The tables of one name; what is written in its place is told how it is spelled."""
    rows, others = content.get(table, []), content.get(f"{table}s")
    if isinstance(others, list) and any(isinstance(row, dict) for row in others):
        raise toml.wrong(file, f"{table}s", "a list of tables", f"did you mean [[{table}]]?")
    if isinstance(rows, list):
        return rows
    if isinstance(rows, str) and table == "output":
        raise toml.wrong(file, table, toml.shown(rows), "[[output]] tables; a folder for results is output_folder")
    raise toml.wrong(file, table, toml.shown(rows), f"one table or several: [[{table}]]")


def _lines(path: Path, place: str) -> list[str]:
    """A file's lines without what surrounds them; the empty ones at its end are none."""
    lines = [line.strip() for line in _text(path, place).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path.name} is empty.", place=place, fix="write one name on a line")
    if "" in lines:
        raise InputError(
            f"{path.name} has an empty line {lines.index('') + 1}, so that what follows might be counted wrongly.",
            place=place,
            fix='take the line out, or write what it stands for, if only "?"',
        )
    return lines


def _anchors(path: Path, place: str) -> list[list[float]]:
    """Rows of four numbers."""
    rows = []
    for number, line in enumerate(_text(path, place).splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append([float(part) for part in line.split(",")])
        except ValueError as error:
            raise InputError(
                f"Line {number} of {path.name} is {toml.shown(line.strip())}, which is no list of numbers.",
                place=place,
                fix="write centre x,centre y,width,height on each line",
            ) from error
    return rows


_READERS: dict[str, Callable[[Path, str], list[Any]]] = {"labels": _lines, "vocabulary": _lines, "anchors": _anchors}
"""By key: what reads the file that it may name."""


def _text(path: Path, place: str) -> str:
    try:
        if not path.is_file():
            raise InputError(f"There is no file {path}.", place=place, fix="check the path, or give a list in brackets")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(
                f"{path.name} is larger than {MOST_BYTES >> 20} MiB.", place=place, fix="name a file with one on a line"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is no text in UTF-8 (byte {error.start}).", place=place, fix="save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # the name holds NUL
        raise InputError(f"{path.name} cannot be read: {error}.", place=place, fix="check it") from error


def check(inputs: tuple[Input, ...], outputs: tuple[Output, ...], file: Path) -> None:
    """Refuse what contradicts itself, whatever the model.

    Raises:
        InputError: the key is named.
    """
    for table, rows in {"input": inputs, "output": outputs}.items():
        twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
        if twice:
            raise InputError(
                f"{file.name} describes the {table} {toml.shown(twice[0])} twice."
                if twice[0]
                else f"{file.name} has several [[{table}]] without a name.",
                place=f"{file}: [[{table}]]",
                fix="leave one of them out" if twice[0] else 'say which is which: name = "…"',
            )
    for table, rows in {"input": inputs, "output": outputs}.items():
        for i, row in enumerate(rows):
            _check_names(row, file, f"{table}[{i}]")
    for i, row in enumerate(inputs):
        if isinstance(row, ImageInput):
            _check_image(row, file, f"input[{i}]")
    for i, output in enumerate(outputs):
        if isinstance(output, RegressionOutput) and output.std == 0:
            raise toml.wrong(file, f"output[{i}].std", "0, which makes every value the mean", "a number that is not 0")
        if isinstance(output, DetectionOutput):
            _check_detection(output, file, f"output[{i}]")


def _check_names(row: Input | Output, file: Path, key: str) -> None:
    """Refuse names that are none, or more than one, on a line of a file."""
    for name in ("labels", "vocabulary"):
        for place, text in enumerate(getattr(row, name, ())):
            if len(text.splitlines()) != 1 or not text.strip():
                raise toml.wrong(file, f"{key}.{name}[{place}]", toml.shown(text), "a text of one line")


def _check_image(image: ImageInput, file: Path, key: str) -> None:
    low, high = image.range
    if low == high:
        shown = f"[{low:g}, {high:g}], which makes every value the same"
        raise toml.wrong(file, f"{key}.range", shown, "two different numbers, such as [0, 1]")
    for name, numbers in {"mean": image.mean, "std": image.std}.items():
        most = len(image.channels or "RGB")
        if len(numbers) not in {1, most}:
            raise toml.wrong(file, f"{key}.{name}", f"{len(numbers)} numbers long", f"1 number or {most}")
    if 0.0 in image.std:
        raise toml.wrong(file, f"{key}.std", "0, and values are divided by it", "a number that is not 0")
    if 0.0 in image.divisors:
        shown = f"[{low:g}, {high:g}], of which bytes are too small a part to be divided by"
        raise toml.wrong(file, f"{key}.range", shown, "numbers that lie less far apart")
    if image.shorter_side is not None and image.fit != "crop":
        raise toml.wrong(
            file, f"{key}.shorter_side", f"said of fit = {toml.shown(image.fit)}", 'it with fit = "crop" only'
        )
    if image.pad_value and image.fit != "letterbox":
        raise toml.wrong(
            file, f"{key}.pad_value", f"said of fit = {toml.shown(image.fit)}", 'it with fit = "letterbox" only'
        )


_NEEDS = {
    "ssd": ("anchors",),
    "yolov3": ("strides", "anchor_sizes"),
    "yolov5": ("strides", "anchor_sizes"),
    "yolox": ("strides",),
    "ltrb": ("strides",),
}
"""What each decoding of boxes is made of."""


def _check_detection(output: DetectionOutput, file: Path, key: str) -> None:
    needed = _NEEDS.get(output.decoding, ())
    for name in ("anchors", "strides", "anchor_sizes"):
        if name in needed and not getattr(output, name):
            raise InputError(
                f'{file.name}: decoding = "{output.decoding}" needs `{name}`.',
                place=f"{file}: {key}",
                fix=f"add {name} = [ … ]" + (', or the name of a file: anchors = "anchors.csv"' * (name == "anchors")),
            )
        if name not in needed and getattr(output, name):
            where = " or ".join(kind for kind, keys in _NEEDS.items() if name in keys)
            raise toml.wrong(file, f"{key}.{name}", f'said of decoding = "{output.decoding}"', f"it with {where} only")
    if output.anchor_sizes and len(output.anchor_sizes) != len(output.strides):
        raise toml.wrong(
            file, f"{key}.anchor_sizes", f"{len(output.anchor_sizes)} lists long", f"one for each of {output.strides}"
        )
    if 0.0 in output.variances:
        raise toml.wrong(file, f"{key}.variances", "0, which makes every distance 0", "two numbers that are not 0")
    if output.classes is not None and output.scores is None:
        raise InputError(
            f"{file.name}: `{key}.classes` needs `{key}.scores`.",
            place=f"{file}: {key}",
            fix="name the output with the score of each box: scores = …",
        )
    if output.objectness and output.scores is not None:
        raise toml.wrong(file, f"{key}.objectness", "true with scores of their own", "it without `scores` only")
