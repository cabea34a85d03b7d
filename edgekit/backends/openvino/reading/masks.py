"""Attention masks in a form that OpenVINO's own passes leave right.

A row that is masked whole is uniform over what is masked least, so that masks of one depth must stay equal to the last
bit, and others in their order. The CPU plugin makes ``m·(-c) + c`` of ``(1 - m)·c``, and adds up the constants and the
scores around it as it likes:

* in ``causal + (1 - m)·c`` with lowest floats ``c + causal`` becomes -inf, and in a row that is masked whole what one
  mask hides is no longer above what two do: such depths are brought down, all by one factor;
* in ``(scores + causal) + (1 - m)·c`` it adds ``m·(-c)`` to the scores, which swallows those that nothing hides: a
  MAXIMUM behind each product, which changes nothing, keeps it whole;
* in an integer file the scale of the scores is taken out of the sum, and ``(causal / scale)·scale`` is another number
  than ``c``: a MAXIMUM between scores and masks keeps the scale with the scores;
* in an integer file its kernel for attention (2026.4 on AVX-512) reads memory that is not the mask's if one row of a
  mask serves all: a MAXIMUM with a column gives each row of the scores one of its own.

In LiteRT's files masks share an integer range with the scores and must be shallow
(`edgekit.backends.tflite.ready.masks`); here they stay float (`edgekit.backends.openvino.kept`) and may swallow the
scores, as they do in the source.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.backends.openvino.kept import LARGE
from edgekit.backends.openvino.libraries import operators, ov
from edgekit.backends.openvino.wiring import NAMES
from edgekit.waist.exact import ELEMENTWISE, MOVES

DEEPEST = 2.0**100
"""It swallows any score, as the lowest float does, and millions of it can be added up, or divided by a small scale."""

BELOW = 2.0**-28
"""What brings the lowest float down to `DEEPEST`."""

SURE = 2.0**40
"""It swallows any score: what is less deep stays as it is."""

_SOFTMAXES = {"Softmax", "LogSoftmax"}

_MASK_OPERAND = 3
"""That of ScaledDotProductAttention."""

_SUMS = {"Add", "Subtract"}

_COMBINING = {*_SUMS, "Multiply", "Select", "Maximum", "Minimum"}


def mend(model: Any) -> None:
    """Bound the masks of every softmax and keep their products whole, in place.

    Args:
        model: float ``openvino.Model``.
    """
    alone = _alone(model)
    constants = [n for n in alone if n.get_type_name() == "Constant" and n.get_element_type() == ov.Type.f32]
    if any(_depth(node) > DEEPEST for node in constants):
        for node in constants:
            _bound(node)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention" and node.get_input_size() > _MASK_OPERAND:
            _spread(node.input(_MASK_OPERAND), node.input_value(0))
    for node in alone:
        for target in node.inputs() if node.get_type_name() in _SUMS else []:
            _spread(target, node.output(0))
        if NAMES.get(node.get_type_name()) in MOVES or node.get_type_name() in {*_SUMS, "Multiply"}:
            _keep_whole(node.output(0))


def part(model: Any) -> None:
    """Keep the scores of every softmax apart from its masks, in place; for models that are to be quantized.

    Args:
        model: float ``openvino.Model`` whose masks are mended.
    """
    for node in _alone(model):
        operands = node.input_values() if node.get_type_name() in _SUMS else []
        hiding = [_hides(value) for value in operands]
        if sum(hiding) == 1:
            node.input(hiding.index(False)).replace_source_output(_whole(operands[hiding.index(False)]))


def _alone(model: Any) -> list[Any]:
    """The nodes that end in nothing but softmaxes, through sums, choices and moves."""
    found: dict[str, Any] = {}
    for node in reversed(model.get_ordered_ops()):
        readers = [target for output in node.outputs() for target in output.get_target_inputs()]
        if readers and all(_ends(target, found) for target in readers):
            found[node.get_name()] = node
    return list(found.values())


def _ends(target: Any, alone: dict[str, Any]) -> bool:
    """Whether an operand is a softmax's, or one of what ends in nothing else."""
    node = target.get_node()
    kind = node.get_type_name()
    if kind == "ScaledDotProductAttention":
        return bool(target.get_index() == _MASK_OPERAND)
    passes = kind in _COMBINING or NAMES.get(kind) in MOVES
    return kind in _SOFTMAXES or (passes and node.get_name() in alone)


