"""What a network needs, whatever the machine: multiply-accumulates, parameters, activation memory."""

import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.nouns.model import Cost
from edgekit.waist import copies, graph
from edgekit.waist.graph import Graph, Operator, Tensor
from edgekit.waist.loops import trips

BITS = {"int4": 4, "int2": 2, "bool": 8, "str": 0}
"""Bits of an element if the dtype's name does not say it."""


def count(path: Path) -> Cost:
    """Count a TFLite file's cost for one inference of its main subgraph.

    * ``parameters``: elements of constant weights and biases of the main subgraph and those it
      calls, each once however often it is shared; shapes, axes and paddings (int32 and int64 that no
      quantization scales) are not parameters, nor are the zeros that a loop's states and results begin with.
    * ``macs``: multiply-accumulates of convolutions, matrix products and recurrent cells, as MLPerf
      Tiny and the papers count them; element-wise operators and pooling count nothing. The body of a
      WHILE counts as often as it runs if that is fixed, else once, with a note; of an IF the larger branch.
    * ``peak_activation_bytes``: the largest sum of activations alive at once in the file's operator
      order, without the reuse in place and the padding of any particular allocator. If a dimension
      is dynamic, the shape stored in the file is used (batch 1).

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = graph.load(path)
    subgraphs = graph.describe(model)
    histogram = Counter(operator.name for subgraph in subgraphs for operator in subgraph.operators)
    counter = _Counter(model, subgraphs, macs)
    return Cost(
        bytes=path.stat().st_size,
        parameters=parameters(model),
        macs=counter.total(0),
        peak_activation_bytes=peak(subgraphs[0]),
        operators=dict(histogram.most_common()),
        notes=tuple(dict.fromkeys(counter.notes)),
    )


def gzip_bytes(content: bytes) -> int:
    """The size of a file once it is compressed as well as gzip can."""
    return len(gzip.compress(content, 9, mtime=0))


def repeated(model: Any, rule: "Rule", *, most_trips: int, unknown_trips: int) -> int:
    """The sum of a rule over all operators that one inference runs.

    Bodies of loops count as often as they run, ``unknown_trips`` times if values decide that, at most ``most_trips``
    times in all.
    """
    return _Counter(model, graph.describe(model), rule, unknown_trips).total(0, most_trips)


def beside_main(model: Any) -> tuple[int, int]:
    """Multiply-accumulates of what the main subgraph calls (bodies of loops, branches), and of the whole network."""
    subgraphs = graph.describe(model)
    total = _Counter(model, subgraphs, macs).total(0)
    return total - sum(macs(subgraphs[0], operator) for operator in subgraphs[0].operators), total


UNBOUNDED = 1 << 200


Rule = Callable[[Graph, Operator], int]
"""What an operator of a subgraph counts."""


class _Counter:
    """Adds up a rule over subgraphs with all that they call; ``notes`` take what is not known."""

    def __init__(self, model: Any, subgraphs: tuple[Graph, ...], rule: Rule, unknown_trips: int = 1) -> None:
        self.notes: list[str] = []
        self._model, self._subgraphs, self._rule, self._unknown_trips = model, subgraphs, rule, unknown_trips
        self._known: dict[tuple[int, int], int] = {}

    def total(self, index: int, most_trips: int = UNBOUNDED) -> int:
        """Of one subgraph, in which loops count at most so often; one that calls itself is damaged, and counts once."""
        if (index, most_trips) not in self._known:
            self._known[index, most_trips] = 0
            operators = self._subgraphs[index].operators
            self._known[index, most_trips] = sum(self._operator(index, operator, most_trips) for operator in operators)
        return self._known[index, most_trips]

    def _operator(self, index: int, operator: Operator, most_trips: int) -> int:
        called = [int(operator.options.get(name, -1)) for name in CALLED.get(operator.name, ())]
        if not all(0 <= part < len(self._subgraphs) for part in called):
            return 0
        try:
            if operator.name != "WHILE":
                inside = max((self.total(part, most_trips) for part in called), default=0)
                return inside + self._rule(self._subgraphs[index], operator)
            runs = trips(self._model, self._subgraphs, index, operator)
        except IndexError:  # only in a file that LiteRT does not load either
            self.notes.append(f"{operator.name} lacks what it computes from: it is not in the MACs")
            return 0
        often = min(self._unknown_trips if runs is None else runs, most_trips)
        counted = sum(self.total(part, most_trips // max(1, often)) for part in called)
        if runs is None and counted:
            self.notes.append("a loop runs as often as values say: MACs count its body once")
        return counted * often


CALLED = {
    "WHILE": ("condSubgraphIndex", "bodySubgraphIndex"),
    "IF": ("thenSubgraphIndex", "elseSubgraphIndex"),
}
"""Options of operators that run subgraphs."""


def parameters(model: Any) -> int:
    """How many parameters, as `count` counts them, an object tree has."""
    return sum(prod(tensor.shape) for _, tensor in _held(model))


def _held(model: Any) -> Iterator[tuple[int, Tensor]]:
    """The constants that hold parameters with their subgraphs, each weight once."""
    seen = set[Hashable]()
    for place, subgraph in enumerate(graph.describe(model)):
        readers: dict[int, set[str]] = defaultdict(set)
        for operator in subgraph.operators:
            for index in operator.inputs:
                readers[index].add(operator.name)
        keys = copies.keys(model, place, subgraph)
        for tensor in subgraph.tensors:
            if tensor.index not in readers or not tensor.constant_bytes or not is_parameter(tensor):
                continue
            if readers[tensor.index] <= CALLED.keys() and _is_zero(model, place, tensor):
                continue
            if keys[tensor.index] not in seen:
                seen.add(keys[tensor.index])
                yield place, tensor


def _is_zero(model: Any, place: int, tensor: Tensor) -> bool:
    """Whether a constant is zero throughout: of a loop that is a state at first, or room for its results."""
    data = model.buffers[model.subgraphs[place].tensors[tensor.index].buffer].data
    return not np.asarray(data, np.uint8).any()


def is_parameter(constant: Tensor) -> bool:
    """Whether a constant's values are weights or biases; else they are shapes, axes, paddings or the like."""
    return bool(constant.scales) or constant.dtype not in _BOOKKEEPING


