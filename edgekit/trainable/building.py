"""The layers of a plan, connected: the model of tf-keras."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgekit.trainable import gradients
from edgekit.trainable.form import Lifted, Weight
from edgekit.trainable.layers import AsItIsLayer, ConstantLayer, FunctionLayer, OperatorLayer
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, File
from edgekit.trainable.operators.activations import LAYERS, fused
from edgekit.trainable.operators.table import ROWS
from edgekit.trainable.planning import LayerPlan, ModelPlan
from edgekit.trainable.stock import Layout, Stock, short
from edgekit.trainable.weights import WeightTensor
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise

MOMENTUM = 0.9
"""Of the moving mean and variance of normalizations: Keras' 0.99 lags behind in a training of a few hundred steps."""


class ModelBuilder:
    """Makes the layers of a plan.

    Args:
        file: what is lifted.
        made: what becomes of its operators.
        stepwise: runs what has no form in TensorFlow.
        normalized: operators, by their places, behind which a BatchNormalization is put.
        dropped: operators, by their places, before which a Dropout is put → the share that it drops.
    """

    def __init__(
        self,
        file: File,
        made: ModelPlan,
        stepwise: Stepwise,
        normalized: frozenset[int] = frozenset(),
        dropped: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self._file, self._plan, self._stepwise = file, made, stepwise
        self._normalized, self._dropped = normalized, dropped
        self._normalizations: dict[int, Any] = {}
        self._weights: dict[WeightTensor, Weight] = {}
        self._layers: dict[int, Any] = {}
        self._names: set[str] = set()
        main = file.graphs[0]
        self._inputs = [
            tf_keras.Input(short(main.tensors[i].shape), dtype=main.tensors[i].dtype, name=self._name(main.tensors[i]))
            for i in main.inputs
        ]
        self._values: dict[int, Any] = dict(zip(main.inputs, self._inputs, strict=True))

    def lifted(self, path: Path, content: bytes) -> Lifted:
        """The whole file."""
        main = self._file.graphs[0]
        for step in self._plan.steps:
            self._add(step)
        outputs = [self._output(main.tensors[tensor]) for tensor in main.outputs]
        names = {weight: weight_name(self._file, weight) for step in self._plan.steps for weight in step.reads}
        return Lifted(
            path=path,
            content=content,
            main=main,
            model=tf_keras.Model(self._inputs, outputs),
            weights=tuple(self._weights.values()),
            tensors=self._values,
            layers=self._layers,
            normalizations=self._normalizations,
            notes=gradients.notes(self._plan.steps, main.outputs, names),
        )

    def _add(self, step: LayerPlan) -> None:
        """The layer of an operator, and one more if an activation is fused into it."""
        call, name = step.call, self._name(step.call.results[0])
        before = self._with_dropout(call, name)
        given = [self._values[i] for i, o in zip(call.operator.inputs, call.operands, strict=True) if o and o.sampled]
        if step.stock is not None:
            results = [self._stocked(step, step.stock, name)]
        else:
            layer = self._as_it_is(step, name) if step.refusal else self._function(step, name)
            self._layers[call.operator.index] = layer
            made = layer(given[0] if len(given) == 1 else given or self._inputs[0])
            results = made if isinstance(made, list) else [made]
        if call.operator.index in self._normalized:
            layer = tf_keras.layers.BatchNormalization(momentum=MOMENTUM, name=self._unique(f"{name}_normalization"))
            self._normalizations[call.operator.index] = layer
            results = [layer(results[0])]
        row = ROWS.get(call.operator.name)
        activation = "" if step.refusal or (row is not None and row.recurrent) else fused(call.options)
        for tensor, value in zip(call.operator.outputs, results, strict=True):
            self._values[tensor] = self._activated(activation, value, name)
        self._values |= before

    def _with_dropout(self, call: Call, name: str) -> dict[int, Any]:
        """Let an operator read what a Dropout leaves of its first float; what that was before, by its place."""
        if call.operator.index not in self._dropped:
            return {}
        tensor = floats(call.operator, call.file.graphs[0], self._values)[0]
        before, rate = self._values[tensor], self._dropped[call.operator.index]
        self._values[tensor] = tf_keras.layers.Dropout(
            rate, seed=0, force_generator=True, name=self._unique(f"{name}_dropout")
        )(before)
        return {tensor: before}

    def _stocked(self, step: LayerPlan, stock: Stock, name: str) -> Any:
        """A layer of tf-keras with the weights of the file."""
        given = [self._values[step.call.operator.inputs[slot]] for slot in stock.given]
        if stock.before is not None:
            stock.before._name = self._unique(f"{name}_operand")
            given = [stock.before(given[0])]
        layer = stock.layer
        source: Any = given[0] if len(given) == 1 else given
        layer._name = name
        layer.build(source.shape if len(given) == 1 else [value.shape for value in given])
        for held in stock.held:
            self._hold(layer, held.attribute, step.weights[held.slot], held.layout)
        self._layers[step.call.operator.index] = layer
        made, shape = layer(source), short(step.call.results[0].shape)
        if tuple(made.shape[1:]) != shape:
            made = tf_keras.layers.Reshape(shape, name=self._unique(f"{name}_result"))(made)
        return made

    def _hold(self, layer: Any, attribute: str, tensor: WeightTensor, layout: Layout) -> None:
        """Give a layer its weight: its own variable, or that of the layer that had the weight first."""
        if tensor in self._weights:
            delattr(layer, attribute)
            setattr(layer, attribute, self._weights[tensor].variable)
        else:
            variable = getattr(layer, attribute)
            variable.assign(layout.to_layer(tensor.values))
            self._weights[tensor] = Weight(weight_name(self._file, tensor), tensor, layout, variable)

    def _function(self, step: LayerPlan, name: str) -> OperatorLayer:
        own = {slot: self._variable(tensor) for slot, tensor in step.weights.items()}
        inner = [self._variable(tensor) for tensor in step.inner]
        for tensor, variable in zip(step.inner, inner, strict=True):
            self._file.variables |= dict.fromkeys(tensor.places, variable)
        return OperatorLayer(step.call, own, inner, name)

    def _variable(self, tensor: WeightTensor) -> Any:
        """The variable of a weight that lies as in the file."""
        if tensor not in self._weights:
            name = weight_name(self._file, tensor)
            variable = tf.Variable(tensor.values, name=self._unique(re.sub(r"\W", "_", name)))
            self._weights[tensor] = Weight(name, tensor, Layout.plain(tensor.values.shape), variable)
        return self._weights[tensor].variable

    def _as_it_is(self, step: LayerPlan, name: str) -> AsItIsLayer:
        given = [i for i, o in zip(step.call.operator.inputs, step.call.operands, strict=True) if o and o.sampled]
        return AsItIsLayer(self._stepwise, step.call, given, name)

    def _activated(self, activation: str, value: Any, name: str) -> Any:
        if not activation:
            return value
        name = self._unique(f"{name}_{activation.lower()}")
        if activation not in LAYERS:
            return FunctionLayer(activation, name)(value)
        layer = LAYERS[activation]()
        layer._name = name
        return layer(value)

    def _output(self, tensor: graph.Tensor) -> Any:
        if tensor.index in self._values:
            return self._values[tensor.index]
        values = self._plan.known.get(tensor.index)
        if values is None:
            values = self._file.constant((0, tensor.index)).values
        return ConstantLayer(values.reshape(short(tensor.shape)), self._name(tensor))(self._inputs[0])

    def _name(self, tensor: graph.Tensor) -> str:
        """A layer's name, after the tensor that it makes."""
        return self._unique(re.sub(r"[^A-Za-z0-9_.]", "_", tensor.name).lstrip("._") or f"tensor_{tensor.index}")

    def _unique(self, name: str) -> str:
        found, number = name, 1
        while found in self._names:
            found, number = f"{name}_{number}", number + 1
        self._names.add(found)
        return found


def floats(operator: graph.Operator, main: graph.Graph, made: Collection[int]) -> list[int]:
    """The floats among what an operator reads that samples decide: those tensors that are ``made``."""
    return [tensor for tensor in operator.inputs if tensor in made and main.tensors[tensor].dtype == "float32"]


def weight_name(file: File, tensor: WeightTensor) -> str:
    """What the file calls a weight."""
    part, index = tensor.places[0]
    return file.graphs[part].tensors[index].name or f"tensor {index}"