def _depth(constant: Any) -> float:
    """The largest finite value by magnitude."""
    values = np.abs(np.asarray(constant.data))
    return float(values[np.isfinite(values)].max(initial=0))


def _bound(constant: Any) -> None:
    """Bring down what is far deeper than scores, so that what is deeper than another mask stays so."""
    values = np.asarray(constant.data)
    depths = np.abs(values)
    bounded = np.copysign(np.maximum(np.minimum(depths, SURE), depths * BELOW), values)
    if np.array_equal(bounded, values):
        return
    made = ov.op.Constant(np.asarray(bounded, np.float32))
    made.set_friendly_name(constant.get_friendly_name())
    for target in constant.output(0).get_target_inputs():
        target.replace_source_output(made.output(0))


def _spread(target: Any, scores: Any) -> None:
    """Give each row of the scores a row of the mask, if one serves all; ``scores`` has their rows last but one."""
    value = target.get_source_output()
    sizes = [value.get_partial_shape(), scores.get_partial_shape()]
    if any(size.is_dynamic or len(size) < ROWS for size in sizes):
        return
    mask, whole = (size.to_shape() for size in sizes)
    if mask[-ROWS] == 1 < whole[-ROWS] and mask[-1] > 1:
        column = np.full([*[1] * (len(mask) - ROWS), whole[-ROWS], 1], np.finfo(np.float32).min, np.float32)
        kept = operators.maximum(value, ov.op.Constant(column))
        kept.set_friendly_name(f"{value.get_node().get_friendly_name()}/rows")
        target.replace_source_output(kept.output(0))


ROWS = 2
"""The place of the rows of scores, from the end."""


def _keep_whole(value: Any) -> None:
    """Put a MAXIMUM between what is computed of inputs, if it hides scores, and the sums that read it."""
    sums = [target for target in value.get_target_inputs() if target.get_node().get_type_name() in _SUMS]
    if not sums or not _hides(value):
        return
    kept = _whole(value)
    for target in sums:
        target.replace_source_output(kept)


def _whole(value: Any) -> Any:
    """A value behind a MAXIMUM that changes nothing: the plugin moves nothing past it."""
    kept = operators.maximum(value, ov.op.Constant(np.array(np.finfo(np.float32).min, np.float32)))
    kept.set_friendly_name(f"{value.get_node().get_friendly_name()}/whole")
    return kept.output(0)


def _hides(value: Any) -> bool:
    """Whether a value is computed from inputs and constants alone, element by element, and one of these is large."""
    large = False
    for node in _behind(value):
        kind = node.get_type_name()
        if kind == "Constant" and node.get_element_type() == ov.Type.f32:
            large |= bool(np.abs(np.asarray(node.data)).max(initial=0) >= LARGE)
        elif kind not in {"Constant", "Parameter"} and NAMES.get(kind) not in MOVES | ELEMENTWISE:
            return False
    return large


def _behind(value: Any) -> Iterator[Any]:
    """The nodes that lead to a value through what moves or combines values, ends included."""
    waiting, seen = [value.get_node()], set[str]()
    while waiting:
        node = waiting.pop()
        if node.get_name() not in seen:
            seen.add(node.get_name())
            yield node
            if NAMES.get(node.get_type_name()) in MOVES | ELEMENTWISE:
                waiting += [operand.get_node() for operand in node.input_values()]
