"""Inputs that are integers in the source and floats behind a CAST: the cast is the input's quantization.

A network that takes pixels as uint8 and begins with a CAST (and ``x / 255``) takes the same uint8 when it
is made of integers: the pixel is the quantized value, with scale 1 for the cast and the constants'
scale behind them. So neither the CAST stays float, nor has any sample to show the ends of the range.
"""

from typing import Any

import numpy as np

from edgekit.backends.tflite.ranges import Range
from edgekit.waist import edit, graph
from edgekit.waist.graph import Graph, Operator

_GRIDS: dict[str, Range] = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0)}

_AFFINE = {"MUL", "ADD", "SUB"}


def take_off(model: Any) -> tuple[dict[str, str], dict[int, Range]]:
    """Let 8-bit inputs that are only cast to float32 be float32 inputs, in place.

    Returns:
        The dtype that each such input had, by name; and the ranges, by tensor index, that it decides:
        of the input, and of what constants make of it.
    """
    divisions_to_products(model)
    main = model.subgraphs[0]
    described = graph.describe(model)[0]
    found: dict[str, str] = {}
    fixed: dict[int, Range] = {}
    main.inputs = graph.ints(main.inputs)
    for position, tensor in enumerate(described.inputs):
        was = described.tensors[tensor]
        readers = [operator for operator in described.operators if tensor in operator.inputs]
        only_cast = bool(readers) and all(_to_float(described, reader) for reader in readers)
        if was.dtype not in _GRIDS or tensor in described.outputs or not only_cast:
            continue
        first = readers[0].outputs[0]
        cast = main.tensors[first]
        main.tensors[tensor].name, cast.name = bytes(cast.name or b"") + b"_was", main.tensors[tensor].name
        _rename(model, tensor, first)
        main.inputs = [*main.inputs[:position], first, *main.inputs[position + 1 :]]
        gone = [main.operators[reader.index] for reader in readers]
        others = {reader.outputs[0] for reader in readers} - {first}
        main.operators = [operator for operator in main.operators if not any(operator is g for g in gone)]
        for operator in main.operators:
            for other in others:
                edit.redirect(operator, other, first)
        found[was.name] = was.dtype
        fixed |= _decided(model, first, _GRIDS[was.dtype])
        described = graph.describe(model)[0]
    return found, fixed


def _to_float(described: Graph, operator: Operator) -> bool:
    if operator.name != "CAST":
        return False
    made = operator.outputs[0]
    return described.tensors[made].dtype == "float32" and made not in described.outputs


def _rename(model: Any, old: int, new: int) -> None:
    for definition in model.signatureDefs or []:
        for entry in definition.inputs or []:
            if definition.subgraphIndex == 0 and entry.tensorIndex == old:
                entry.tensorIndex = new


def _decided(model: Any, tensor: int, grid: Range) -> dict[int, Range]:
    """Ranges of a tensor with a grid, and of what MUL, ADD and SUB make of it with one constant."""
    described = graph.describe(model)[0]
    found = {tensor: grid}
    for operator in described.operators:
        if operator.name not in _AFFINE or operator.options.get("fusedActivationFunction"):
            continue
        first, second = (operator.inputs[k] for k in (0, 1))
        slot = 0 if first in found else 1
        values = graph.constant(model, 0, (first, second)[1 - slot])
        if operator.inputs[slot] not in found or values is None or values.size != 1:
            continue
        value, (low, high) = float(values.ravel()[0]), found[operator.inputs[slot]]
        if operator.name == "MUL":
            ends = (low * value, high * value)
        elif operator.name == "ADD":
            ends = (low + value, high + value)
        else:
            ends = (low - value, high - value) if slot == 0 else (value - low, value - high)
        found[operator.outputs[0]] = (min(ends), max(ends))
    return found


def divisions_to_products(model: Any) -> None:
    """Make ``x / c`` ``x · (1/c)`` if c is a constant, in place: no quantizer knows DIV."""
    for operator in graph.describe(model)[0].operators:
        values = graph.constant(model, 0, operator.inputs[1]) if operator.name == "DIV" else None
        if values is None or values.dtype != np.float32 or not (np.isfinite(values) & (np.abs(values) > TINY)).all():
            continue
        name = f"{described_name(model, operator.inputs[1])}_reciprocal"
        with np.errstate(over="ignore"):
            inverse = (1 / values.astype(np.float64)).astype(np.float32)
        factor = edit.add_constant(model, name, inverse)
        old = model.subgraphs[0].operators[operator.index]
        fused = operator.options.get("fusedActivationFunction", 0)
        at = operator.index
        model.subgraphs[0].operators.pop(at)
        edit.add_operator(
            model, "MUL", [int(old.inputs[0]), factor], [int(old.outputs[0])],
            at=at, kind="MulOptions", fusedActivationFunction=fused,
        )  # fmt: skip


TINY = 1e-30
"""Divisors below have no reciprocal in float32."""


def described_name(model: Any, tensor: int) -> str:
    """A tensor's name."""
    return bytes(model.subgraphs[0].tensors[tensor].name or b"").decode("utf8", "replace")
