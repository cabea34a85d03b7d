"""Recurrent operators: a cell over the steps of a sequence, in both directions where there are two.

Slots and arithmetic: TFLite's ``kernels/lstm_shared.h``, ``lstm_eval.cc`` and ``basic_rnn.cc``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, NotLiftedError
from edgekit.trainable.operators import activations
from edgekit.trainable.operators.row import OperatorRow

NORM_EPSILON = 1e-8
"""Added to the variance by the normalization of gates (TFLite, ``kNormalizationConstant``)."""


def _activation(call: Call) -> Callable[[Any], Any]:
    if call.options["fusedActivationFunction"] == schema.ActivationFunctionType.TANH:
        return activations.FUNCTIONS["TANH"]
    name = activations.fused(call.options)
    return activations.FUNCTIONS[name] if name else tf.identity


def _clipped(values: Any, limit: float) -> Any:
    return tf.clip_by_value(values, -limit, limit) if limit > 0 else values


@dataclass(frozen=True)
class LstmSlots:
    """Where the operands of one direction stand: those of the gates in the order input, forget, cell, output."""

    weights: int
    recurrent: int
    peepholes: int
    biases: int
    projection: int
    output_state: int
    cell_state: int
    norms: int | None = None


ONE_WAY = LstmSlots(1, 5, 9, 12, 16, 18, 19, 20)
FORWARD, BACKWARD = LstmSlots(1, 5, 9, 12, 16, 35, 36), LstmSlots(18, 22, 26, 29, 33, 37, 38)

INPUT, FORGET, CELL, OUTPUT = range(4)


class LstmCell:
    """One direction of an LSTM with peepholes, projection and normalized gates, as far as the operands are there."""

    def __init__(self, call: Call, slots: LstmSlots) -> None:
        self._call, self._slots = call, slots
        self._activation = _activation(call)
        self.gates = [gate for gate in range(4) if call.has(slots.weights + gate)]
        self._kernel = tf.concat([call.common(slots.weights + gate) for gate in self.gates], 0)
        self._recurrent = tf.concat([call.common(slots.recurrent + gate) for gate in self.gates], 0)

    def _maybe(self, slot: int | None) -> Any:
        return None if slot is None or not self._call.has(slot) else self._call.common(slot)

    def prepared(self, x: Any) -> Any:
        """What the input adds to the gates, of all steps at once: ``[N, steps, gates · units]``."""
        return tf.matmul(x, self._kernel, transpose_b=True)

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One step: what `prepared` gave, and the output and the cell of the step before."""
        before, cell = states
        sums = dict(
            zip(self.gates, tf.split(x + tf.matmul(before, self._recurrent, transpose_b=True), len(self.gates), -1),
                strict=True)
        )  # fmt: skip
        forget = tf.sigmoid(self._gate(sums, FORGET, cell))
        new = self._activation(self._gate(sums, CELL, None))
        into = tf.sigmoid(self._gate(sums, INPUT, cell)) if INPUT in sums else 1 - forget
        cell = _clipped(forget * cell + into * new, self._call.options["cellClip"])
        made = tf.sigmoid(self._gate(sums, OUTPUT, cell)) * self._activation(cell)
        projection = self._maybe(self._slots.projection)
        if projection is not None:
            made = tf.matmul(made, projection, transpose_b=True)
            bias = self._maybe(self._slots.projection + 1)
            made = _clipped(made if bias is None else made + bias, self._call.options["projClip"])
        return made, [made, cell]

    def _gate(self, sums: dict[int, Any], gate: int, cell: Any) -> Any:
        """The sum of a gate; ``cell`` is what its peephole looks at."""
        found, slots = sums[gate], self._slots
        number = {INPUT: 0, FORGET: 1, OUTPUT: 2}.get(gate)
        peephole = None if number is None else self._maybe(slots.peepholes + number)
        if peephole is not None and cell is not None:
            found = found + peephole * cell
        norm = None if slots.norms is None else self._maybe(slots.norms + gate)
        if norm is not None:
            mean, variance = tf.nn.moments(found, -1, keepdims=True)
            found = (found - mean) * tf.math.rsqrt(variance + NORM_EPSILON) * norm
        bias = self._maybe(slots.biases + gate)
        return found if bias is None else found + bias


