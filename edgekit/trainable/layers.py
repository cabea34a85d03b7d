"""Layers of tf-keras for operators that it has no layer for: around a function of TensorFlow's, or around LiteRT."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.trainable import portable
from edgekit.trainable.computing import compute
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, Operand, carried
from edgekit.trainable.operators.activations import FUNCTIONS
from edgekit.trainable.stock import short
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

Method = Callable[..., Any]

AS_WRITTEN: Callable[[Method], Method] = tf.autograph.experimental.do_not_convert
"""TensorFlow would rewrite all Python that a layer calls. It hides what a method takes, and Keras then adds to that."""


Class = Callable[[type], type]

registered: Class = tf_keras.saving.register_keras_serializable("edgekit")
"""Whoever has imported this module can load models with these layers."""


def whole(values: Any, shape: tuple[int, ...]) -> Any:
    """What stands in the model, ``[N, …]`` without the file's leading 1, in the file's shape ``[N, *shape]``."""
    return tf.reshape(values, [-1, *shape]) if short(shape) != shape else values


def shortened(values: Any, shape: tuple[int, ...]) -> Any:
    """The other way round."""
    return tf.reshape(values, [-1, *short(shape)]) if short(shape) != shape else values


def by_litert(run: Callable[..., list[Array]], given: Sequence[Any], results: Sequence[graph.Tensor]) -> list[Any]:
    """What LiteRT computes, as tensors ``[N, *shape]`` in the dtypes in which the trainable form has them.

    Args:
        run: from arrays to one for each result, in the file's dtype.
        given: the tensors that it is called with.
        results: what the file says of them.
    """
    made = tf.numpy_function(run, given, [tf.as_dtype(result.dtype) for result in results])
    return [
        tf.cast(tf.ensure_shape(values, [None, *result.shape]), carried(result))
        for values, result in zip(made if isinstance(made, list | tuple) else [made], results, strict=True)
    ]


@registered
class OperatorLayer(tf_keras.layers.Layer):  # type: ignore[misc]
    """An operator by its function in `edgekit.trainable.operators.table`, without the activation fused into it.

    Args:
        call: the operator; operands that are sampled stand for those that the layer is given, in their order.
        weights: variables by slot, in the file's shape.
        inner: variables that subgraphs which it runs read.
        name: of the layer.
    """

    def __init__(self, call: Call, weights: dict[int, Any], inner: Sequence[Any], name: str, **about: Any) -> None:
        super().__init__(name=name, **about)
        self._operator, self._held = call, dict(weights)
        self.held = [*weights.values(), *inner]  # tracked by Keras

    @AS_WRITTEN
    def call(self, inputs: Any, **_: Any) -> Any:
        """Results ``[N, …]`` without the file's leading 1; one without a list."""
        given = iter(inputs if isinstance(inputs, list | tuple) else [inputs])
        count = tf.shape(inputs[0] if isinstance(inputs, list | tuple) else inputs)[0]
        operands = tuple(self._operand(slot, operand, given) for slot, operand in enumerate(self._operator.operands))
        call = replace(self._operator, operands=operands)
        made = [
            shortened(_sampled(operand, count), result.shape)
            for operand, result in zip(compute(call, fused=False), call.results, strict=True)
        ]
        return made[0] if len(made) == 1 else made

    def _operand(self, slot: int, operand: Operand | None, given: Any) -> Operand | None:
        if slot in self._held:
            return Operand(tf.reshape(self._held[slot], operand.shape if operand else []))
        if operand is None or not operand.sampled:
            return operand
        return Operand(whole(next(given), operand.shape), sampled=True)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of: the operator as a file, and the slots of its variables with their shapes.

        A variable that several operators share has the shape in which the first of them reads it. Of several slots
        with one variable (biases of a fresh LSTM's gates, all zeros) each names the first: Keras stores it once.
        """
        slots = sorted(self._held)
        shapes = [self._held[slot].shape.as_list() for slot in slots]
        firsts = [next(one for one in slots if self._held[one] is self._held[slot]) for slot in slots]
        operator = portable.packed(self._operator)
        return dict(super().get_config(), operator=operator, weights=slots, shapes=shapes, firsts=firsts)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OperatorLayer":
        """The layer again, with variables of zeros for loaded values."""
        told = dict(config)
        slots = told.pop("weights")
        call = portable.unpacked(told.pop("operator"), slots)
        specs = [call.operands[slot].values for slot in slots]
        shapes = told.pop("shapes", [spec.shape for spec in specs])
        weights = {
            slot: tf.Variable(tf.zeros(shape, spec.dtype))
            for slot, spec, shape in zip(slots, specs, shapes, strict=True)
        }
        firsts = told.pop("firsts", slots)
        return cls(call, {slot: weights[first] for slot, first in zip(slots, firsts, strict=True)}, (), **told)


def _sampled(operand: Operand, count: Any) -> Any:
    """The values, repeated for each sample if they are the same for all."""
    values = tf.convert_to_tensor(operand.values)
    return values if operand.sampled else tf.repeat(values[None], count, 0)


@registered
class FunctionLayer(tf_keras.layers.Layer):  # type: ignore[misc]
    """An activation that was fused into an operator and that tf-keras has no layer for."""

    def __init__(self, activation: str, name: str, **about: Any) -> None:
        super().__init__(name=name, **about)
        self.activation = activation

    @AS_WRITTEN
    def call(self, inputs: Any, **_: Any) -> Any:
        """The activation, element by element."""
        return FUNCTIONS[self.activation](inputs)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of."""
        return dict(super().get_config(), activation=self.activation)


@registered
class ConstantLayer(tf_keras.layers.Layer):  # type: ignore[misc]
    """Gives a constant for each sample, ``[N, *shape]``, whatever it is given."""

    def __init__(self, values: Array | dict[str, Any], name: str, **about: Any) -> None:
        super().__init__(name=name, **about)
        self._values = portable.array_of(values) if isinstance(values, dict) else values

    @AS_WRITTEN
    def call(self, inputs: Any, **_: Any) -> Any:
        """The constant, once for each sample."""
        return tf.repeat(tf.constant(self._values)[None], tf.shape(inputs)[0], 0)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of."""
        return dict(super().get_config(), values=portable.text_of(self._values))


@registered
class AsItIsLayer(tf_keras.layers.Layer):  # type: ignore[misc]
    """An operator run by LiteRT as it stands in the file: right, slow, and without a gradient.

    Args:
        stepwise: the file that runs.
        call: the operator; operands that are sampled stand for those that the layer is given, in their order.
        given: their tensors in the file.
        name: of the layer.
    """

    def __init__(self, stepwise: Stepwise, call: Call, given: Sequence[int], name: str, **about: Any) -> None:
        super().__init__(name=name, **about)
        self._stepwise, self._operator, self._given = stepwise, call, list(given)

    @AS_WRITTEN
    def call(self, inputs: Any, **_: Any) -> Any:
        """Results ``[N, …]`` without the file's leading 1; one without a list."""
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        given = [self._stepwise.graph.tensors[tensor] for tensor in self._given]
        stacked = [tf.cast(whole(value, one.shape), one.dtype) for value, one in zip(values, given, strict=True)]
        results = self._operator.results
        found = [
            shortened(value, result.shape)
            for value, result in zip(by_litert(self._run, stacked, results), results, strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of: the operator as a file."""
        return dict(super().get_config(), operator=portable.packed(self._operator))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AsItIsLayer":
        """The layer again."""
        told = dict(config)
        call = portable.unpacked(told.pop("operator"), ())
        pairs = zip(call.operator.inputs, call.operands, strict=True)
        given = [tensor for tensor, operand in pairs if operand is not None and operand.sampled]
        return cls(Stepwise(call.file.tree), call, given, **told)

    def _run(self, *values: Any) -> list[Array]:
        made = self._stepwise.run(self._operator.operator, dict(zip(self._given, values, strict=True)))
        return [np.ascontiguousarray(made[result.index]) for result in self._operator.results]


def custom_objects() -> dict[str, type]:
    """The layers by the names that saved models use."""
    return {f"edgekit>{kind.__name__}": kind for kind in (OperatorLayer, FunctionLayer, ConstantLayer, AsItIsLayer)}
