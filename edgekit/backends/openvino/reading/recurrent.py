"""LSTMs of the waist as OpenVINO's own: its TFLite reader has no rule for UNIDIRECTIONAL_SEQUENCE_LSTM.

The waist is cut at each of them, so that what goes in becomes an output and what comes out an input,
and after reading an LSTMSequence is put between the two. Reshapes to the same shape keep the cuts
apart from the network's own inputs and outputs; OpenVINO removes them.

Operands of the operator: LiteRT's ``unidirectional_sequence_lstm.cc``. OpenVINO's order of gates is
f, i, c, o (LSTMSequence-5 in its operator specification).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.backends.openvino.libraries import operators, ov
from edgekit.waist import edit, graph, state
from edgekit.waist.tensors import Array

GATES = (1, 0, 2, 3)
"""OpenVINO's gates among TFLite's i, f, c, o."""

WEIGHTS, RECURRENCE, BIASES = range(1, 5), range(5, 9), range(12, 16)
"""Operands of the four gates."""

STATE = 18
"""The operand that holds the state, a variable."""

OTHERS = (*range(9, 12), 16, 17, *range(20, 24))
"""Operands that LSTMSequence has not: peepholes, projection, layer normalization."""


@dataclass(frozen=True)
class TakenLstm:
    """An LSTM that was taken out: the names of its two ends, and its constants in OpenVINO's order of gates.

    ``keeps``: its state goes on from run to run.
    """

    before: str
    after: str
    weights: Array
    recurrence: Array
    biases: Array
    time_major: bool
    keeps: bool


def cut(model: Any) -> list[TakenLstm]:
    """Take the LSTMs out of a float file, in place, if none begins its runs at a state that the graph computes.

    Args:
        model: object tree of the file.
    """
    every = [each for each in graph.describe(model)[0].operators if each.name == "UNIDIRECTIONAL_SEQUENCE_LSTM"]
    known = [(operator, constants) for operator in every if (constants := _constants(model, operator)) is not None]
    if len(known) < len(every) or state.primed(model):
        return []
    cuts = [_cut(model, operator, *constants) for operator, constants in reversed(known)]
    state.unclear(model)
    return cuts


def _constants(model: Any, operator: graph.Operator) -> tuple[Array, Array, Array] | None:
    """Weights, recurrent weights and biases, gates together; None for what LSTMSequence does not compute."""
    options = operator.options
    if any(index < len(operator.inputs) and operator.inputs[index] >= 0 for index in OTHERS):
        return None
    if options.get("cellClip") or options.get("projClip"):
        return None
    gathered = []
    for operands in (WEIGHTS, RECURRENCE, BIASES):
        indices = [operator.inputs[operands[gate]] for gate in GATES]
        values = [graph.constant(model, 0, index) if index >= 0 else None for index in indices]
        present = [value for value in values if value is not None and value.dtype == np.float32]
        if len(present) < len(GATES):
            return None
        gathered.append(np.concatenate(present))
    return gathered[0], gathered[1], gathered[2]


def _cut(model: Any, operator: graph.Operator, weights: Array, recurrence: Array, biases: Array) -> TakenLstm:
    main = model.subgraphs[0]
    written = {index for each in graph.describe(model)[0].operators for index in each.outputs}
    source, result = operator.inputs[0], operator.outputs[0]
    names = f"lstm_{operator.index}_before", f"lstm_{operator.index}_after"
    before, after = (
        edit.add_tensor(main, name, tuple(int(size) for size in main.tensors[index].shape))
        for name, index in zip(names, (source, result), strict=True)
    )
    del main.operators[operator.index]
    for place, (one, other) in enumerate(((after, result), (source, before))):
        shape = edit.add_constant(model, f"{names[place]}_shape", np.array(main.tensors[one].shape, np.int32))
        edit.add_operator(model, "RESHAPE", [one, shape], [other], at=operator.index)
    main.inputs, main.outputs = [*graph.ints(main.inputs), after], [*graph.ints(main.outputs), before]
    return TakenLstm(
        *names,
        weights,
        recurrence,
        biases,
        time_major=bool(operator.options.get("timeMajor")),
        keeps=operator.inputs[STATE] not in written,
    )


def joined(model: Any, cuts: list[TakenLstm]) -> Any:
    """The model that was read from a cut file, with an LSTMSequence in each cut."""
    parameters = {name: node for node in model.get_parameters() for name in node.output(0).names}
    results = {name: node for node in model.get_results() for name in node.input_value(0).names}
    taken: set[str] = set()
    sinks: list[Any] = []
    for each in cuts:
        before, after = results[each.before], parameters[each.after]
        made, kept = _sequence(each, before.input_value(0))
        after.output(0).replace(made)
        sinks += kept
        taken |= {before.get_friendly_name(), after.get_friendly_name()}
    return ov.Model(
        [node for node in model.get_results() if node.get_friendly_name() not in taken],
        sinks,
        [node for node in model.get_parameters() if node.get_friendly_name() not in taken],
        model.get_friendly_name(),
    )


def _sequence(each: TakenLstm, x: Any) -> tuple[Any, list[Any]]:
    """The output ``[batch, steps, hidden]`` (steps first if the operator has it so) of an LSTMSequence.

    With it what writes its state for the next run, if that is kept.
    """
    hidden = each.recurrence.shape[1]
    swap = operators.constant(np.array([1, 0, 2]))
    x = operators.transpose(x, swap).output(0) if each.time_major else x
    batch, steps = (x.partial_shape[axis].get_length() for axis in (0, 1))
    first = [operators.constant(np.zeros((batch, 1, hidden), np.float32)) for _ in STATES]
    names = [f"{each.after}_{state}" for state in STATES]
    if each.keeps:
        first = [operators.read_value(zeros, name) for zeros, name in zip(first, names, strict=True)]
    lengths = operators.constant(np.full(batch, steps, np.int32))
    constants = [operators.constant(values[None]) for values in (each.weights, each.recurrence, each.biases)]
    lstm = operators.lstm_sequence(x, *first, lengths, *constants, hidden, "forward")
    plain = operators.squeeze(lstm.output(0), operators.constant(np.array([1]))).output(0)
    made = operators.transpose(plain, swap).output(0) if each.time_major else plain
    return made, [_assign(lstm.output(i), name) for i, name in enumerate(names, 1)] if each.keeps else []


STATES = ("hidden", "cell")
"""What an LSTM keeps, in the order of LSTMSequence."""


def _assign(value: Any, name: str) -> Any:
    """A write of a state, which takes a node of one output."""
    shape = operators.constant(np.array(value.shape))
    return operators.assign(operators.reshape(value, shape, special_zero=False), name)
