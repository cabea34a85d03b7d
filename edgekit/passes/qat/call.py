"""An operator of integers about to be computed: its operands, and the grids that they and its results stand on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.passes.qat.grids import TensorGrid
from edgekit.passes.qat.rounding import onto
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, Operand
from edgekit.trainable.operators.activations import FUSED


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

    def ready(self, changed: Mapping[int, Operand | None]) -> Call:
        """The call with operands replaced, by slot; None leaves one out."""
        operands = tuple(changed.get(slot, operand) for slot, operand in enumerate(self.call.operands))
        return replace(self.call, operands=operands)

    def zeroed(self, slot: int) -> Operand:
        """An operand of integers less their zero point."""
        operand = self.call.operand(slot)
        return Operand(tf.convert_to_tensor(operand.values) - self.grid(slot).zero_point, operand.sampled)

    def limits(self) -> tuple[Any, Any]:
        """What results are clipped to, by their dtype and by the activation that is fused into the operator."""
        fused = FUSED.get(self.call.options["fusedActivationFunction"], "")
        return bounds(self.result, *BOUNDS.get(fused, (None, None)))

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


BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
"""What activations clip to, alone or fused."""

IntegerFunction = Callable[[IntegerCall], Any]
"""Computes an operator: a tensor of integers as float32 for its only result, or a list with one for each."""
