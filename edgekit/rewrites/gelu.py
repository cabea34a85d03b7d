"""x·(1 + erf(x/√2))/2 as GELU, whatever erf is written as.

TFLite has no erf, so that converters write a polynomial in two dozen operators (Abramowitz and Stegun, 7.1.26, which is
within 1.5e-7 of it). Which function of x a gate is, the proof tells; the rule only finds a product of x and something
that is made of x alone, element by element.
"""

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.products import PRODUCTS, factors, scalar

ROOTS = PRODUCTS

ELEMENTWISE = frozenset({
    "ABS", "ADD", "DIV", "EXP", "MUL", "NEG", "POW", "SIGN", "SQUARE", "SUB", "TANH",
})  # fmt: skip

MOST_NODES = 40
"""Of a gate."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """GELU, if the product has a gate that looks like that of one."""
    nodes: list[Node] = []
    _, both = factors(main, node, nodes)
    if len(both) != 2 or main.dtype(node.outputs[0]) != "float32":
        return None
    for x, gate in (both, both[::-1]):
        inner = None if main.shape(x) != main.shape(node.outputs[0]) else _made_of(main, gate, x)
        if inner is None or not main.closed((*inner, *nodes), node):
            continue
        kinds = {one.name for one in inner}
        if "TANH" in kinds or {"DIV", "EXP"} <= kinds:
            made = main.node("GELU", (x,), node.outputs, "GeluOptions", approximate="TANH" in kinds)
            return Replacement((*inner[::-1], *nodes[::-1]), (made,))
    return None


def _made_of(main: MainGraph, tensor: int, x: int) -> list[Node] | None:
    """The operators that make a tensor of x and single numbers alone, each before those that it reads from."""
    found: dict[Node, None] = {}
    waiting = [tensor]
    while waiting:
        one = waiting.pop()
        if one == x or scalar(main, one) is not None:
            continue
        maker = main.maker.get(one)
        if maker is None or maker.name not in ELEMENTWISE or len(found) > MOST_NODES:
            return None
        if maker not in found:
            found[maker] = None
            waiting += maker.inputs
    return _sorted(main, list(found))


def _sorted(main: MainGraph, nodes: list[Node]) -> list[Node]:
    """Operators, each before those that it reads from."""
    left, done = dict.fromkeys(nodes), list[Node]()
    while left:
        ready = [node for node in left if not any(reader in left for reader in main.readers(node.outputs[0]))]
        if not ready:
            return nodes
        for node in ready:
            del left[node]
        done += ready
    return done
