"""State that survives from run to run, and how a graph begins every run without it.

TFLite's recurrent operators (LSTM, RNN, SVDF) keep their state in *variable* tensors, which live as
long as the interpreter. Nothing says that only the operator itself may write them: an operator that
stands before it and whose output is the variable sets where a run begins. TensorFlow's converter
writes such graphs for an LSTM whose first state is an input. So a network that keeps nothing gets
an operator of zeros before each state, and needs nobody to reset it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph

KEPT = (
    "it keeps its state from run to run ({operators}), each run continues the one before: begin a sequence with {way}"
)
"""What an app must know of a file whose state survives."""

RESET = "reset variables (reset_all_variables, on Android resetVariableTensors)"
RENEW = (
    "a new interpreter (resource variables have no other reset), of an OpenVINO file with reset_state() of its request"
)


def note(model: Any) -> tuple[str, ...]:
    """`KEPT` with the operators that keep state; empty for a file whose every run stands alone.

    Args:
        model: object tree of a TFLite file.
    """
    names, resources = _keepers(model)
    if not names and not resources:
        return ()
    return (KEPT.format(operators=", ".join(dict.fromkeys(names + resources)), way=RENEW if resources else RESET),)


def keepers(model: Any) -> tuple[str, ...]:
    """Kinds of the operators that keep state from run to run."""
    names, resources = _keepers(model)
    return tuple(dict.fromkeys(names + resources))


def _keepers(model: Any) -> tuple[list[str], list[str]]:
    """Recurrent operators that keep state in variables, and those that write resource variables."""
    parts = graph.describe(model)
    names = [operator.name for _, operator, _ in _surviving(parts[0])]
    resources = [operator.name for part in parts for operator in part.operators if operator.name == "ASSIGN_VARIABLE"]
    return names, resources


def surviving(model: Any) -> tuple[int, ...]:
    """Which of the main graph's recurrent operators, counted from 0, keep state from run to run."""
    return tuple(number for number, _, _ in _surviving(graph.describe(model)[0]))


def primed(model: Any) -> bool:
    """Whether a recurrent operator of a float file begins its runs at a state that the graph computes.

    Runtimes take that, quantizers do not: they give what is computed and the state different types.
    """
    main = graph.describe(model)[0]
    return any(
        main.tensors[index].variable and operator.name != "ZEROS_LIKE"
        for operator in main.operators
        for index in operator.outputs
    )


def clear(model: Any, keeping: tuple[int, ...] = ()) -> None:
    """Let the states of the main graph begin every run at zero, in place.

    Args:
        model: object tree of a TFLite file, float or quantized.
        keeping: recurrent operators, counted from 0, whose state is to survive.
    """
    for number, operator, states in reversed(list(_surviving(graph.describe(model)[0]))):
        for variable in states if number not in keeping else ():
            _zero(model, variable, operator.index)


def unclear(model: Any) -> list[int]:
    """Take what `clear` put into a float file out again, in place: a quantizer knows states only as it found them.

    Returns:
        The former places of the operators that are left.
    """
    main = model.subgraphs[0]
    left = [
        operator.index
        for operator in graph.describe(model)[0].operators
        if operator.name != "ZEROS_LIKE" or not main.tensors[operator.outputs[0]].isVariable
    ]
    main.operators = [main.operators[index] for index in left]
    edit.sweep(model)
    return left


def _surviving(main: graph.Graph) -> Iterator[tuple[int, graph.Operator, tuple[int, ...]]]:
    """The number of each recurrent operator that keeps state, itself, and its variables that nothing writes."""
    written = {index for operator in main.operators for index in operator.outputs}
    number = 0
    for operator in main.operators:
        variables = [index for index in operator.inputs if index >= 0 and main.tensors[index].variable]
        if kept := tuple(index for index in dict.fromkeys(variables) if index not in written):
            yield number, operator, kept
        number += bool(variables)


def _zero(model: Any, variable: int, at: int) -> None:
    """Put the operators that write zeros into a state to the place ``at``.

    ZEROS_LIKE knows float32 and int32 alone. So an int16 state (an LSTM's cell state, symmetric) is
    cast, and an int8 one gathered from a constant of zero points; the gather's index is computed,
    because interpreters fold operators whose inputs are all constant into one write before the first run.
    """
    main = model.subgraphs[0]
    tensor = main.tensors[variable]
    name, shape = f"first_state_{variable}", tuple(int(size) for size in tensor.shape)
    if tensor.type == schema.TensorType.FLOAT32:
        zeros = edit.add_constant(model, name, np.zeros(shape, np.float32))
        edit.add_operator(model, "ZEROS_LIKE", [zeros], [variable], at=at)
        return
    cast = tensor.type == schema.TensorType.INT16
    zeros = edit.add_constant(model, f"{name}_zeros", np.zeros(shape if cast else (1,), np.int32))
    start = edit.add_tensor(main, f"{name}_start", shape if cast else (1,), "int32")
    if cast:
        types = {"inDataType": schema.TensorType.INT32, "outDataType": schema.TensorType.INT16}
        edit.add_operator(model, "CAST", [start], [variable], at=at, kind="CastOptions", **types)
    else:
        points = edit.add_constant(model, name, np.full(shape, tensor.quantization.zeroPoint[0], np.int8))
        main.tensors[points].quantization = tensor.quantization
        edit.add_operator(model, "GATHER", [points, start], [variable], at=at, kind="GatherOptions")
    edit.add_operator(model, "ZEROS_LIKE", [zeros], [start], at=at)
