"""Sequences of which length and places are known: the tensors that they hold.

The converter has no sequences. Those that exporters write are mostly taken apart again where they are made: chunks of
an activation, what a loop appends at each step.
"""

from collections.abc import Callable, Iterator

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes, kind

Element = Callable[[], str]
"""Makes an element, and names it: only what is read comes into the network."""

MOST = 1024
"""The longest sequence that is taken apart, as long as the longest loop that is unrolled: each element is a slice."""

EDITS = {"Identity", "SequenceErase", "SequenceInsert"}
"""Operators whose result is the sequence that they read, with one element more or less."""


def at(builder: Builder, node: onnx.NodeProto) -> bool:
    """SequenceAt: the element at a known place."""
    held = _held(builder, node.input[0])
    place = None if held is None else _place(builder, node.input[1], len(held))
    if held is None or place is None or place >= len(held):
        return False
    builder.same(held[place](), node.output[0])
    return True


def length(builder: Builder, node: onnx.NodeProto) -> bool:
    """SequenceLength: a constant."""
    held = _held(builder, node.input[0])
    if held is None:
        return False
    builder.same(builder.const(len(held), np.int64), node.output[0])
    return True


def joined(builder: Builder, node: onnx.NodeProto) -> bool:
    """ConcatFromSequence: all elements, along an axis that they have or along a new one."""
    held, attrs = _held(builder, node.input[0]), attributes(node)
    if not held:
        return False
    parts = [make() for make in held]
    if attrs.get("new_axis", 0):
        axes = builder.const([attrs["axis"]], np.int64)
        parts = [builder.op("Unsqueeze", part, axes) for part in parts]
    builder.op("Concat", *parts, out=node.output[0], axis=attrs["axis"])
    return True


def _held(builder: Builder, name: str) -> list[Element] | None:
    """The elements of a sequence; None if they are not known."""
    makers, edits = builder.uses.makers, list[onnx.NodeProto]()
    maker = makers.get(name)
    while maker is not None and kind(maker) in EDITS:
        edits.append(maker)
        maker = makers.get(maker.input[0])
    held = None if maker is None else _made(builder, maker)
    for edit in reversed(edits):
        held = None if held is None else _edited(builder, held, edit)
    return held


def _made(builder: Builder, maker: onnx.NodeProto) -> list[Element] | None:
    if kind(maker) == "SequenceEmpty":
        return []
    if kind(maker) == "SequenceConstruct":
        return [_itself(name) for name in maker.input]
    return list(_chunks(builder, maker)) if kind(maker) == "SplitToSequence" and _sizes(builder, maker) else None


def _edited(builder: Builder, held: list[Element], edit: onnx.NodeProto) -> list[Element] | None:
    """The elements behind an operator of `EDITS`, whose place is the end unless it names another."""
    if kind(edit) == "Identity":
        return held
    inserted = kind(edit) == "SequenceInsert"
    named = edit.input[1 + inserted] if len(edit.input) > 1 + inserted else ""
    place = _place(builder, named, len(held)) if named else len(held) - (not inserted)
    if place is None or not 0 <= place < len(held) + inserted:
        return None
    new = [_itself(edit.input[1])] if inserted else []
    return [*held[:place], *new, *held[place + (not inserted) :]]


def _itself(name: str) -> Element:
    return lambda: name


def _place(builder: Builder, name: str, count: int) -> int | None:
    """A place counted from the beginning; None if it is computed or before it."""
    value = builder.network.constants.get(name)
    if value is None or value.size != 1:
        return None
    place = int(value.reshape(()))
    return place if place >= 0 else place + count if place + count >= 0 else None


def _sizes(builder: Builder, maker: onnx.NodeProto) -> list[int]:
    """How long the chunks of a SplitToSequence are; empty if that is not known, or there are more than `MOST`."""
    shape = builder.network.shape(maker.input[0])
    if shape is None:
        return []
    whole = shape[attributes(maker).get("axis", 0)]
    named = maker.input[1] if len(maker.input) > 1 else ""
    said = builder.network.constants.get(named) if named else np.asarray(1)
    if said is None:
        return []
    if said.ndim:
        return [int(size) for size in said] if len(said) <= MOST else []
    each = int(said)
    starts = range(0, whole, each) if each > 0 else range(0)
    return [min(each, whole - start) for start in starts] if len(starts) <= MOST else []


def _chunks(builder: Builder, maker: onnx.NodeProto) -> Iterator[Element]:
    attrs, start = attributes(maker), 0
    axis, single = attrs.get("axis", 0), len(maker.input) < 2 and not attrs.get("keepdims", 1)
    for size in _sizes(builder, maker):
        yield _chunk(builder, maker.input[0], axis, (start, start + size), dropped=single)
        start += size


def _chunk(builder: Builder, value: str, axis: int, places: tuple[int, int], *, dropped: bool) -> Element:
    def make() -> str:
        """A slice; without its axis if each chunk is one place and the axis is not kept."""
        part = builder.slice(value, axis, *places)
        return builder.op("Squeeze", part, builder.const([axis], np.int64)) if dropped else part

    return make
