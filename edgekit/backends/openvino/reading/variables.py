"""State of the waist in resource variables, as OpenVINO's own: its TFLite reader has no rule for them.

What the waist reads of a variable becomes an input and what it assigns an output; after reading, a ReadValue and an
Assign stand between the two (ReadValue-6 and Assign-6 in OpenVINO's operator specification). The minimum of each with
itself keeps them apart from the network's own inputs and outputs, and from one another: OpenVINO's CPU plugin
(2026.4.1) gives no memory of its own to what is passed on as it is, so that a variable that takes over the value of
another one would get its new value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.openvino import ending
from edgekit.backends.openvino.libraries import operators, ov
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

_OPERATORS = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


@dataclass(frozen=True)
class TakenVariable:
    """A variable that was taken out: its name, those of the input and the output, and what it begins with."""

    name: str
    before: str
    after: str
    start: Array


def cut(model: Any) -> list[TakenVariable]:
    """Take the variables out of a file, in place, if only its main graph reads and assigns them, whole.

    Args:
        model: object tree of the file.
    """
    parts = graph.describe(model)
    starts = _starts(model, parts)
    if starts is None or not _alone(parts, starts):
        return []
    taken = _Taken(model, starts)
    model.subgraphs[0].operators = [made for operator in parts[0].operators for made in taken.instead(operator)]
    for index in _once(parts[0]):
        model.subgraphs[index].operators = []
    variables = list(taken.finish())
    edit.sweep(model)
    return variables


def _starts(model: Any, parts: tuple[graph.Graph, ...]) -> dict[str, Array] | None:
    """What each variable holds before the first run; None if that is computed."""
    found = {}
    for index in _once(parts[0]):
        names = _handles(parts[index])
        for operator in parts[index].operators:
            if operator.name == "ASSIGN_VARIABLE":
                values = graph.constant(model, index, operator.inputs[1])
                if values is None:
                    return None
                found[names[operator.inputs[0]]] = values
            elif operator.name != "VAR_HANDLE":
                return None
    return found


def _once(main: graph.Graph) -> list[int]:
    """The subgraphs that run before the first run."""
    return [int(o.options["initSubgraphIndex"]) for o in main.operators if o.name == "CALL_ONCE"]


def _handles(part: graph.Graph) -> dict[int, str]:
    """Tensors that stand for variables, with the variables' names."""
    return {
        operator.outputs[0]: _text(operator.options.get("container")) + _text(operator.options.get("sharedName"))
        for operator in part.operators
        if operator.name == "VAR_HANDLE"
    }


def _text(name: Any) -> str:
    return name.decode("utf8", "replace") if isinstance(name, bytes) else str(name or "")


def _alone(parts: tuple[graph.Graph, ...], starts: dict[str, Array]) -> bool:
    """Whether no variable goes into a loop or a branch, and each begins with something."""
    main = parts[0]
    handles = _handles(main)
    inside = (o.name for i, part in enumerate(parts[1:], 1) if i not in _once(main) for o in part.operators)
    passed = {i for o in main.operators if o.name not in _OPERATORS for i in o.inputs}
    return (
        bool(handles)
        and set(handles.values()) <= set(starts)
        and not passed & set(handles)
        and not _OPERATORS & set(inside)
    )


class _Taken:
    """What stands for operators on variables, while the main graph's operators are gone through in order."""

    def __init__(self, model: Any, starts: dict[str, Array]) -> None:
        self._model, self._starts, self._main = model, starts, model.subgraphs[0]
        self._handles = _handles(graph.describe(model)[0])
        self._operators = list(self._main.operators)
        self._held = {
            name: edit.add_tensor(self._main, f"{name}_before", start.shape, start.dtype.name)
            for name, start in starts.items()
        }
        self._before = dict(self._held)

    def instead(self, operator: graph.Operator) -> list[Any]:
        """The operators for one that may read or assign a variable."""
        if operator.name == "READ_VARIABLE":
            return [self._same(self._held[self._handles[operator.inputs[0]]], operator.outputs[0])]
        if operator.name == "ASSIGN_VARIABLE":
            self._held[self._handles[operator.inputs[0]]] = operator.inputs[1]
            return []
        return [] if operator.name in _OPERATORS else [self._operators[operator.index]]

    def _same(self, value: int, result: int) -> Any:
        return edit.operator(self._model, "MINIMUM", [value, value], [result])

    def finish(self) -> Iterator[TakenVariable]:
        """Inputs and outputs in the place of the variables."""
        for number, (name, start) in enumerate(self._starts.items()):
            after = edit.add_tensor(self._main, f"variable_{number}_after", start.shape, start.dtype.name)
            self._main.tensors[self._before[name]].name = f"variable_{number}_before".encode()
            self._main.operators.append(self._same(self._held[name], after))
            self._main.inputs = [*graph.ints(self._main.inputs), self._before[name]]
            self._main.outputs = [*graph.ints(self._main.outputs), after]
            yield TakenVariable(name, f"variable_{number}_before", f"variable_{number}_after", start)


def joined(model: Any, variables: list[TakenVariable]) -> Any:
    """The model that was read from a cut file, with a ReadValue and an Assign for each variable."""
    parameters = {name: node for node in model.get_parameters() for name in node.output(0).names}
    results = {name: node for node in model.get_results() for name in (*node.input_value(0).names, node.friendly_name)}
    taken, sinks = set(), []
    for each in variables:
        before, after = parameters[each.before], results[each.after]
        held = operators.read_value(operators.constant(each.start), each.name)
        before.output(0).replace(held.output(0))
        sinks.append(operators.assign(after.input_value(0).get_node(), each.name))
        taken |= {before.get_friendly_name(), after.get_friendly_name()}
    return ov.Model(
        [node for node in model.get_results() if node.get_friendly_name() not in taken],
        [*model.get_sinks(), *sinks],
        [node for node in model.get_parameters() if node.get_friendly_name() not in taken],
        model.get_friendly_name(),
    )


def apart(model: Any) -> tuple[Any, list[TakenVariable]]:
    """A model with its variables as inputs and outputs again (`joined` reverses it), as NNCF needs it.

    NNCF resets the state before each sample, so that it would see what variables begin with alone.
    """
    reads = {node.get_variable_id(): node for node in model.get_ops() if node.get_type_name() == "ReadValue"}
    parameters, results, variables = model.get_parameters(), model.get_results(), []
    for number, sink in enumerate(model.get_sinks()):
        read = reads[sink.get_variable_id()]
        start = read.input_value(0).get_node().data.copy()
        taken = TakenVariable(sink.get_variable_id(), f"variable_{number}_before", f"variable_{number}_after", start)
        before = operators.parameter(start.shape, start.dtype, name=taken.before)
        before.output(0).set_names({taken.before})
        after = operators.result(sink.input_value(0))
        after.set_friendly_name(taken.after)
        read.output(0).replace(before.output(0))
        parameters.append(before)
        results.append(after)
        variables.append(taken)
    return (ov.Model(results, parameters, model.get_friendly_name()) if variables else model), variables


def carried(
    model: Any, variables: list[TakenVariable], samples: list[dict[str, Array]], source: Path
) -> list[dict[str, Array]]:
    """Samples of a model that was taken apart, with what its variables hold before each: one run after another."""
    if not variables:
        return samples
    states = {each.before: each.start for each in variables}
    told = []
    with ending.running(model, source) as run:
        for sample in samples:
            told.append(sample | states)
            found = list(run(told[-1]).values())[-len(variables) :]
            states = {each.before: np.array(value) for each, value in zip(variables, found, strict=True)}
    return told
