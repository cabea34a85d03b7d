"""What one attempt at a quantized file starts from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgekit.backends.tflite.joined import joined
from edgekit.backends.tflite.ranges import Range
from edgekit.waist import graph


@dataclass(frozen=True)
class QuantizationSettings:
    """How to quantize.

    ``activations``: ``int8`` or ``int16``. ``per_channel``: one scale for each output channel of weights
    instead of one for all. ``method``: one of `ranges.METHODS`, ``auto`` to keep the best, or
    ``searched`` (`range_search`).
    ``full_integer``: operators that both quantizers know are never left float. ``seed`` drives
    the subsampling of activations. ``weights``: one of `layerwise.WAYS`, or ``auto`` to keep the best.
    ``floats``: operators that stay float because the user says so, by the names of what they make.
    ``equalization``: ``on`` for even weights, ``activations`` for even channels of these (int8, and a scale for each
    channel of weights), ``off``, or ``auto`` to keep the better file: with even weights if all of a layer have one
    scale, else with even activations if these are int8.
    """

    activations: str = "int8"
    per_channel: bool = True
    method: str = "auto"
    full_integer: bool = False
    seed: int = 0
    weights: str = "auto"
    floats: frozenset[str] = frozenset()
    equalization: str = "auto"


@dataclass(frozen=True)
class QuantizationPlan:
    """A float file to quantize: a way to choose ranges for it, the operators that stay float, and why they do.

    ``weights``: what was done to its weights and biases, one of `layerwise.WAYS`; ``unfitted``: layers to which it was
    not done, because their samples hold NaN or infinity.
    """

    path: Path
    ranges: Callable[[str], dict[int, Range]]
    kept: frozenset[int] = frozenset()
    reasons: tuple[str, ...] = ()
    weights: str = "nearest"
    unfitted: tuple[str, ...] = ()

    @cached_property
    def main(self) -> graph.Graph:
        """The graph of the float file, read once for all candidates of the plan."""
        return graph.read(self.path)[0]

    def chosen(self, method: str) -> dict[int, Range]:
        """The ranges that one method chooses, by tensor index, those of what is joined as the joins have it."""
        return joined(self.main, self.ranges(method), self.kept)

    def keeping(self, main: graph.Graph, operators: Iterable[int], reason: str) -> "QuantizationPlan":
        """The plan with more operators of its graph float, for a reason."""
        operators = frozenset(operators)
        names = sorted({main.operators[index].name for index in operators})
        told = (f"{', '.join(names)} ({reason})",) if names else ()
        return replace(self, kept=self.kept | operators, reasons=(*self.reasons, *told))
