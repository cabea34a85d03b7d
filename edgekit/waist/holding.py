"""Whether a file holds what its precision's name says: an int8 file of float weights is one by its name alone."""

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any

from edgekit.nouns.model import CALIBRATED, Precision
from edgekit.waist import cost, graph
from edgekit.waist.exact import LAYERS
from edgekit.waist.graph import Graph, Operator

LEAST = 0.5
"""Share of a network below which a file is told not to hold what its name says."""

STORED: dict[Precision, str] = {"float16": "float16", "dynamic-int8": "int8", "int8": "int8", "int4": "int4"}
"""How weights are stored in a file of a precision."""


def of_weights(precision: Precision, elements: Counter[str]) -> Iterator[str]:
    """A warning if most weights of a file are stored otherwise than its precision says.

    Args:
        precision: of the file.
        elements: of its weights, by the dtype that they are stored in.
    """
    wanted, total = STORED.get(precision), elements.total()
    if wanted is None or not total or (share := elements[wanted] / total) >= LEAST:
        return
    others = ", ".join(f"{dtype} {count / total:.0%}" for dtype, count in elements.most_common() if dtype != wanted)
    yield f"{_share(share)} of its weights {'are' if share else 'is'} stored as {wanted} ({others})"


def told(precision: Precision, model: Any) -> tuple[str, ...]:
    """What a TFLite file lacks of its precision's name: integer operators if activations are, else weights.

    Args:
        precision: of the file.
        model: its object tree.
    """
    if precision in CALIBRATED:
        return tuple(_of_operators(model))
    return tuple(of_weights(precision, weights(graph.describe(model))))


def weights(subgraphs: tuple[Graph, ...]) -> Counter[str]:
    """Elements of the constants of a TFLite file that stand for real numbers, by dtype; each buffer's tensor once."""
    found: Counter[str] = Counter()
    for main in subgraphs:
        used = {index for operator in main.operators for index in operator.inputs}
        for tensor in main.tensors:
            if tensor.index in used and tensor.constant_bytes and (tensor.scales or "float" in tensor.dtype):
                found[tensor.dtype] += prod(tensor.shape)
    return found


def float_operators(made: Graph) -> tuple[Operator, ...]:
    """Operators of a quantized graph that still compute in floating point."""
    return tuple(
        operator
        for operator in made.operators
        if operator.name not in graph.BORDER
        and any(made.tensors[i].dtype == "float32" for i in (*operator.inputs, *operator.outputs) if i >= 0)
    )


def _of_operators(model: Any) -> Iterator[str]:
    main = graph.describe(model)[0]
    inside, total = cost.beside_main(model)
    if inside:
        yield (
            f"loops stay float32, {inside / total:.0%} of the multiply-accumulates:"
            " a recurrent layer that is saved unrolled (Keras: unroll=True) has none"
        )
    floats = float_operators(main)
    left = inside + sum(cost.macs(main, operator) for operator in floats)
    computing = [operator for operator in main.operators if operator.name not in graph.BORDER]
    if not total and computing and len(floats) == len(computing):
        yield "none of its operators computes in integers"
    elif total and left > inside and left > (1 - LEAST) * total:
        layers = ", ".join(sorted({operator.name for operator in floats if operator.name in LAYERS}))
        yield f"{left / total:.0%} of the multiply-accumulates stay float32{f': {layers}' if layers else ''}"


def _share(share: float) -> str:
    return f"only {share:.0%}" if share >= 0.005 else "none"
