"""Convolutions with "same" padding that XNNPACK gets wrong, in the form that it gets right.

If the stride leaps over the last values of an axis, (outputs - 1) · stride + kernel < size, nothing is padded there.
XNNPACK (ai-edge-litert 2.1.2) computes a negative padding and starts one value too late: a 3×3 kernel with stride 4 on
224 pixels, a 1×3 kernel with stride 2. It is right if the kernel is 1×1, in pooling, and on LiteRT's own kernels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph


def leap_explicitly(model: Any) -> int:
    """Pad such convolutions by an operator of their own, in place.

    Args:
        model: the object tree of a float file.

    Returns:
        How many convolutions changed.
    """
    main, changed = model.subgraphs[0], 0
    for operator, described in zip(tuple(main.operators), graph.describe(model)[0].operators, strict=True):
        padded = _padding(described, main)
        if padded is None:
            continue
        operator.builtinOptions.padding = schema.Padding.VALID
        if padded.any():
            _pad(model, operator, padded)
        changed += 1
    return changed


def _padding(operator: graph.Operator, main: Any) -> Any:
    """Values before and after each axis ``[4, 2]`` of a convolution that XNNPACK gets wrong; None for others."""
    options = operator.options
    if operator.name not in {"CONV_2D", "DEPTHWISE_CONV_2D"} or options["padding"] != schema.Padding.SAME:
        return None
    before, kernel, after = (graph.ints(main.tensors[t].shape)[1:3] for t in (*operator.inputs[:2], *operator.outputs))
    return same(options, kernel, before, after) if leaps(options, kernel, before, after) else None


def leaps(options: dict[str, Any], kernel: Sequence[int], before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether "same" padding would have XNNPACK start in the wrong place; sizes as in `same`."""
    return min(_missing(options, kernel, before, after)) < 0 and tuple(kernel) != (1, 1)


def same(options: dict[str, Any], kernel: Sequence[int], before: Sequence[int], after: Sequence[int]) -> Any:
    """What "same" padding puts before and after each axis of an NHWC image, ``[4, 2]`` int32.

    Args:
        options: a convolution's.
        kernel: its height and width.
        before: those of what it reads.
        after: those of what it makes.
    """
    found = np.zeros((4, 2), np.int32)
    for axis, missing in enumerate(_missing(options, kernel, before, after), start=1):
        found[axis] = max(missing, 0) // 2, max(missing, 0) - max(missing, 0) // 2
    return found


def _missing(
    options: dict[str, Any], kernel: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> tuple[int, ...]:
    """Values that the kernel reads beyond an axis, height and width; negative if the stride leaps over the last."""
    return tuple(
        (made - 1) * options[f"stride{axis}"] + (wide - 1) * options[f"dilation{axis}Factor"] + 1 - size
        for made, wide, size, axis in zip(after, kernel, before, "HW", strict=True)
    )


def _pad(model: Any, operator: Any, padding: Any) -> None:
    main = model.subgraphs[0]
    source = main.tensors[int(operator.inputs[0])]
    name, shape = source.name.decode(), np.array(graph.ints(source.shape)) + padding.sum(1)
    amounts = edit.add_constant(model, f"{name}/padding", padding)
    made = edit.add_tensor(main, f"{name}/padded", graph.ints(shape))
    place = main.operators.index(operator)
    edit.add_operator(model, "PAD", [int(operator.inputs[0]), amounts], [made], at=place, kind="PadOptions")
    operator.inputs = [made, *graph.ints(operator.inputs)[1:]]
