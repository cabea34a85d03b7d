"""What an operator's error comes from: each cause put into the float network alone, and the error that it makes there.

    inputs     f(round(x))             weights    f(x) with the file's constants
    bias       likewise, if its integers end
    clipping   clip(y)                 steps      round(clip(y)) − clip(y)
    kernel     the file's result − round(f(round(x)) with the file's constants)

f is what the float network computes between the tensors that the operator reads and the one that it makes, x and
y are that network's own values.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.backends.tflite.diagnosis import grids
from edgekit.backends.tflite.diagnosis.matching import Side
from edgekit.nouns.diagnosis import Blame, Cause
from edgekit.waist import edit, graph
from edgekit.waist.causes import Noise, channels_told, error, few_channels, of_range, ranked
from edgekit.waist.cost import CALLED
from edgekit.waist.exact import LAYERS
from edgekit.waist.graph import Operator
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

WEIGHTS, BIAS = 1, 2
"""Operands of a layer."""

CHANNELS = {"DEPTHWISE_CONV_2D": -1}
"""Which axis of weights counts the outputs; the first for all others."""

MOST = {"int32": 2**31 - 1, "int64": 2**63 - 1}
"""The end of the integers that hold a bias."""


@dataclass(frozen=True)
class Suspect:
    """One operator of a file beside its part of the float network.

    ``read``: the float network's tensors that it reads, each with its own values and those that the file's grid leaves
    of them. ``part`` makes ``made`` from these. ``other`` is the operator of the same kind there, None if the file
    computes in another way. ``truth`` is what the float network makes, ``got`` what the file's operator makes of
    ``read`` (as stored), ``unrounded`` what the float network makes of the rounded values; ``truth`` itself if none is.
    """

    operator: Operator
    tensor: int
    read: Mapping[int, tuple[Array, Array]]
    part: Sequence[Operator]
    made: int
    other: Operator | None
    truth: Array
    got: Array
    unrounded: Array


class Blames:
    """Finds causes. The float network's constants are changed on the way, and put back."""

    def __init__(self, file: Side, waist: Side) -> None:
        self._file, self._waist, self._stepwise = file, waist, Stepwise(waist.model)

    def of(self, suspect: Suspect) -> tuple[Blame, ...]:
        """The causes of an operator's error, the largest first."""
        return ranked(suspect.truth, dict(self._noises(suspect)))

    def result(
        self,
        part: Sequence[Operator],
        read: Mapping[int, tuple[Array, Array]],
        made: int,
        *,
        rounded: bool,
        constants: Mapping[int, Array],
    ) -> Array:
        """What a part of the float network makes of its own or of the rounded values, with other constants."""
        values = {tensor: both[rounded] for tensor, both in read.items()}
        with holding(self._waist.model, constants):
            return self._stepwise.run_part(part, values, [made])[made]

    def constants(self, suspect: Suspect) -> dict[int, tuple[int, Array]]:
        """The file's constants that take the place of the float network's: by operand, with the tensor there."""
        found: dict[int, tuple[int, Array]] = {}
        if suspect.other is None:
            return found
        for slot, (mine, theirs) in enumerate(zip(suspect.operator.inputs, suspect.other.inputs, strict=False)):
            values, wanted = self._file.constant(mine), self._waist.constant(theirs)
            if values is None or wanted is None or wanted.dtype != np.float32 or values.shape != wanted.shape:
                continue
            found[slot] = theirs, values.astype(np.float32)
        return found

    def _noises(self, suspect: Suspect) -> Iterator[tuple[Cause, Noise]]:
        yield from _of_grid(suspect, grids.grid(self._file.graph.tensors[suspect.tensor]))
        if not suspect.part:
            return
        if suspect.other is None:
            yield "rewritten", (error(suspect.truth, self._real(suspect)), "the file computes it in another way", {})
            return
        if suspect.unrounded is not suspect.truth:
            yield "inputs", (error(suspect.truth, suspect.unrounded), "what it reads is rounded", {})
        constants = self.constants(suspect)
        if constants:
            yield "weights", self._about_weights(suspect, constants)
        if (found := self._about_bias(suspect, constants)) is not None:
            yield "bias", found
        yield self._about_kernel(suspect, dict(constants.values()))

    def _real(self, suspect: Suspect) -> Array:
        return grids.real(self._file.graph.tensors[suspect.tensor], suspect.got)

    def _about_weights(self, suspect: Suspect, constants: Mapping[int, tuple[int, Array]]) -> Noise:
        """What its constants cost together: a bias may take up what its weights shift."""
        changed = self.result(
            suspect.part, suspect.read, suspect.made, rounded=False, constants=dict(constants.values())
        )
        noise, found = error(suspect.truth, changed), None
        weights = constants.get(WEIGHTS)
        if suspect.operator.name in LAYERS and weights is not None and weights[1].ndim > 1:
            found = few_channels(suspect.truth, changed, weights[1], CHANNELS.get(suspect.operator.name, 0))
        if found is None:
            what = "weights" if suspect.operator.name in LAYERS else "constants"
            return noise, f"its {what} are rounded", {}
        return noise, channels_told(found), found

    def _about_bias(self, suspect: Suspect, constants: Mapping[int, tuple[int, Array]]) -> Noise | None:
        """What biases cost that their integers do not hold; None if they hold all."""
        if suspect.operator.name not in LAYERS or BIAS not in constants:
            return None
        raw = self._file.raw(suspect.operator.inputs[BIAS])
        if raw is None or str(raw.dtype) not in MOST:
            return None
        ends = int(np.count_nonzero(np.abs(raw.astype(np.float64)) >= MOST[str(raw.dtype)]))
        if not ends:
            return None
        tensor, values = constants[BIAS]
        changed = self.result(suspect.part, suspect.read, suspect.made, rounded=False, constants={tensor: values})
        told = f"{ends} of its {raw.size} biases are at the end of their integers"
        return error(suspect.truth, changed), told, {"saturated": float(ends)}

    def _about_kernel(self, suspect: Suspect, constants: Mapping[int, Array]) -> tuple[Cause, Noise]:
        """What is left when the same integers are computed with in floats."""
        tensor = self._file.graph.tensors[suspect.tensor]
        grid = grids.grid(tensor)
        expected = self.result(suspect.part, suspect.read, suspect.made, rounded=True, constants=constants)
        if grid is None:
            noise = error(expected, suspect.got)
            if self._holds_others(suspect):
                return "weights", (noise, "weights inside of its loop or branch are rounded", {})
            hybrid = any(self._file.graph.tensors[t].scales for t in suspect.operator.inputs if t >= 0)
            told = "it rounds what it reads to 8 bits at every run" if hybrid else "its kernel computes otherwise"
            return "inputs" if hybrid else "kernel", (noise, told, {})
        wanted = grid.stored(expected)
        apart = np.abs(wanted.astype(np.int32) - suspect.got.astype(np.int32))
        share, most = float(np.count_nonzero(apart) / max(apart.size, 1)), int(apart.max(initial=0))
        told = f"its kernel gives other integers than arithmetic for {share:.1%} of its values, by up to {most} steps"
        return "kernel", (error(grid.real(wanted), self._real(suspect)), told, {"differing": share, "steps": most})

    def _holds_others(self, suspect: Suspect) -> bool:
        """Whether an operator runs subgraphs whose constants are not those of the float network's."""
        if suspect.other is None or suspect.operator.name not in CALLED:
            return False
        for option in CALLED[suspect.operator.name]:
            held = [
                list(_constants(side.model, int(operator.options[option])))
                for side, operator in ((self._file, suspect.operator), (self._waist, suspect.other))
            ]
            if len(held[0]) != len(held[1]) or not all(map(np.array_equal, *held)):
                return True
        return False


def _constants(model: Any, subgraph: int) -> Iterator[Array]:
    """The constants of a subgraph as they are stored, in order."""
    for tensor in range(len(model.subgraphs[subgraph].tensors)):
        if (values := graph.constant(model, subgraph, tensor)) is not None:
            yield values


def _of_grid(suspect: Suspect, grid: grids.Grid | None) -> Iterator[tuple[Cause, Noise]]:
    """What the range and the steps of an operator's result cost."""
    if grid is None:
        return
    yield from of_range(suspect.truth, (grid.low, grid.high), grid.scale, lambda values: grid.real(grid.stored(values)))


@contextmanager
def holding(model: Any, constants: Mapping[int, Array]) -> Iterator[None]:
    """While open, tensors of the main subgraph hold other constants."""
    tensors, buffers = model.subgraphs[0].tensors, len(model.buffers)
    before = {tensor: tensors[tensor].buffer for tensor in constants}
    for tensor, values in constants.items():
        edit.set_constant(model, tensor, values)
    try:
        yield
    finally:
        for tensor, buffer in before.items():
            tensors[tensor].buffer = buffer
        del model.buffers[buffers:]
