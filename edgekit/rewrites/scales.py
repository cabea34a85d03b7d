"""A constant factor or summand behind a layer, taken into the layer's weights and bias."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"ADD", "MUL", "SUB"})

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Layers, and the axis of their weights that is that of their results' channels."""

Floats = NDArray[np.float32]


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The layer alone, if it has no activation, nobody else reads what it gives, and all its weights are constants."""
    for slot in (0, 1) if node.name != "SUB" else (0,):
        tensor, constant = node.inputs[slot], main.constant(node.inputs[1 - slot])
        layer = main.maker.get(tensor)
        if constant is None or constant.dtype != np.float32 or layer is None or layer.name not in CHANNELS:
            continue
        if not main.alone(tensor):
            continue
        held = _held(main, layer)
        one = _for_each_channel(constant, main.shape(tensor))
        if held is None or one is None or main.shape(tensor) != main.shape(node.outputs[0]):
            continue
        return _folded(main, layer, node, held, one)
    return None


def scaled(main: MainGraph, layer: Node, factor: float) -> tuple[int, ...] | None:
    """What a layer reads if its results are to be multiplied by a number; None if that is not possible."""
    held = _held(main, layer)
    return None if held is None else _multiplied(main, layer, held, np.full(held[1].shape, factor, np.float32))


def _held(main: MainGraph, layer: Node) -> tuple[Floats, Floats] | None:
    """A layer's weights and bias; None if they are computed, or no floats, or if an activation follows."""
    if layer.options.get("fusedActivationFunction") != schema.ActivationFunctionType.NONE:
        return None
    weights: Any = main.constant(layer.inputs[1])
    if weights is None or weights.dtype != np.float32:
        return None
    bias: Any = np.zeros(weights.shape[CHANNELS[layer.name]], np.float32)
    if len(layer.inputs) > 2 and layer.inputs[2] >= 0:
        bias = main.constant(layer.inputs[2])
    return None if bias is None or bias.dtype != np.float32 else (weights, bias.ravel())


def _for_each_channel(constant: Any, shape: tuple[int, ...]) -> Floats | None:
    """A constant as one number for each channel; None if it differs within one."""
    if constant.size != 1 and (constant.size != shape[-1] or constant.shape[-1] != shape[-1]):
        return None
    found: Floats = np.broadcast_to(constant.ravel(), shape[-1:])
    return found


def _folded(
    main: MainGraph, layer: Node, node: Node, held: tuple[Floats, Floats], constant: Floats
) -> Replacement | None:
    if node.name == "MUL":
        inputs = _multiplied(main, layer, held, constant)
    else:
        inputs = _with_bias(main, layer, layer.inputs[1], held[1] + (constant if node.name == "ADD" else -constant))
    if inputs is None:
        return None
    activation = node.options.get("fusedActivationFunction", schema.ActivationFunctionType.NONE)
    made = main.like(layer, inputs, node.outputs, fusedActivationFunction=activation)
    return Replacement((layer, node), (made,), rescaled=True)


def _multiplied(main: MainGraph, layer: Node, held: tuple[Floats, Floats], factors: Floats) -> tuple[int, ...] | None:
    weights, bias = held
    if layer.name == "FULLY_CONNECTED" and np.ptp(factors):
        return None  # accelerators have one scale for all weights of a dense layer
    axes = [1] * weights.ndim
    axes[CHANNELS[layer.name]] = -1
    return _with_bias(
        main, layer, main.add_constant(layer.inputs[1], "scaled", weights * factors.reshape(axes)), bias * factors
    )


def _with_bias(main: MainGraph, layer: Node, weights: int, bias: Floats) -> tuple[int, ...]:
    return layer.inputs[0], weights, main.add_constant(layer.inputs[1], "bias", bias.astype(np.float32))
