"""Matrix products as devices' fully connected layers, and Einsum as matrix products."""

import string

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes, kind


def fully_connected(builder: Builder, node: onnx.NodeProto) -> bool:
    """MatMul by a constant matrix as Gemm, which becomes TFLite's FULLY_CONNECTED.

    That operator has per-channel int8 kernels everywhere, the Edge TPU included; TFLite's
    BATCH_MATMUL has not.
    """
    return _layer(builder, node, node.output[0])


def biased(builder: Builder, node: onnx.NodeProto) -> bool:
    """MatMul by a constant matrix and the Add of a constant vector behind it as one Gemm, which rounds once."""
    network = builder.network
    for product, vector in (node.input, node.input[::-1]):
        values, result = network.constants.get(vector), network.shape(product)
        if values is None or values.dtype != np.float32 or not result or values.size != result[-1]:
            continue
        if values.shape[-1:] != result[-1:] or network.shape(node.output[0]) != result or product in network.outputs:
            continue
        maker = builder.uses.makers.get(product)
        if maker is not None and kind(maker) == "MatMul" and builder.uses.readers[product] == 1:
            return _layer(builder, maker, node.output[0], builder.const(values.reshape(-1)))
    return False


def _layer(builder: Builder, node: onnx.NodeProto, out: str, *bias: str) -> bool:
    """A MatMul as Gemm under another name, if its matrix is constant."""
    shape, result = builder.network.shape(node.input[0]), builder.network.shape(node.output[0])
    weights = builder.network.constants.get(node.input[1])
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32 or not shape or result is None:
        return False
    transposed = builder.const(np.ascontiguousarray(weights.T))
    if len(shape) == 2:
        builder.op("Gemm", node.input[0], transposed, *bias, transB=1, out=out)
        return True
    rows = builder.reshape(node.input[0], [int(np.prod(shape[:-1])), shape[-1]])
    builder.reshape(builder.op("Gemm", rows, transposed, *bias, transB=1), result, out=out)
    return True


def remainder(builder: Builder, node: onnx.NodeProto) -> bool:
    """Mod with ``fmod=1`` (the sign of the dividend): |x| mod |y| with the sign of x."""
    if not attributes(node).get("fmod", 0):
        return False
    x, y = node.input
    absolute = builder.op("Mod", builder.op("Abs", x), builder.op("Abs", y), fmod=0)
    builder.op("Mul", builder.op("Sign", x), absolute, out=node.output[0])
    return True


def einsum(builder: Builder, node: onnx.NodeProto) -> bool:
    """Einsum by transposes, sums, reshapes and matrix products, one operand after the other."""
    shapes = [builder.network.shape(name) for name in node.input]
    if any(shape is None for shape in shapes):
        return False
    terms, result = _parsed(attributes(node)["equation"], [len(shape or ()) for shape in shapes])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape or (), strict=True):
            if sizes.setdefault(letter, size) != size:
                return False  # broadcasting inside an ellipsis
    operands = []
    for i, (term, name) in enumerate(zip(terms, node.input, strict=True)):
        elsewhere = set(result).union(*(t for j, t in enumerate(terms) if j != i))
        letters, value = _diagonal(builder, name, term, sizes)
        operands.append(_summed(builder, value, letters, [x for x in letters if x not in elsewhere], sizes))
    letters, value = operands[0]
    for i, operand in enumerate(operands[1:], 1):
        kept = result + "".join(term for term, _ in operands[i + 1 :])
        letters, value = _product(builder, (letters, value), operand, kept, sizes)
    builder.transpose(value, [letters.index(x) for x in result], out=node.output[0])
    return True


