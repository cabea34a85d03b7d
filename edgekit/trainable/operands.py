"""What an operator reads while it is computed in TensorFlow: values known beforehand, weights, and samples.

A file computes one sample; the trainable form computes many at once, stacked along a new first axis. What does not
depend on the samples (constants, weights, and what is computed of them alone) has no such axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.trainable.libraries import tf
from edgekit.waist import graph, stored
from edgekit.waist.tensors import Array


class NotLiftedError(Exception):
    """An operator has no form in TensorFlow that can be trained; it says why."""


@dataclass(frozen=True)
class Operand:
    """Values in the file's shape, with an axis of samples in front if ``sampled``; numpy's if they are known."""

    values: Any
    sampled: bool = False

    @property
    def known(self) -> bool:
        """Whether the values are there already, the same for all samples and through all training."""
        return isinstance(self.values, np.ndarray)

    @property
    def shape(self) -> tuple[int, ...]:
        """The file's shape, of one sample."""
        return tuple(self.values.shape)[1:] if self.sampled else tuple(self.values.shape)


def carried(tensor: graph.Tensor) -> str:
    """The dtype in which the trainable form has a tensor: integers with a scale are float32, so that gradients pass."""
    return "float32" if tensor.scales else tensor.dtype


class Options(dict[str, Any]):
    """Builtin options of an operator; those that the file leaves out are 0, as LiteRT has them."""

    def __missing__(self, key: str) -> int:
        """The default of any option."""
        return 0


class File:
    """A file that is lifted: its graphs, and the variables that stand for its weights.

    Args:
        tree: the schema's object tree.
    """

    def __init__(self, tree: Any) -> None:
        self.tree, self.graphs = tree, graph.describe(tree)
        self.variables: dict[tuple[int, int], Any] = {}
        self._constants: dict[tuple[int, int], Operand] = {}

    def constant(self, place: tuple[int, int]) -> Operand:
        """What stands at a place (subgraph, tensor): a weight, a constant, or zeros of a state not written yet.

        Raises:
            NotLiftedError: nothing does, or it is of a dtype that numpy has not.
        """
        if place in self.variables:
            return Operand(tf.reshape(self.variables[place], self.graphs[place[0]].tensors[place[1]].shape))
        if place not in self._constants:
            self._constants[place] = Operand(self._values(*place))
        return self._constants[place]

    def _values(self, part: int, tensor: int) -> Array:
        described = self.graphs[part].tensors[tensor]
        values = stored.integers(self.tree, part, described)
        if values is None and described.variable:
            return np.zeros(described.shape, np.dtype(described.dtype))
        if values is None:
            raise NotLiftedError(f"it reads {described.name}, which nothing makes")
        return values


@dataclass(frozen=True)
class Call:
    """An operator about to be computed.

    Attributes:
        operator: with its options.
        operands: as many as it has inputs; None where one is absent.
        results: what the file says of what it makes.
        file: what it stands in.
        part: the number of its subgraph there.
    """

    operator: graph.Operator
    operands: tuple[Operand | None, ...]
    results: tuple[graph.Tensor, ...]
    file: File
    part: int = 0

    @property
    def options(self) -> Options:
        """The builtin options by the schema's names."""
        return Options(self.operator.options)

    @property
    def sampled(self) -> bool:
        """Whether what it makes has an axis of samples."""
        return any(operand is not None and operand.sampled for operand in self.operands)

    @property
    def lead(self) -> int:
        """How many axes stand in front of those of the file."""
        return int(self.sampled)

    @property
    def front(self) -> list[int]:
        """The axes of samples at the head of a shape for ``tf.reshape``."""
        return [-1] if self.sampled else []

    def has(self, slot: int) -> bool:
        """Whether there is an operand in a slot."""
        return slot < len(self.operands) and self.operands[slot] is not None

    def operand(self, slot: int) -> Operand:
        """The operand in a slot.

        Raises:
            NotLiftedError: there is none.
        """
        found = self.operands[slot] if slot < len(self.operands) else None
        if found is None:
            raise NotLiftedError(f"its operand {slot} is absent")
        return found

    def described(self, slot: int) -> graph.Tensor:
        """What the file says of an operand."""
        return self.file.graphs[self.part].tensors[self.operator.inputs[slot]]

    def known(self, slot: int) -> Array:
        """The values of an operand that decides shapes, axes or places.

        Raises:
            NotLiftedError: they are computed while the network runs.
        """
        operand = self.operand(slot)
        if not operand.known:
            raise NotLiftedError(f"its operand {slot} is computed while the network runs")
        return np.asarray(operand.values)

    def ints(self, slot: int) -> list[int]:
        """The same as a list of integers."""
        return [int(value) for value in self.known(slot).reshape(-1)]

    def common(self, slot: int) -> Any:
        """An operand that is the same for all samples, in the file's shape.

        Raises:
            NotLiftedError: it depends on the samples.
        """
        operand = self.operand(slot)
        if operand.sampled:
            raise NotLiftedError(f"its operand {slot} is not the same for all samples")
        return tf.convert_to_tensor(operand.values)

    def stacked(self, slot: int) -> Any:
        """An operand's values, ``[N, *shape]`` if the call is of samples, whether or not it depends on them."""
        operand = self.operand(slot)
        values = tf.convert_to_tensor(operand.values)
        if not self.sampled or operand.sampled:
            return values
        return tf.broadcast_to(values[None], tf.concat([[self.count()], values.shape], 0))

    def count(self) -> Any:
        """The number of samples, a scalar tensor."""
        return next(tf.shape(o.values)[0] for o in self.operands if o is not None and o.sampled)

    def aligned(self, slots: Sequence[int] | None = None) -> list[Any]:
        """Operands that are broadcast against one another: their ranks made equal behind the axis of samples."""
        chosen = [self.operand(slot) for slot in (range(len(self.operands)) if slots is None else slots)]
        rank = max(len(operand.shape) for operand in chosen)
        found = []
        for operand in chosen:
            values, missing = tf.convert_to_tensor(operand.values), rank - len(operand.shape)
            if operand.sampled and missing:
                values = tf.reshape(values, [-1, *[1] * missing, *operand.shape])
            found.append(values)
        return found

    def axis(self, number: int, slot: int = 0) -> int:
        """Where an axis of an operand, perhaps counted from the end, stands in `stacked`."""
        rank = max(1, len(self.operand(slot).shape))
        return int(number) % rank + self.lead

    def reshaped(self, values: Any, number: int = 0) -> Any:
        """Values in the shape that the file gives a result."""
        return tf.reshape(values, [*self.front, *self.results[number].shape])
