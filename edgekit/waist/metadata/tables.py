"""The flatbuffer of TFLite metadata, written table by table.

Source of the order of fields: metadata_schema.fbs of tflite-support and of MediaPipe Tasks, version 1.5.0 (file
identifier M001). Each function is a table; fields that edgekit does not write are None.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from flatbuffers import Builder

IDENTIFIER = b"M001"


class Table(NamedTuple):
    """A table's fields in the schema's order; None for those that are left out."""

    fields: tuple[Any, ...]


class FieldValue(NamedTuple):
    """A scalar field; ``kind`` is what the builder's methods call its type (``Int8``, ``Uint32``, ``Float32``)."""

    kind: str
    value: float


class FieldValues(NamedTuple):
    """A vector of scalars of four bytes."""

    kind: str
    values: tuple[float, ...]


def pack(root: Table) -> bytes:
    """The bytes of a flatbuffer."""
    builder = Builder()
    builder.Finish(_table(builder, root), IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, table: Table) -> int:
    placed = [_placed(builder, value) for value in table.fields]  # nothing may be written inside of a table
    builder.StartObject(len(placed))
    for slot, value in enumerate(placed):
        if isinstance(value, FieldValue):
            getattr(builder, f"Prepend{value.kind}Slot")(slot, value.value, 0)
        elif value is not None:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _placed(builder: Any, value: Any) -> Any:
    """Where a field's value lies, once it is written; numbers stand in the table itself."""
    if value is None or isinstance(value, FieldValue):
        return value
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Table):
        return _table(builder, value)
    if isinstance(value, FieldValues):
        builder.StartVector(4, len(value.values), 4)
        for number in reversed(value.values):
            getattr(builder, f"Prepend{value.kind}")(number)
        return builder.EndVector()
    places = [_placed(builder, item) for item in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def model(
    *, name: str, description: str, version: str, author: str, licence: str, subgraph: Table, parser: str
) -> Table:
    """``ModelMetadata``; ``parser`` is the oldest version of the schema that has all fields."""
    said = (text or None for text in (name, description, version))
    return Table((*said, (subgraph,), author or None, licence or None, None, parser))


def subgraph(inputs: Sequence[Table], outputs: Sequence[Table], groups: Sequence[Table] = ()) -> Table:
    """``SubGraphMetadata``; ``groups`` name the outputs that belong together."""
    return Table((None, None, tuple(inputs), tuple(outputs), None, None, None, None, tuple(groups) or None))


def tensor(
    name: str,
    description: str,
    content: Table,
    *,
    units: Sequence[Table] = (),
    stats: Table | None = None,
    files: Sequence[Table] = (),
) -> Table:
    """``TensorMetadata``."""
    return Table((name, description, None, content, tuple(units) or None, stats, tuple(files) or None))


def feature() -> Table:
    """``Content`` of plain numbers."""
    return Table((FieldValue("Uint8", 1), Table(()), None))


def image(color_space: int, width: int, height: int) -> Table:
    """``Content`` of an image; 1 is RGB, 2 is grey."""
    size = Table((FieldValue("Uint32", width), FieldValue("Uint32", height)))
    return Table((FieldValue("Uint8", 2), Table((FieldValue("Int8", color_space), size)), None))


def boxes(index: tuple[int, ...], kind: int, coordinates: int) -> Table:
    """``Content`` of boxes: 1 two corners, 2 upper left corner and size, 3 centre and size; 0 in 0..1, 1 in pixels."""
    properties = Table((FieldValues("Uint32", index), FieldValue("Int8", kind), FieldValue("Int8", coordinates)))
    return Table((FieldValue("Uint8", 3), properties, span(2)))


def audio(sample_rate: int, channels: int) -> Table:
    """``Content`` of a waveform."""
    return Table(
        (FieldValue("Uint8", 4), Table((FieldValue("Uint32", sample_rate), FieldValue("Uint32", channels))), None)
    )


def span(axis: int) -> Table:
    """``ValueRange``: the axis along which the content lies, others count."""
    return Table((FieldValue("Int32", axis), FieldValue("Int32", axis)))


def in_rows() -> Table:
    """``Content`` of a number for each box."""
    return Table((FieldValue("Uint8", 1), Table(()), span(2)))


def normalization(mean: tuple[float, ...], std: tuple[float, ...]) -> Table:
    """``ProcessUnit``: (x - mean) / std."""
    return Table((FieldValue("Uint8", 1), Table((FieldValues("Float32", mean), FieldValues("Float32", std)))))


def threshold(score: float) -> Table:
    """``ProcessUnit``: scores below it are left out."""
    return Table((FieldValue("Uint8", 3), Table((FieldValue("Float32", score),))))


def stats(highest: tuple[float, ...], lowest: tuple[float, ...]) -> Table:
    """``Stats``."""
    return Table((FieldValues("Float32", highest), FieldValues("Float32", lowest)))


AXIS_LABELS, VALUE_LABELS, VOCABULARY = 2, 3, 5
"""What an associated file holds: names along the last axis, names of the values, tokens."""


def associated(name: str, description: str, kind: int) -> Table:
    """``AssociatedFile``."""
    return Table((name, description, FieldValue("Int8", kind), None))


def group(name: str, tensors: Sequence[str]) -> Table:
    """``TensorGroup``."""
    return Table((name, tuple(tensors)))
