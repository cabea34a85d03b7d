"""An operator of integers about to be computed: its operands, and the grids that they and its results stand on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.passes.qat.grids import TensorGrid
from edgekit.passes.qat.rounding import onto
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, Operand


@dataclass(frozen=True)
class IntegerCall:
    """A call whose operands carry integers, with their grids (None if they have none).

    ``parts``: into how many a sum of products is split, so that float32 holds each of them exactly.
    """

    call: Call
    read: tuple[TensorGrid | None, ...]
    made: tuple[TensorGrid | None, ...]
    parts: int = 1

    def grid(self, slot: int) -> TensorGrid:
        """The grid of an operand that has one."""
        found = self.read[slot]
        assert found is not None
        return found

    @property
    def result(self) -> TensorGrid:
        """The grid of the first result."""
        found = self.made[0]
        assert found is not None
        return found

    def centred(self, slot: int) -> Any:
        """The operand's integers less their zero point, as `Call.stacked` has them."""
        return self.call.stacked(slot) - self.grid(slot).zero_point

    def ready(self, **changed: Any) -> Call:
        """The call with operands replaced, by slot as ``s0``, ``s1`` and so on; None leaves one out."""
        operands = list(self.call.operands)
        for name, values in changed.items():
            operands[int(name[1:])] = values
        return replace(self.call, operands=tuple(operands))

    def zeroed(self, slot: int) -> Operand:
        """An operand of integers less their zero point."""
        operand = self.call.operand(slot)
        return Operand(tf.convert_to_tensor(operand.values) - self.grid(slot).zero_point, operand.sampled)

    def limits(self) -> tuple[Any, Any]:
        """What results are clipped to, by their dtype and by the activation that is fused into the operator."""
        return bounds(self.result, *BOUNDS.get(self.call.options["fusedActivationFunction"], (None, None)))

    def onto(self, values: Any, exact: Any = None) -> Any:
        """Integers of the first result; see `rounding.onto`."""
        return onto(self.result, values, exact, self.limits())


def bounds(grid: TensorGrid, least: float | None, most: float | None) -> tuple[Any, Any]:
    """What integers are clipped to so that they stand for numbers within bounds."""
    return (
        float(grid.low) if least is None else _level(grid, least),
        float(grid.high) if most is None else _level(grid, most),
    )


def _level(grid: TensorGrid, real: float) -> Any:
    """The integer that stands for a bound, within the dtype."""
    level = tf.round(tf.stop_gradient(real / grid.scale)) + grid.zero_point
    return tf.clip_by_value(level, float(grid.low), float(grid.high))


BOUNDS: dict[int, tuple[float | None, float | None]] = {
    schema.ActivationFunctionType.RELU: (0.0, None),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
    schema.ActivationFunctionType.RELU6: (0.0, 6.0),
}
"""What fused activations clip to."""

IntegerFunction = Callable[[IntegerCall], Any]
"""Computes an operator: a tensor of integers as float32 for its only result, or a list with one for each."""
