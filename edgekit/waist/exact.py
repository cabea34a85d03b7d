"""What 256 levels do not serve: what is counted with, or divided by. Such operators stay float in integer files.

* **Index arithmetic.** If integers or truth values are computed from floats (a CAST of sampling
  coordinates to the indices of a GATHER, a FLOOR, a comparison), a position that is off by one
  level is another pixel.
* **Divisors, and what is under a root or a logarithm.** A guard (``+ 1e-12``, ``max(., 1e-6)``) is
  far below one level: it rounds to 0, and the network gives NaN where the float one is finite.
"""

from collections.abc import Iterable, Iterator

from edgekit.waist.graph import Graph, Operator

LAYERS = frozenset({
    "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "CONV_3D",
})  # fmt: skip
"""Operators that multiply and sum: what integers make fast, and what makes the scores of a classifier."""

MOVES = frozenset({
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND", "SPLIT",
    "SPLIT_V", "UNPACK", "PACK", "CONCATENATION", "PAD", "PADV2", "MIRROR_PAD", "TILE", "BROADCAST_TO",
    "REVERSE_V2", "DYNAMIC_UPDATE_SLICE",
})  # fmt: skip
"""Operators that only move values."""

ELEMENTWISE = frozenset({
    "ABS", "ADD", "ADD_N", "ATAN2", "CAST", "CEIL", "COS", "DIV", "ELU", "EXP", "FLOOR", "FLOOR_DIV",
    "FLOOR_MOD", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "NEG",
    "POW", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SELECT", "SELECT_V2", "SIGN",
    "SIN", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH", "WHERE",
})  # fmt: skip
"""Operators whose every output value comes from one value of each operand."""