def _parsed(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Operands' and result's letters; an ellipsis becomes letters that the equation does not use."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    free = [x for x in string.ascii_letters if x not in equation]
    terms, longest = [], ""
    for term, rank in zip(left.split(","), ranks, strict=True):
        if "..." in term:
            count = rank - len(term.replace("...", ""))
            hidden = "".join(free[:8][8 - count :])
            longest = max(longest, hidden, key=len)
            terms.append(term.replace("...", hidden))
        else:
            terms.append(term)
    if arrow:
        return terms, right.replace("...", longest)
    letters = "".join(terms)
    return terms, longest + "".join(sorted({x for x in letters if letters.count(x) == 1 and x not in longest}))


def _diagonal(builder: Builder, value: str, term: str, sizes: dict[str, int]) -> tuple[str, str]:
    """An operand in which no letter stands twice: of those that do, the places where their indices are the same."""
    for letter in dict.fromkeys(term):
        if (times := term.count(letter)) > 1:
            others, size = [i for i, x in enumerate(term) if x != letter], sizes[letter]
            term = "".join(x for x in term if x != letter)
            places = [i for i in range(len(term) + times) if i not in others]
            last = builder.transpose(value, [*others, *places])
            flat = builder.reshape(last, [*(sizes[x] for x in term), size**times])
            step = sum(size**power for power in range(times))
            along = builder.const(np.arange(size) * step, np.int64)
            term, value = term + letter, builder.op("Gather", flat, along, axis=len(term))
    return term, value


def _summed(builder: Builder, value: str, term: str, over: list[str], sizes: dict[str, int]) -> tuple[str, str]:
    """An operand without the letters that stand in it alone."""
    if not over:
        return term, value
    kept = "".join(x for x in term if x not in over)
    total = builder.sum(value, [term.index(x) for x in over])
    return kept, builder.reshape(total, [sizes[x] for x in kept])


def _product(
    builder: Builder, a: tuple[str, str], b: tuple[str, str], result: str, sizes: dict[str, int]
) -> tuple[str, str]:
    """[batch, left, shared] × [batch, shared, right], then back to one axis per letter."""
    both = [x for x in a[0] if x in b[0]]
    batch = [x for x in both if x in result]
    shared = [x for x in both if x not in result]
    left, right = [x for x in a[0] if x not in both], [x for x in b[0] if x not in both]
    first = _grouped(builder, a, (batch, left, shared), sizes)
    second = _grouped(builder, b, (batch, shared, right), sizes)
    letters = "".join([*batch, *left, *right])
    return letters, builder.reshape(builder.op("MatMul", first, second), [sizes[x] for x in letters])


def _grouped(builder: Builder, operand: tuple[str, str], groups: tuple[list[str], ...], sizes: dict[str, int]) -> str:
    order = [operand[0].index(x) for group in groups for x in group]
    value = builder.transpose(operand[1], order) if order != sorted(order) else operand[1]
    return builder.reshape(value, [int(np.prod([sizes[x] for x in group], dtype=np.int64)) for group in groups])


ROUNDS = 48
"""Rounds of Newton's iteration: the error of A·X is squared in each, and begins at 1 - 1 / cond(A)²."""

SMALL, LARGEST = 16, 64
"""Matrices up to the first size the converter inverts by elimination, written out; up to the second `inverse` does.

Beyond, ONNX Runtime's own float32 inverse is too far from the true one to be compared with: 54 dB on normal
3 × 224 × 224 (this iteration: 69).
"""


def inverse(builder: Builder, node: onnx.NodeProto) -> bool:
    """The inverse of large matrices by X ← X (2 - A X) from X = Aᵀ / (‖A‖₁ ‖A‖∞), which needs no pivots.

    Up to a condition of 1e5; beyond, float32 holds no inverse (V. Pan, R. Schreiber, "An Improved Newton Iteration for
    the Generalized Inverse of a Matrix, with Applications", 1991).
    """
    shape = builder.network.shape(node.input[0])
    if not shape or len(shape) < 2 or shape[-1] != shape[-2] or not SMALL < shape[-1] <= LARGEST:
        return False
    matrix, rank = node.input[0], len(shape)
    sizes = builder.op("Abs", matrix)
    norms = [builder.max(builder.sum(sizes, [axis]), [other]) for axis, other in ((-1, -2), (-2, -1))]
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    found = builder.op("Div", builder.op("Div", builder.transpose(matrix, swapped), norms[0]), norms[1])
    two = builder.const(2 * np.eye(shape[-1]), np.float32)
    for turn in range(ROUNDS):
        rest = builder.op("Sub", two, builder.op("MatMul", matrix, found))
        found = builder.op("MatMul", found, rest, out=node.output[0] if turn == ROUNDS - 1 else None)
    return True