def zeros(path: Path) -> float:
    """The share of a float file's `count`-ed parameters that are 0.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = graph.load(path)
    zero = all_ = 0
    for place, tensor in _held(model):
        values = graph.constant(model, place, tensor.index)
        if values is not None:
            zero, all_ = zero + values.size - int(np.count_nonzero(values)), all_ + values.size
    return zero / max(1, all_)


_BOOKKEEPING = {"int32", "int64", "bool", "str", "uint32", "uint64"}


def macs(subgraph: Graph, operator: Operator) -> int:
    """Multiply-accumulates of one operator; 0 for what is not a product of matrices.

    An output element of a convolution or a fully connected layer takes one multiply-accumulate for
    each weight that reaches it.
    """
    if operator.name not in _MACS:
        return 0
    tensors = subgraph.tensors
    shapes = [tensors[i].shape if i >= 0 else () for i in operator.inputs]
    return macs_of_shapes(operator, shapes, tensors[operator.outputs[0]].shape)


Shape = tuple[int, ...]


def macs_of_shapes(operator: Operator, inputs: list[Shape], output: Shape) -> int:
    """The same for other shapes of what it reads (absent operands have none) and makes first."""
    rule = _MACS.get(operator.name)
    return 0 if rule is None else rule(operator, inputs, output)


def _convolution(_: Operator, inputs: list[Shape], output: Shape) -> int:
    """Filter [out, h, w, in] (groups: ``in`` is the group's)."""
    return prod(output) * prod(inputs[1][1:])


def _depthwise(_: Operator, inputs: list[Shape], output: Shape) -> int:
    """Filter [1, h, w, channels]."""
    return prod(output) * prod(inputs[1][1:3])


def _convolution_3d(_: Operator, inputs: list[Shape], output: Shape) -> int:
    """Filter [d, h, w, in, out]."""
    return prod(output) * prod(inputs[1][:4])


def _transposed(_: Operator, inputs: list[Shape], __: Shape) -> int:
    """Filter [out, h, w, in]; every input element meets the whole window of every output channel."""
    return prod(inputs[2]) * prod(inputs[1][:3])


def _fully_connected(_: Operator, inputs: list[Shape], output: Shape) -> int:
    """Weights [out, in]."""
    return prod(output) * inputs[1][-1]


def _matrix_product(operator: Operator, inputs: list[Shape], output: Shape) -> int:
    left = inputs[0]
    return prod(output) * (left[-2] if operator.options.get("adjX") else left[-1])


def _sequence_lstm(operator: Operator, inputs: list[Shape], _: Shape) -> int:
    """Inputs 1..4 and 5..8 are the gates' input and recurrent weights, 16 the projection (kernel's lstm_shared.h)."""
    sequence = inputs[0]
    weights = sum(prod(shape) for shape in (*inputs[1:9], inputs[16]) if shape)
    if operator.name == "LSTM":
        return sequence[0] * weights
    return prod(sequence[:2]) * weights


def _sequence_lstm_both_ways(_: Operator, inputs: list[Shape], __: Shape) -> int:
    """Forward weights are inputs 1..8 and 16, backward ones 18..25 and 33 (bidirectional_sequence_lstm.cc)."""
    weights = sum(prod(shape) for shape in (*inputs[1:9], inputs[16], *inputs[18:26], inputs[33]) if shape)
    return prod(inputs[0][:2]) * weights


def _sequence_rnn(operator: Operator, inputs: list[Shape], _: Shape) -> int:
    """Inputs 1 and 2 are the input and recurrent weights."""
    steps = prod(inputs[0][:-1])
    return steps * (prod(inputs[1]) + prod(inputs[2])) if operator.name != "RNN" else prod(inputs[1]) + prod(inputs[2])


def _svdf(_: Operator, inputs: list[Shape], __: Shape) -> int:
    """Feature weights [filters, in] and time weights [filters, memory]."""
    return inputs[0][0] * (prod(inputs[1]) + prod(inputs[2]))


_MACS = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _convolution_3d,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matrix_product,
    "LSTM": _sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm_both_ways,
    "RNN": _sequence_rnn,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _sequence_rnn,
    "SVDF": _svdf,
}