class RnnCell:
    """One direction of a plain recurrent layer: the slots of its input and recurrent weights and bias are in a row."""

    def __init__(self, call: Call, first: int) -> None:
        self._kernel, self._recurrent, self._bias = (call.common(first + number) for number in range(3))
        self._activation = _activation(call)

    def prepared(self, x: Any) -> Any:
        """What the input adds, of all steps at once."""
        return tf.matmul(x, self._kernel, transpose_b=True) + self._bias

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One step."""
        made = self._activation(x + tf.matmul(states[0], self._recurrent, transpose_b=True))
        return made, [made]


def _sequence(call: Call) -> Any:
    """What is read as ``[N · batch, steps, values]``."""
    x = call.stacked(0)
    if not call.sampled:
        raise NotLiftedError("it reads no samples")
    if call.options["timeMajor"]:
        x = tf.transpose(x, (0, 2, 1, 3))
    return tf.reshape(x, [-1, *x.shape[2:]])


def _along(call: Call, cell: LstmCell | RnnCell, states: tuple[int, ...], *, backwards: bool = False) -> Any:
    """A cell over the sequence that a call reads: ``[N · batch, steps, units]``, in the order of the sequence."""
    first = [tf.reshape(call.stacked(slot), [-1, call.operand(slot).shape[-1]]) for slot in states]
    x = cell.prepared(_sequence(call))
    _, made, _ = tf_keras.backend.rnn(cell.step, x, first, go_backwards=backwards)
    return tf.reverse(made, [1]) if backwards else made


def _as_result(call: Call, made: Any, number: int = 0) -> Any:
    """``[N · batch, steps, units]`` as the file has it."""
    shape = call.results[number].shape
    if not call.options["timeMajor"]:
        return call.reshaped(made, number)
    steps, batch, units = shape
    return tf.transpose(tf.reshape(made, [-1, batch, steps, units]), (0, 2, 1, 3))


def _lstm(call: Call) -> Any:
    if call.options["diagonalRecurrentTensors"]:
        raise NotLiftedError("its recurrent weights are diagonals")
    states = ONE_WAY.output_state, ONE_WAY.cell_state
    return _as_result(call, _along(call, LstmCell(call, ONE_WAY), states))


def _both_ways(call: Call, forward: Any, backward: Any) -> Any:
    if call.options["mergeOutputs"]:
        return _as_result(call, tf.concat([forward, backward], -1))
    return [_as_result(call, forward), _as_result(call, backward, 1)]


def _lstm_both_ways(call: Call) -> Any:
    if call.has(39):
        raise NotLiftedError("it reads an auxiliary input")
    made = [
        _along(call, LstmCell(call, slots), (slots.output_state, slots.cell_state), backwards=slots is BACKWARD)
        for slots in (FORWARD, BACKWARD)
    ]
    return _both_ways(call, *made)


def _lstm_step(call: Call) -> Any:
    """The operator LSTM: one step of its full kernel, whose last result is the output."""
    if call.options["kernelType"] or len(call.results) != 1:
        raise NotLiftedError("it has the kernel BASIC")
    states = ONE_WAY.output_state, ONE_WAY.cell_state
    x = tf.reshape(call.stacked(0), [-1, 1, call.operand(0).shape[-1]])
    cell = LstmCell(call, ONE_WAY)
    first = [tf.reshape(call.stacked(slot), [-1, call.operand(slot).shape[-1]]) for slot in states]
    return call.reshaped(cell.step(cell.prepared(x)[:, 0], first)[0])


def _rnn(call: Call) -> Any:
    return _as_result(call, _along(call, RnnCell(call, 1), (4,)))


def _rnn_both_ways(call: Call) -> Any:
    if call.has(9):
        raise NotLiftedError("it reads an auxiliary input")
    return _both_ways(call, _along(call, RnnCell(call, 1), (4,)), _along(call, RnnCell(call, 5), (8,), backwards=True))


def _rnn_step(call: Call) -> Any:
    cell = RnnCell(call, 1)
    rows = [tf.reshape(call.stacked(slot), [-1, call.operand(slot).shape[-1]]) for slot in (0, 4)]
    return call.reshaped(cell.step(cell.prepared(rows[0]), [rows[1]])[0])


_LSTM_WEIGHTS = (*range(1, 18), *range(20, 24))

ROWS = (
    OperatorRow("UNIDIRECTIONAL_SEQUENCE_LSTM", _lstm, weights=_LSTM_WEIGHTS, recurrent=True),
    OperatorRow("BIDIRECTIONAL_SEQUENCE_LSTM", _lstm_both_ways, weights=tuple(range(1, 35)), recurrent=True),
    OperatorRow("LSTM", _lstm_step, weights=_LSTM_WEIGHTS, recurrent=True),
    OperatorRow("UNIDIRECTIONAL_SEQUENCE_RNN", _rnn, weights=(1, 2, 3), recurrent=True),
    OperatorRow("BIDIRECTIONAL_SEQUENCE_RNN", _rnn_both_ways, weights=(1, 2, 3, 5, 6, 7), recurrent=True),
    OperatorRow("RNN", _rnn_step, weights=(1, 2, 3), recurrent=True),
)
