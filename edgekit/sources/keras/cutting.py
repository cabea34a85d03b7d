"""Parts of a Keras network or SavedModel: inputs bound to constants, and the graph between chosen tensors.

Cut is the traced TensorFlow graph, so that layers of a Keras model, its nested models and the operators of
a SavedModel can all be named: by an input's or output's own name, a layer's, or an operator's in the graph.
"""

import shlex
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import Unsupported, first_line
from edgekit.nouns.model import Constant, SourceOptions, TensorRow
from edgekit.sources.keras.libraries import FAILURES, UnliftableError, tf
from edgekit.sources.keras.network import Fixed, KerasNetwork, Port, fix
from edgekit.waist import naming, proposals

SILENT = {"Const", "NoOp", "Placeholder", "Identity"}
"""Operators whose results nobody would cut at."""

FRAMES = {"Enter", "Switch", "RefEnter", "RefSwitch"}
"""Operators of TensorFlow 1's loops and branches, in which constants belong to a frame by a control edge."""


def edit(network: KerasNetwork, path: Path, options: SourceOptions) -> KerasNetwork:
    """The network with what `SourceOptions` binds, cut out between the tensors that it names.

    Raises:
        InputError: a name is no tensor's, a value does not fit, or the outputs depend on more than the inputs.
        Unsupported: the network cannot be frozen, for instance because it keeps state.
    """
    network = _bind(network, path, options.constants)
    if not (options.inputs or options.outputs):  # the model as a whole is called otherwise
        return replace(network, model=None) if options.constants else network
    return _cut(_fixed(network, path, options), path, options)


def asked(network: KerasNetwork, options: SourceOptions) -> dict[str, tuple[int, ...]]:
    """The shapes that were asked for, without those of inputs that an edit has taken away."""
    left = {port.name for port in network.inputs}
    return {n: s for n, s in options.shapes.items() if n in left} if naming.edited(options) else options.shapes


def _fixed(network: KerasNetwork, path: Path, options: SourceOptions) -> Fixed:
    return fix(network, asked(network, options), path)


def _bind(network: KerasNetwork, path: Path, constants: dict[str, Constant]) -> KerasNetwork:
    if not constants:
        return network
    names = [port.name for port in network.inputs]
    known: dict[int, Any] = {}
    for name, values in constants.items():
        if name not in names:
            raise naming.no_input(path, name, names, "--constant")
        port = network.inputs[names.index(name)]
        known[names.index(name)] = naming.bound(name, values, port.shape, np.dtype(port.dtype))

    def call(*tensors: Any) -> list[Any]:
        """The outputs, from the inputs that are left."""
        left = iter(tensors)
        return network.call(*(tf.constant(known[i]) if i in known else next(left) for i in range(len(names))))

    return replace(network, inputs=tuple(p for i, p in enumerate(network.inputs) if i not in known), call=call)


def _data_only(definition: Any) -> Any:
    """The graph without what only orders its operators; in place.

    Functions of a SavedModel are inlined with such edges from their inputs to their constants, so that nothing
    could be cut off. What was frozen has no state that an order would matter to; frames of loops do need them.
    """
    if not any(node.op in FRAMES for node in definition.node):
        for node in definition.node:
            node.input[:] = [name for name in node.input if not name.startswith("^")]
    return definition


class _Graph:
    """The frozen graph of a network, with the names by which its tensors may be called."""

    def __init__(self, fixed: Fixed, path: Path) -> None:
        from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415  the converter's own way

        try:
            frozen = convert_to_constants.convert_variables_to_constants_v2(fixed.function, lower_control_flow=False)
        except FAILURES as error:
            raise Unsupported(
                f"{path.name} cannot be cut: {first_line(error)}", place=str(path), fix="cut it before saving it"
            ) from error
        definition = _data_only(frozen.graph.as_graph_def())
        self.function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
        graph = self.function.graph
        self.operators = graph.get_operations()
        # By the names that `network.fix` gave: freezing turns their order round.
        inputs = [graph.get_tensor_by_name(f"input_{i}:0") for i in range(len(fixed.input_names))]
        outputs = [graph.get_tensor_by_name(t.name) for t in frozen.outputs]
        self.inputs = dict(zip(fixed.input_names, inputs, strict=True))
        self.outputs = dict(zip(fixed.output_names, outputs, strict=True))
        self.tensors: dict[str, Any] = {}
        for operator in self.operators:
            for result in operator.outputs:
                self.tensors[result.name] = result
                self.tensors[result.name.removesuffix(":0")] = result
        self.layers = self._layers(fixed.network.model)
        self.tensors = self.layers | self.tensors | self.outputs | self.inputs

    def _layers(self, model: Any) -> dict[str, Any]:
        """The last result in each layer's scope, by the layer's name; Keras 3 adds ``_1`` to it."""
        names = [layer.name for layer in getattr(model, "layers", ())]
        scopes = {f"{name}_1": name for name in names} | {name: name for name in names}
        return {
            scopes[scope]: operator.outputs[0]
            for operator in self.operators
            if operator.outputs and operator.type not in {"Const", "NoOp", "Placeholder"}
            for scope in operator.name.split("/")[:-1]
            if scope in scopes
        }

    def reached(self, outputs: Iterable[Any], ends: dict[str, Any]) -> set[str]:
        """The names of the ends, and of the network's other inputs, that the outputs depend on."""
        by_tensor = {t.name: name for name, t in (self.inputs | ends).items()}
        found: set[str] = set()
        seen: set[str] = set()
        pending = list(outputs)
        while pending:
            tensor = pending.pop()
            if tensor.name in by_tensor:
                found.add(by_tensor[tensor.name])
            elif tensor.op.name not in seen:
                seen.add(tensor.op.name)
                pending += tensor.op.inputs
        return found


