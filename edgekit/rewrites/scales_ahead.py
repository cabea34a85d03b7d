"""A constant factor in front of layers, taken into the weights of all that read it, through what is linear in between.

Normalizations, and the sixths that HARD_SWISH leaves when it is written in parts: each is a pass over a tensor, and in
integers a rounding more. Squeeze and excitation, which reads it twice, is passed on both ways.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.rewrites import scales
from edgekit.rewrites.index_maps import MOVERS, data
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.products import PRODUCTS, scaled
from edgekit.waist.tensors import Array

ROOTS = PRODUCTS

LINEAR = frozenset({"AVERAGE_POOL_2D", "MEAN", "PAD", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SUM"}) | MOVERS
"""What gives c·f(x) for c·x by its first operand, its activation aside."""

POSITIVE = frozenset({"MAX_POOL_2D", "RELU"})
"""The same if c is not negative."""

MOST_NODES = 24


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The layers with the factor in them, and what lies between as it is, if every way leads to a layer."""
    product, made = scaled(main, node), node.outputs[0]
    if product is None or made in main.outputs or product[0] < 0:
        return None
    factor, tensor = product
    between: list[Node] = []
    layers: list[Node] = []
    if not all(_passed(main, made, reader, between, layers) for reader in main.readers(made)) or not layers:
        return None
    return Replacement(
        (node, *between, *layers), tuple(_written(main, (made, tensor), factor, between, layers)), rescaled=True
    )


def _passed(main: MainGraph, tensor: int, node: Node, between: list[Node], layers: list[Node]) -> bool:
    """Whether a factor of a tensor passes an operator, and comes to layers behind it; fills both lists."""
    if node in between or node in layers or len(between) + len(layers) > MOST_NODES or node.fixed:
        return False
    if node.name in scales.CHANNELS:
        layers.append(node)
        return node.inputs[0] == tensor and tensor not in node.inputs[1:] and _weights(main, node) is not None
    between.append(node)
    made = node.outputs[0]
    if len(node.outputs) > 1 or made in main.outputs or not main.readers(made) or not _is_linear(main, node, tensor):
        return False
    return all(_passed(main, made, reader, between, layers) for reader in main.readers(made))


def _is_linear(main: MainGraph, node: Node, tensor: int) -> bool:
    if node.options.get("fusedActivationFunction") or node.inputs.count(tensor) > 1:
        return False
    if node.name == "MUL":
        return not any(main.is_constant(operand) for operand in node.inputs)
    return (node.name in LINEAR and data(node) == tensor) or (node.name in POSITIVE and node.inputs[0] == tensor)


def _weights(main: MainGraph, layer: Node) -> Array | None:
    found = main.constant(layer.inputs[1])
    return found if found is not None and found.dtype == np.float32 else None


def _written(
    main: MainGraph, ends: tuple[int, int], factor: float, between: list[Node], layers: list[Node]
) -> Iterator[Node]:
    """What lies between on new tensors, which are 1/factor of what they were, and the layers that make up for it."""
    names = dict([ends])
    for one in between:
        made = one.outputs[0]
        names[made] = main.activation(made, "unscaled", main.shape(made))
    for one in between:
        yield main.like(one, (names.get(t, t) for t in one.inputs), (names[one.outputs[0]],))
    for layer in layers:
        weights: Any = _weights(main, layer)
        held = main.add_constant(layer.inputs[1], "scaled", weights * np.float32(factor))
        yield main.like(layer, (names[layer.inputs[0]], held, *layer.inputs[2:]), layer.outputs)