PRODUCTS = frozenset(_MACS)
"""Operators that multiply and accumulate."""


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes of an activation, by the shape stored in the file; int4 packed two to a byte."""
    bits = BITS.get(tensor.dtype) or int("".join(filter(str.isdigit, tensor.dtype)) or 0)
    return (prod(tensor.shape) * bits + 7) // 8


def peak(subgraph: Graph) -> int:
    """The largest sum in bytes of activations alive at once, in the file's operator order.

    An activation lives from the operator that makes it (inputs and variables: from the start) to the
    last one that reads it (outputs and variables: to the end). Constants do not count.
    """
    last = len(subgraph.operators) - 1
    born = dict.fromkeys(subgraph.inputs, 0)
    dies = dict.fromkeys(subgraph.inputs, 0)
    for operator in subgraph.operators:
        for index in operator.outputs:
            born.setdefault(index, operator.index)
        for index in (*operator.inputs, *operator.outputs):
            dies[index] = operator.index
    dies |= dict.fromkeys(subgraph.outputs, last)
    changes = [0] * (len(subgraph.operators) + 2)
    for tensor in subgraph.tensors:
        if tensor.constant_bytes or (tensor.index not in born and not tensor.variable):
            continue
        start, end = (0, last) if tensor.variable else (born[tensor.index], dies[tensor.index])
        changes[start] += tensor_bytes(tensor)
        changes[end + 1] -= tensor_bytes(tensor)
    alive = highest = 0
    for change in changes:
        alive += change
        highest = max(highest, alive)
    return highest