def _cut(fixed: Fixed, path: Path, options: SourceOptions) -> KerasNetwork:
    graph = _Graph(fixed, path)
    naming.require_tensors(path, (*options.inputs, *options.outputs), graph.tensors)
    outputs = {name: graph.tensors[name] for name in options.outputs} or graph.outputs
    chosen = {name: graph.tensors[name] for name in options.inputs}
    reached = graph.reached(outputs.values(), chosen)
    naming.require_reached(path, options.inputs, reached)
    inputs = chosen or {name: tensor for name, tensor in graph.inputs.items() if name in reached}
    try:
        part = graph.function.prune(feeds=list(inputs.values()), fetches=list(outputs.values()))
    except (UnliftableError, *FAILURES) as error:
        raise Unsupported(
            f"{path.name} cannot be cut there: {first_line(error)}",
            place=str(path),
            fix=f"cut at other tensors: `edgekit inspect {shlex.quote(str(path))} --tensors` lists them",
        ) from error
    return replace(
        fixed.network,
        inputs=tuple(_port(name, tensor) for name, tensor in inputs.items()),
        outputs=tuple(outputs),
        call=lambda *tensors: list(part(*tensors)),
        variables=(),
        model=None,
    )


HEAVY = {
    "BatchMatMulV2", "BatchMatMulV3", "Conv2D", "Conv2DBackpropInput", "Conv3D", "DepthwiseConv2dNative", "Einsum",
    "MatMul", "StatelessWhile", "TensorListReserve", "While",
}  # fmt: skip
"""Operators that make up a network, in contrast to what prepares its input or reads its results."""


def cut_off(fixed: Fixed, path: Path, lacking: Collection[str]) -> str:
    """The cut that leaves operators out, as a fix; empty if they stand in the midst of the network.

    Args:
        fixed: the network.
        path: the model's file or folder.
        lacking: kinds of operators that must go, as TensorFlow calls them.
    """
    try:
        graph = _Graph(fixed, path)
    except Unsupported:
        return ""
    called = {t.name: t.name.removesuffix(":0") for operator in graph.operators for t in operator.outputs}
    called |= {t.name: name for name, t in (graph.layers | graph.outputs | graph.inputs).items()}
    varying = {t.name for t in graph.inputs.values()}
    for operator in graph.operators:
        if any(t.name in varying for t in operator.inputs):
            varying |= {t.name for t in operator.outputs}
    operators = [o for o in graph.operators if any(t.name in varying for t in o.outputs) and o.type != "Placeholder"]
    steps = [
        proposals.GraphStep(
            tuple(called[t.name] for t in operator.inputs if t.name in varying),
            tuple(called[t.name] for t in operator.outputs),
            operator.type in HEAVY,
        )
        for operator in operators
    ]
    found = [i for i, operator in enumerate(operators) if operator.type in lacking]
    cut = proposals.around(steps, found, [called[t.name] for t in graph.outputs.values()]) if found else None
    return proposals.advice(path, cut)


def _port(name: str, tensor: Any) -> Port:
    return Port(name, None if tensor.shape.rank is None else tuple(tensor.shape.as_list()), tensor.dtype.name)


def tensors(network: KerasNetwork, path: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
    """Every tensor of the traced graph, inputs first; ``operator`` is TensorFlow's."""
    fixed = _fixed(network, path, options)
    graph = _Graph(fixed, path)
    ends = {t.name for t in graph.outputs.values()}
    made = {
        result.name.removesuffix(":0"): result
        for operator in graph.operators
        if operator.type not in SILENT
        for result in operator.outputs
    }
    every = graph.inputs | graph.layers | made | graph.outputs
    return tuple(
        TensorRow(
            name=name,
            shape=tuple(tensor.shape.as_list()) if tensor.shape.is_fully_defined() else None,
            dtype=tensor.dtype.name,
            operator="input" if name in graph.inputs else "layer" if name in graph.layers else tensor.op.type,
            output=name in graph.outputs or tensor.name in ends,
        )
        for name, tensor in every.items()
    )
