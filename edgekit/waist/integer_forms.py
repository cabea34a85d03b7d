"""What is brought into the form that integer operators have, before `edgekit.waist.fusing` makes them."""

from typing import Any

import numpy as np

from edgekit.waist import edit, graph, stored
from edgekit.waist.graph import Graph, Operator
from edgekit.waist.tensors import Array

INT8 = np.iinfo(np.int8)


def float_readers(main: Graph) -> dict[int, list[Operator]]:
    """Who reads each tensor."""
    readers: dict[int, list[Operator]] = {}
    for operator in main.operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor, []).append(operator)
    return readers


def bias_of_transposed(model: Any) -> None:
    """Let a TRANSPOSE_CONV add its bias itself, of which converters make an ADD, in place."""
    main = graph.describe(model)[0]
    readers, gone = float_readers(main), []
    for operator in main.operators:
        followers = readers.get(operator.outputs[0], [])
        if operator.name != "TRANSPOSE_CONV" or len(operator.inputs) > 3 or [f.name for f in followers] != ["ADD"]:
            continue
        addition = followers[0]
        bias = next(tensor for tensor in addition.inputs if tensor != operator.outputs[0])
        values = graph.constant(model, 0, bias)
        channels = main.tensors[operator.outputs[0]].shape[-1]
        if values is None or values.dtype != np.float32 or values.size != channels or values.shape[-1] != channels:
            continue
        flat = edit.add_constant(model, f"{main.tensors[bias].name}_bias", values.reshape(-1))
        old = model.subgraphs[0].operators[operator.index]
        old.inputs, old.outputs = [*operator.inputs, flat], list(addition.outputs)
        old.builtinOptions.fusedActivationFunction = addition.options.get("fusedActivationFunction", 0)
        gone.append(model.subgraphs[0].operators[addition.index])
    model.subgraphs[0].operators = [o for o in model.subgraphs[0].operators if not any(o is g for g in gone)]


def fillings(model: Any) -> None:
    """Let each PADV2 of a rounded tensor fill with an integer on that tensor's grid, in place, if one stands for it.

    What lies beyond the grid becomes its end where nobody can tell: in front of a rounding to the same grid, and, if
    it is lower, of a maximum.
    """
    main = graph.describe(model)[0]
    readers, makers = float_readers(main), {made: o for o in main.operators for made in o.outputs}
    added = []
    for operator in main.operators:
        maker = makers.get(operator.inputs[0]) if operator.name == "PADV2" else None
        value = _value(model, main, makers, operator.inputs[2]) if maker is not None else None
        if maker is None or value is None or maker.name != "DEQUANTIZE":
            continue
        held = main.tensors[maker.inputs[0]]
        if len(held.scales) != 1 or held.dtype != "int8" or value.dtype != np.float32:
            continue
        scale, zero_point = held.scales[0], held.zero_points[0]
        level = np.rint(value.astype(np.float64) / scale) + zero_point  # the lowest float overflows as a float32
        filled = np.clip(level, INT8.min, INT8.max).astype(np.int8)
        exact = np.array_equal((filled.astype(np.float32) - zero_point) * np.float32(scale), value)
        followers = readers.get(operator.outputs[0], [])
        rounded = all(f.name == "QUANTIZE" and _grid(main, f) == (scale, zero_point) for f in followers)
        pooled = bool((level <= INT8.min).all()) and all(f.name == "MAX_POOL_2D" for f in followers)
        if followers and operator.outputs[0] not in main.outputs and (exact or rounded or pooled):
            added.append((operator, filled, scale, zero_point))
    for operator, filled, scale, zero_point in added:
        name = main.tensors[operator.outputs[0]].name
        constant = edit.add_constant(model, f"{name}_filling_int8", filled)
        model.subgraphs[0].tensors[constant].quantization = edit.quantization([scale], [zero_point])
        real = edit.add_tensor(model.subgraphs[0], f"{name}_filling", filled.shape)
        edit.reread(model, operator.outputs[0], 2, real)
        edit.add_operator(model, "DEQUANTIZE", [constant], [real], at=0)


def _value(model: Any, main: Graph, makers: dict[int, Operator], tensor: int) -> Array | None:
    """A constant, also one of integers behind a DEQUANTIZE."""
    maker = makers.get(tensor)
    if maker is None:
        return graph.constant(model, 0, tensor)
    return stored.real(model, 0, main.tensors[maker.inputs[0]]) if maker.name == "DEQUANTIZE" else None


def _grid(main: Graph, rounding: Operator) -> tuple[float, int]:
    made = main.tensors[rounding.outputs[0]]
    return made.scales[0], made.zero_points[0]
