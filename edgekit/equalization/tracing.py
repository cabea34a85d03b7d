"""Channels traced through a network: which layer makes each, which layers read it, and in which tensors it lies.

A channel may be divided by a positive number if every layer that reads it multiplies its weights for it by the same.
In between may lie what leaves channels where they are (a ReLU, a pool, padding), what moves them (joins, splits,
shuffles, flattening), and sums: channels that are added are divided alike. What moves them runs on their numbers
in place of values, so that each is followed wherever LiteRT puts it.
"""

from typing import Any

import numpy as np

from edgekit.equalization.homogeneous import HOMOGENEOUS, SCALABLE, is_capped, keeps_channels
from edgekit.equalization.layers import Layer, own_layer
from edgekit.equalization.numbering import Floats, Numbered, Numbers
from edgekit.equalization.observing import FINITE
from edgekit.waist import edit, graph
from edgekit.waist.exact import MOVES
from edgekit.waist.stepwise import Stepwise

_KEEP = (HOMOGENEOUS - {"RESHAPE"}) | {"PADV2", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
"""Operators after which the last axis counts the same channels, each times the same number."""

_MOVE = MOVES - {"PAD", "PADV2", "MIRROR_PAD", "DYNAMIC_UPDATE_SLICE"}

_TIE = {"ADD", "SUB", "MAXIMUM", "MINIMUM"}
"""Operators for which channels of two operands must be divided alike."""

MOST_VALUES = 1 << 24
"""Values of a tensor that are still moved as numbers: float32 counts that far."""


class Trace(Numbered):
    """The channels of a waist, numbered: layers by the index of their operator, tensors by theirs.

    ``within`` has the numbers of a tensor's last axis. In other tensors channels lie otherwise: ``moved`` has the
    number of each of their values. ``sources`` are what a tensor was moved from, in the order of execution.

    Args:
        model: object tree of a TFLite file without state.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._stepwise = model, Stepwise(model)
        self._main = self._stepwise.graph
        self.moved: dict[int, Numbers] = {}
        self.sources: dict[int, tuple[int, ...]] = {}
        for operator in self._main.operators:
            self._follow(operator)
        for tensor in self._main.outputs:
            self._fix(tensor)
        roots = self._settle()
        self.moved = {tensor: roots[numbers] for tensor, numbers in self.moved.items()}

    def divide(self, by: Floats, model: Any) -> None:
        """Divide channels in a network's weights and biases, in place.

        Args:
            by: as in `weights`.
            model: object tree of the file that was traced.
        """
        for index, found in self.layers.items():
            edit.set_constant(model, found.kernel, found.as_weights(self.weights(index, by)))
            bias = None if found.bias < 0 or index not in self.made else graph.constant(model, 0, found.bias)
            if bias is not None:
                divided = bias / by[self.made[index]].reshape(bias.shape)
                edit.set_constant(model, found.bias, divided.astype(np.float32))

    def _fix(self, tensor: int) -> None:
        """Leave all channels of a tensor as they are."""
        found = self.within.get(tensor, self.moved.get(tensor))
        self._leave(() if found is None else np.unique(found))

    def _follow(self, operator: graph.Operator) -> None:
        read = [t for t in operator.inputs if t in self.within or t in self.moved]
        if (found := own_layer(self._model, self._main, operator)) is not None:
            known = self._layer(found)
        elif operator.name in _MOVE:
            known = not read or self._moves(operator, read)
        else:
            known = self._passes(operator, read)
        for tensor in () if known else read:
            self._fix(tensor)

    def _layer(self, found: Layer) -> bool:
        """A layer; whether it reads whole channels."""
        operator, numbers = found.operator, self.within.get(found.source)
        self.layers[operator.index] = found
        taps = found.weights.shape[-1]
        whole = numbers is not None and (
            operator.name == "DEPTHWISE_CONV_2D" or taps * found.groups % len(numbers) == 0
        )
        if numbers is not None and whole:
            self.read[operator.index] = numbers
        if operator.options.get("fusedActivationFunction", 0) in SCALABLE:
            (tensor,) = operator.outputs
            self.made[operator.index] = self.within[tensor] = self._new(self._main.tensors[tensor].shape[-1])
            self._note_cap(operator)
        return whole

    def _moves(self, operator: graph.Operator, read: list[int]) -> bool:
        """What moves channels: it moves their numbers. Whether it could."""
        held = {t: self._main.tensors[t] for t in operator.inputs if t >= 0}
        operands = [t for t, one in held.items() if one.dtype == "float32" or not one.constant_bytes]
        sizes = [int(np.prod(self._main.tensors[t].shape)) for t in operands]
        if max(sizes) > MOST_VALUES or self.count > MOST_VALUES or not set(operands) >= set(read):
            return False
        if any(held[t].dtype != "float32" for t in operands):  # indices that are computed
            return False
        values = {t: self._numbers(t)[None].astype(np.float32) for t in operands}
        for tensor, (moved,) in self._stepwise.run(operator, values).items():
            self.sources[tensor] = tuple(operands)
            table = moved.astype(np.int_).reshape(-1, moved.shape[-1] if moved.ndim else 1)
            if len(table) and (table == table[0]).all():
                self.within[tensor] = table[0]
            else:
                self.moved[tensor] = moved.astype(np.int_)
        return True

    def _numbers(self, tensor: int) -> Numbers:
        """The number of each value of a tensor; that of constants, which may be joined with channels, is 0."""
        found = self.moved.get(tensor, self.within.get(tensor, np.zeros(1, np.int_)))
        return np.broadcast_to(found, self._main.tensors[tensor].shape)

    def _passes(self, operator: graph.Operator, read: list[int]) -> bool:
        """What leaves channels where they are; whether it does."""
        numbers = [self.within[tensor] for tensor in operator.inputs if tensor in self.within]
        if not read or operator.options.get("fusedActivationFunction", 0) not in SCALABLE:
            return False
        if operator.name in _TIE:
            shapes = {self._main.tensors[tensor].shape for tensor in operator.inputs}
            if len(shapes) > 1 or len(numbers) < len(operator.inputs):
                return False
            for one, other in zip(*numbers, strict=True):
                self._tie(int(one), int(other))
        elif operator.inputs[0] not in self.within or not self._keeps(operator):
            return False
        self.within[operator.outputs[0]] = numbers[0]
        self._note_cap(operator)
        return True

    def _keeps(self, operator: graph.Operator) -> bool:
        """Whether an operator leaves channels where they are; it may pad by 0, and by what lies below all values."""
        if operator.name not in _KEEP or not keeps_channels(self._model, self._main, operator):
            return False
        padding = graph.constant(self._model, 0, operator.inputs[2]) if operator.name == "PADV2" else np.zeros(1)
        return padding is not None and bool(padding.ravel()[0] == 0 or padding.ravel()[0] <= -FINITE)

    def _note_cap(self, operator: graph.Operator) -> None:
        if is_capped(operator):
            self.capped.add(operator.outputs[0])
