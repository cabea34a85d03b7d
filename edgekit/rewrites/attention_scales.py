"""A number that multiplies what a dense layer or a convolution made, further back than `edgekit.rewrites.scales` looks.

Attention divides the products of queries and keys by a root before its softmax: a pass over every pair
of tokens. In the weights that make the queries it costs nothing. Some frameworks multiply both operands by its root.
"""

from edgekit.rewrites import products, scales
from edgekit.rewrites.index_maps import MOVERS, data
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = products.PRODUCTS

MOST_NODES = 10
"""Between the layer and the factor."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The layer with the number in it, and what lies between as it is."""
    product = products.scaled(main, node)
    if product is None:
        return None
    factor, tensor = product
    path = _path(main, tensor)
    if path is None or len(path) < 2:
        return None
    layer, *between = path
    scaled = scales.scaled(main, layer, factor)
    if scaled is None:
        return None
    names = {one.outputs[0]: main.activation(one.outputs[0], "scaled", main.shape(one.outputs[0])) for one in path}
    names[tensor] = node.outputs[0]
    new = [main.like(layer, scaled, (names[layer.outputs[0]],))]
    new += [main.like(one, (names.get(t, t) for t in one.inputs), (names[one.outputs[0]],)) for one in between]
    return Replacement((*path, node), tuple(new), rescaled=True)


def _path(main: MainGraph, tensor: int, depth: int = 0) -> list[Node] | None:
    """From a layer to a tensor, operators that a factor passes; nobody else reads what they make."""
    maker = main.maker.get(tensor)
    if maker is None or maker.fixed or depth > MOST_NODES or not main.alone(tensor) or len(maker.outputs) > 1:
        return None
    if maker.name in scales.CHANNELS:
        return [maker]
    operands: tuple[int, ...] = ()
    if maker.name in MOVERS:
        operands = (data(maker),)
    elif maker.name == "BATCH_MATMUL":
        operands = maker.inputs[:2]
    for operand in operands:
        path = _path(main, operand, depth + 1)
        if path is not None:
            return [*path, maker]
    return None