REDUCTIONS = frozenset({"SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "CUMSUM"})

_SQUARES = {"SQUARE", "SQUARED_DIFFERENCE", "ABS", "EXP", "POW"}
"""What is commonly reduced to a norm or a sum; its own operand may be an activation of integers."""

_STEPS = {"FLOOR", "CEIL", "ROUND", "FLOOR_DIV", "FLOOR_MOD"}
"""Functions of floats whose results are whole numbers."""

_COMPARISONS = {"EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "ARG_MAX", "ARG_MIN", "TOPK_V2"}
"""What integers serve as well if nothing but the network's own activations comes in."""

_SHAPES = {"SHAPE", "RANK", "ZEROS_LIKE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"}
"""Operators with integer outputs that do not look at floats, or have their own idea of them."""

_INTEGERS = {"int32", "int64", "bool", "int16", "uint32"}

GUARDED = frozenset({"DIV", "LOG", "POW", "SQRT"})
"""Operators that give NaN or infinity if an operand's guard is lost."""


class Wiring:
    """Who makes and who reads the float activations of a graph."""

    def __init__(self, main: Graph) -> None:
        self.graph = main
        self.producer = {tensor: operator for operator in main.operators for tensor in operator.outputs}
        self.readers: dict[int, list[Operator]] = {}
        for operator in main.operators:
            for tensor in dict.fromkeys(operator.inputs):
                self.readers.setdefault(tensor, []).append(operator)

    def activations(self, operator: Operator) -> tuple[int, ...]:
        """Operands that are float and no constants."""
        return tuple(i for i in dict.fromkeys(operator.inputs) if i >= 0 and self.is_activation(i))

    def is_activation(self, tensor: int) -> bool:
        """Whether a tensor is float and no constant."""
        found = self.graph.tensors[tensor]
        return found.dtype == "float32" and not found.constant_bytes

    def chain(self, tensors: Iterable[int], through: frozenset[str]) -> Iterator[Operator]:
        """The producers of tensors, and of their operands, as far as they are of the kinds ``through``."""
        waiting, seen = list(tensors), set()
        while waiting:
            operator = self.producer.get(waiting.pop())
            if operator is None or operator.index in seen or operator.name not in through:
                continue
            seen.add(operator.index)
            yield operator
            waiting += self.activations(operator)


BOUNDED = frozenset({"LOGISTIC", "SOFTMAX", "TANH"})
"""Operators whose results have ends of their own, whatever their operand."""


def bounded(wiring: Wiring, tensor: int) -> bool:
    """Whether all that a tensor holds was made by `BOUNDED` operators, and moved since."""
    maker = wiring.producer.get(tensor)
    if maker is None or maker.name not in MOVES:
        return maker is not None and maker.name in BOUNDED
    floats = [t for t in maker.inputs if t >= 0 and wiring.graph.tensors[t].dtype == "float32"]
    return bool(floats) and all(bounded(wiring, operand) for operand in floats)


def index_arithmetic(wiring: Wiring) -> frozenset[int]:
    """Operators from which whole numbers are computed, and what else is computed from these floats alone."""
    found: set[int] = set()
    for operator in wiring.graph.operators:
        operands = wiring.activations(operator)
        counts = all(wiring.graph.tensors[tensor].dtype in _INTEGERS for tensor in operator.outputs[-1:])
        if not operands or operator.name in _SHAPES or not (counts or operator.name in _STEPS):
            continue
        behind = {made.index for made in wiring.chain(operands, MOVES | ELEMENTWISE)}
        if behind or operator.name not in _COMPARISONS:
            found |= behind | {operator.index}
    return frozenset(found | _fractions(wiring, found))


def _fractions(wiring: Wiring, found: set[int]) -> set[int]:
    """What combines only tensors of ``found`` (the fraction x - floor(x)), and what is made of that alone."""
    counted = [wiring.graph.operators[index] for index in found]
    inside = {tensor for operator in counted for tensor in (*operator.outputs, *wiring.activations(operator))}
    made: set[int] = set()
    more: set[int] = set()
    for operator in wiring.graph.operators:
        operands = wiring.activations(operator)
        if not operands or operator.index in found or operator.name not in MOVES | ELEMENTWISE:
            continue
        both = len(operands) > 1 and all(tensor in inside for tensor in operands)
        if both or (any(tensor in made for tensor in operands) and all(t in made | inside for t in operands)):
            more.add(operator.index)
            made |= set(operator.outputs)
    return more


def guarded(wiring: Wiring, kinds: frozenset[str]) -> frozenset[int]:
    """Operators of ``kinds`` (as `GUARDED`), with what leads to the divisor, or what is under the root."""
    found: set[int] = set()
    for operator in wiring.graph.operators:
        operands = operator.inputs[1:] if operator.name == "DIV" else operator.inputs
        if operator.name not in kinds:
            continue
        found.add(operator.index)
        guards = [tensor for tensor in operands if tensor >= 0 and wiring.is_activation(tensor)]
        leading = _guard(wiring, guards)
        found |= leading
        if operator.name == "DIV":
            found |= _shares(wiring, operator.inputs[0], leading)
    return frozenset(found)


def _shares(wiring: Wiring, dividend: int, divisor: set[int]) -> set[int]:
    """The softmax whose shares are divided by their own sum, as those left by a mask are, with what lies between.

    Where little is left, a level of 1/256 is much of it.
    """
    operators = wiring.graph.operators
    if not any(operators[i].name in REDUCTIONS and dividend in operators[i].inputs for i in divisor):
        return set()
    between = list(wiring.chain([dividend], MOVES | ELEMENTWISE))
    read = {dividend, *(tensor for operator in between for tensor in operator.inputs)}
    first = {o.index for o in operators if o.name == "SOFTMAX" and read.intersection(o.outputs)}
    return first | {operator.index for operator in between} if first else set()


def _guard(wiring: Wiring, tensors: list[int]) -> set[int]:
    """What leads to a divisor: its own arithmetic, the sum that this starts from, and the squares that are summed."""
    found: set[int] = set()
    waiting = [(tensor, False) for tensor in tensors]
    while waiting:
        tensor, summed = waiting.pop()
        operator = wiring.producer.get(tensor)
        if operator is None or operator.index in found:
            continue
        square = operator.name in _SQUARES or (operator.name == "MUL" and len(set(operator.inputs)) == 1)
        if operator.name not in MOVES | (ELEMENTWISE if not summed else frozenset()) | REDUCTIONS and not square:
            continue
        found.add(operator.index)
        if summed and square:
            continue
        waiting += [(operand, summed or operator.name in REDUCTIONS) for operand in wiring.activations(operator)]
    return found
