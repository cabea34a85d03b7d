"""x / √Σx² as L2_NORMALIZATION, whatever keeps the root from being 0.

LiteRT's own lower bound of the root is 1e-6 (``l2norm.h``). Vectors shorter than that come out otherwise than of a
smaller bound; those of length 0 give 0 either way.
"""

from collections.abc import Iterator

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.norms import axis, square_of
from edgekit.rewrites.products import scalar

ROOTS = frozenset({"DIV", "MUL"})

LEAST = 1e-6
"""LiteRT's lower bound of the root."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """L2_NORMALIZATION, if the root is one of x alone along the last axis."""
    if node.options.get("fusedActivationFunction") or len(main.shape(node.outputs[0])) > 4:
        return None
    for x, root in (node.inputs,) if node.name == "DIV" else (node.inputs, node.inputs[::-1]):
        inner = list(_root(main, root, x, "SQRT" if node.name == "DIV" else "RSQRT"))
        alike = main.shape(x) == main.shape(node.outputs[0])
        if inner and alike and main.closed((*inner, node), node):
            made = main.node("L2_NORMALIZATION", (x,), node.outputs, "L2NormOptions")
            return Replacement((*inner, node), (made,), where_finite=True)
    return None


def _root(main: MainGraph, tensor: int, x: int, kind: str) -> Iterator[Node]:
    """The operators that make a root of the sum of x's squares; none if something else does."""
    found: list[Node] = []
    rooted = False
    while (maker := main.maker.get(tensor)) is not None:
        found.append(maker)
        if maker.name == "MAXIMUM" and (rooted or kind == "SQRT"):
            bound = next((value for one in maker.inputs if (value := scalar(main, one)) is not None), None)
            least = LEAST**2 if rooted else LEAST
            if bound is None or not 0 <= bound <= least * 1.001:
                return
            tensor = next(one for one in maker.inputs if scalar(main, one) is None)
        elif maker.name == kind and not rooted:
            tensor, rooted = maker.inputs[0], True
        elif rooted and axis(main, maker, "SUM") == len(main.shape(x)) - 1 and square_of(main, maker.inputs[0]) == x:
            yield from (main.maker[maker.inputs[0]], *reversed(found))
            return
        else:
            return
