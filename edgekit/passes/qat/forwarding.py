"""A simulation in place of a lifted network: it takes and gives real numbers, by the places of the float file."""

from typing import Any

from edgekit.errors import Unsupported
from edgekit.passes.qat.rounding import onto
from edgekit.passes.qat.simulation import Simulation
from edgekit.trainable.form import Lifted
from edgekit.trainable.layers import shortened, whole
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Operand, carried
from edgekit.training import points
from edgekit.waist import cutting, graph

BETWEEN = graph.BORDER | points.MOVES
"""Operators between an output and what makes its scores."""


class IntegerForward:
    """Computes tensors of a float network in integers; see `edgekit.training.hooks.Forward`.

    Args:
        simulation: of the integer file.
        lifted: the float network that it was made from.
    """

    def __init__(self, simulation: Simulation, lifted: Lifted) -> None:
        self._simulation, self._main, self._lifted = simulation, simulation.spec.main, lifted
        own = lifted.main
        made = {tensor for operator in self._main.operators for tensor in operator.outputs}
        names = {name: tensor for name, tensor in cutting.names(self._main).items() if tensor in made}
        self._places = {tensor: names[name] for name, tensor in cutting.names(own).items() if name in names}
        for one, other in zip(own.outputs, self._main.outputs, strict=True):
            self._places[one] = other
            theirs, ours = scores(own, one), scores(self._main, other)
            if theirs is not None and ours is not None:
                self._places[theirs] = ours

    def __call__(self, given: list[Any], wanted: tuple[int, ...], *, training: bool) -> list[Any]:  # noqa: ARG002
        """See `edgekit.training.hooks.Forward`."""
        state = self._simulation.state()
        inputs = {
            tensor: Operand(self._taken(self._main.tensors[tensor], values, state.grids.get(tensor)), sampled=True)
            for tensor, values in zip(self._main.inputs, given, strict=True)
        }
        made = self._simulation.run(inputs, state)
        results = []
        for place in wanted:
            tensor = self._tensor(place)
            grid, values = state.grids.get(tensor), made[tensor].values
            real = values if grid is None else grid.real(values)
            results.append(shortened(real, self._lifted.main.tensors[place].shape))
        return results

    def _taken(self, tensor: graph.Tensor, values: Any, grid: Any) -> Any:
        """An input as the integer file takes it."""
        values = whole(values, tensor.shape)
        if grid is None or values.dtype != tf.float32:
            return tf.cast(values, carried(tensor))
        return onto(grid, values / grid.scale)

    def _tensor(self, place: int) -> int:
        """The tensor of the integer file that stands for one of the float file.

        Raises:
            Unsupported: there is none, since the network was rewritten there.
        """
        if place not in self._places:
            name = self._lifted.main.tensors[place].name
            raise Unsupported(
                f"The integer file has no tensor {name}, at which the network is to be compared with its teacher.",
                place=name,
                fix="leave out the pass qat, and quantize after training",
            )
        return self._places[place]


def scores(main: graph.Graph, output: int) -> int | None:
    """What a softmax or a sigmoid at an output makes its scores of; None if there is neither."""
    makers = {tensor: operator for operator in main.operators for tensor in operator.outputs}
    head = points.head(makers, output, BETWEEN)
    return None if head is None else head.inputs[0]
