"""What would help an operator: each remedy is tried on it alone, with its inputs exact, and what it gives is told.

What is chosen or fitted is so on every other sample, and what it gives is measured on those in between.

ranges        the result on the range that a method chooses for just these values
int16         the result and what it reads in 16 bits, its weights as they are
float32       the operator in floats between integers, its result on a range of its own
per channel   weights with a scale for each output, instead of one for all
learned       weights rounded so that the result errs least, the shift of means in the bias
equalization  channels scaled to one size, and scaled back by the weights of the layer that alone reads them
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.diagnosis import grids, wider
from edgekit.backends.tflite.diagnosis.blame import WEIGHTS, Blames, Suspect
from edgekit.backends.tflite.diagnosis.matching import Side
from edgekit.backends.tflite.layerwise import grid as rounding
from edgekit.backends.tflite.layerwise.grid import Granularity, Scheme
from edgekit.backends.tflite.layerwise.reconstruction import layer_constants
from edgekit.backends.tflite.ranges import METHODS
from edgekit.equalization.layers import Layer, layer
from edgekit.equalization.observing import KEPT_VALUES, Observed
from edgekit.nouns.diagnosis import Help
from edgekit.nouns.quantization import Quantization
from edgekit.waist.causes import LEAST_GAIN_DB
from edgekit.waist.tensors import Array, sqnr_db

TIED = frozenset({
    "AVERAGE_POOL_2D", "CONCATENATION", "GATHER", "MAX_POOL_2D", "PAD", "RESHAPE", "RESIZE_BILINEAR", "SLICE",
    "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_DEPTH", "STRIDED_SLICE", "TRANSPOSE", "SPLIT", "UNPACK", "SQUEEZE",
    "EXPAND_DIMS", "LOGISTIC", "SOFTMAX", "LOG_SOFTMAX", "TANH", "L2_NORMALIZATION",
})  # fmt: skip
"""Operators whose result has the range of what they read, or a fixed one (TFLite 8-bit quantization specification)."""

LEAVING = {"int16", "float32"}
"""Remedies with which an operator leaves the file's integers."""

HOMOGENEOUS = {0, 1}
"""Fused activations for which f(c·x) is c·f(x) if c > 0: none, and RELU."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Tried:
    """A remedy, and what the operator's result is with it."""

    remedy: str
    told: str
    result: Array
    setting: str = ""


class Helps:
    """Tries remedies on operators of one file."""

    def __init__(self, file: Side, waist: Side, blames: Blames) -> None:
        self._file, self._waist, self._blames = file, waist, blames

    def of(
        self,
        suspect: Suspect,
        before_db: float,
        output_before_db: float | None = None,
        output_db: Callable[[Array], float | None] | None = None,
    ) -> tuple[Help, ...]:
        """What brings an operator's result closer by `LEAST_GAIN_DB`, and the outputs too, each remedy once.

        Those first that leave the operator in the file's integers, of these the best; of others those with a setting.

        Args:
            suspect: the operator.
            before_db: SQNR of its result as it is.
            output_before_db: that of the outputs with it.
            output_db: that of the outputs with another result ``[N, *shape]``, None if they are equal; None if nobody
                can tell.
        """
        found: dict[str, Help] = {}
        got = grids.real(self._file.graph.tensors[suspect.tensor], suspect.got)
        others = slice(1, None, 2) if len(got) > 1 else slice(None)
        level = sqnr_db(suspect.truth[others], got[others])
        for tried in self._tried(suspect):
            after = before_db + sqnr_db(suspect.truth[others], tried.result[others]) - level
            known = found.get(tried.remedy)
            if after < before_db + LEAST_GAIN_DB or (known is not None and known.after_db >= after):
                continue
            outputs = output_before_db, None if output_db is None else output_db(tried.result)
            if output_db is not None and not _gains(*outputs):
                continue
            found[tried.remedy] = Help(
                remedy=tried.remedy,
                told=tried.told,
                before_db=before_db,
                after_db=after,
                setting=known_setting(tried.setting),
                output_before_db=outputs[0],
                output_after_db=outputs[1],
            )
        return tuple(sorted(found.values(), key=lambda one: (one.remedy in LEAVING, not one.setting, -one.after_db)))

    def _tried(self, suspect: Suspect) -> Iterator[_Tried]:
        grid = grids.grid(self._file.graph.tensors[suspect.tensor])
        if not suspect.part:
            return
        name = self._waist.graph.tensors[suspect.made].name
        if suspect.other is None:  # written in another way, of operators that stay float with it
            yield _Tried("float32", "computing it in float32", suspect.unrounded, f"float_operators={name}")
            return
        constants = dict(self._blames.constants(suspect).values())
        as_it_is = self._result(suspect, constants)
        if grid is not None:
            if suspect.operator.name not in TIED:
                yield from self._ranges(as_it_is, grid)
            yield self._float(suspect, grid, name)
            if grid.dtype != "int16" and wider.runs(self._file, suspect.operator):
                unrounded = self._result(suspect, constants, rounded=False)
                low, high = float(unrounded.min(initial=0.0)), float(unrounded.max(initial=0.0))
                sixteen = grids.of_range(low, high, "int16")
                told = "int16 activations with int8 weights (--precision int16x8 makes a whole file of them)"
                yield _Tried("int16", told, sixteen.real(sixteen.stored(unrounded)))
        yield from self._weights(suspect, grid)

    def _result(self, suspect: Suspect, constants: Mapping[int, Array], *, rounded: bool = True) -> Array:
        return self._blames.result(suspect.part, suspect.read, suspect.made, rounded=rounded, constants=constants)

    def _ranges(self, made: Array, grid: grids.Grid) -> Iterator[_Tried]:
        """The result on the range of each method."""
        for method, candidate in chosen(made, grid.dtype).items():
            told = f"the {method} range of these samples"
            yield _Tried("ranges", told, candidate.real(candidate.stored(made)), f"ranges={method}")

    def _float(self, suspect: Suspect, grid: grids.Grid, name: str) -> _Tried:
        """The operator in floats; what comes after reads integers again, on the best range."""
        made = suspect.unrounded
        results = [one.real(one.stored(made)) for one in (grid, *chosen(made, grid.dtype).values())]
        best = max(results, key=lambda result: sqnr_db(suspect.truth, result))
        return _Tried(
            "float32", "computing it in float32, its result on a range of its own", best, f"float_operators={name}"
        )

    def _weights(self, suspect: Suspect, grid: grids.Grid | None) -> Iterator[_Tried]:
        """Other integers for the weights of a layer."""
        if suspect.other is None or len(suspect.operator.inputs) <= WEIGHTS:
            return
        found = layer(self._waist.model, self._waist.graph, suspect.other)
        if found is None:
            return
        slot = suspect.other.inputs.index(found.kernel)
        stored = self._file.graph.tensors[suspect.operator.inputs[slot if slot < WEIGHTS else WEIGHTS]]
        if not stored.scales:
            return
        bits, per_channel = 4 if stored.dtype == "int4" else 8, len(stored.scales) > 1
        if not per_channel and found.weights.size > 1:
            weights = _nearest(found, bits, per_channel=True)
            result = self._on(grid, self._result(suspect, {found.kernel: weights}))
            yield _Tried("per channel", "a scale for each output channel of its weights", result, "per_channel=true")
        reads = next((both[1] for tensor, both in suspect.read.items() if tensor == found.source), None)
        if reads is not None:
            each: Granularity = "column" if found.operator.name == "BATCH_MATMUL" else "channel"
            scheme = Scheme(bits, each if per_channel else "tensor")
            learned = layer_constants(self._waist.model, found, reads[::2], scheme)
            if learned:
                result = self._on(grid, self._result(suspect, learned))
                told = "learned rounding of its weights with bias correction"
                yield _Tried("learned", told, result, "weights=learned")
        yield from self._equalized(suspect, found, grid, bits, per_channel=per_channel)

    def _on(self, grid: grids.Grid | None, made: Array) -> Array:
        return made if grid is None else grid.real(grid.stored(made))

    def _equalized(
        self, suspect: Suspect, found: Layer, grid: grids.Grid | None, bits: int, *, per_channel: bool
    ) -> Iterator[_Tried]:
        """The layer with its channels scaled to one size, if the one layer that reads them can scale them back.

        Source: "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al., 2019), eq. 11.
        """
        other = self._reader(suspect, found)
        if other is None or "BATCH_MATMUL" in {found.operator.name, other.operator.name}:  # it may have no channels
            return
        own, behind = outgoing(found), incoming(other, len(outgoing(found)))
        if behind is None or not (own > 0).all() or not (behind > 0).all():
            return
        factors = (np.sqrt(own * behind) / behind).astype(np.float64)  # what each channel is divided by
        weights = _nearest(found, bits, per_channel=per_channel, divided_by=factors)
        constants = {found.kernel: weights}
        bias = self._waist.constant(found.bias)
        if bias is not None:
            constants[found.bias] = (bias.astype(np.float64) / factors).astype(np.float32)
        made = self._result(suspect, constants)
        if grid is not None:
            made = max(
                (one.real(one.stored(made)) for one in chosen(made, grid.dtype).values()),
                key=lambda result: sqnr_db(suspect.truth, result * factors.astype(np.float32)),
            )
        result = (made * factors.astype(np.float32)).astype(np.float32)
        if self._worse_behind(other, factors, bits, per_channel=per_channel):
            return
        yield _Tried("equalization", "equalization with the layer behind it", result, "equalization=on")

    def _reader(self, suspect: Suspect, found: Layer) -> Layer | None:
        """The layer that alone reads what a layer makes."""
        readers = self._waist.wiring.readers.get(suspect.made, [])
        fused = found.operator.options.get("fusedActivationFunction", 0)
        alone = len(readers) == 1 and suspect.made not in self._waist.graph.outputs and len(suspect.part) == 1
        if not alone or fused not in HOMOGENEOUS:
            return None
        return layer(self._waist.model, self._waist.graph, readers[0])

    def _worse_behind(self, other: Layer, factors: Floats, bits: int, *, per_channel: bool) -> bool:
        """Whether the weights of the layer behind lose more than `LEAST_GAIN_DB` by what they scale back."""
        weights = other.weights.astype(np.float64)
        scaled = _times(other, weights, factors)
        plain = sqnr_db(weights, _rounded(other, weights, bits, per_channel=per_channel))
        back = _times(other, _rounded(other, scaled, bits, per_channel=per_channel), 1 / factors)
        return sqnr_db(weights, back) < min(plain, 30.0) - LEAST_GAIN_DB


def _gains(before_db: float | None, after_db: float | None) -> bool:
    """Whether outputs come closer by `LEAST_GAIN_DB`; None: they are equal."""
    return before_db is not None and (after_db is None or after_db >= before_db + LEAST_GAIN_DB)


def chosen(made: Array, dtype: str) -> dict[str, grids.Grid]:
    """For each method the grid that it chooses for every other sample of some values."""
    some = made[::2]
    finite = some[np.isfinite(some)].ravel()
    if not finite.size:
        return {}
    seen = Observed(float(finite.min()), float(finite.max()), values=[finite[:: -(-finite.size // KEPT_VALUES)]])
    return {name: grids.of_range(*method(seen), dtype) for name, method in METHODS.items()}


def outgoing(found: Layer) -> Floats:
    """The largest weight of each output of a layer ``[outputs]``."""
    largest: Floats = np.abs(found.matrices().astype(np.float64)).max(2).reshape(-1)
    return largest


def incoming(found: Layer, channels: int) -> Floats | None:
    """The largest weight of a layer for each channel that it reads ``[channels]``; None if it does not read these."""
    weights = np.abs(found.weights.astype(np.float64))
    if found.operator.name == "DEPTHWISE_CONV_2D":
        largest = weights.max((0, 1, 2)).reshape(found.groups, -1).max(1)
    elif found.groups > 1:
        return None
    else:
        largest = weights.reshape(-1, weights.shape[-1]).max(0)
    return largest if len(largest) == channels else None


def _times(found: Layer, weights: Floats, factors: Floats) -> Floats:
    """Weights of a layer times a factor for each channel that it reads."""
    if found.operator.name == "DEPTHWISE_CONV_2D":
        return weights * np.repeat(factors, weights.shape[-1] // len(factors))
    return weights * factors


def _rounded(found: Layer, weights: Floats, bits: int, *, per_channel: bool) -> Floats:
    """Weights in the layer's own shape on the nearest levels."""
    changed = Layer(**(vars(found) | {"weights": weights.astype(np.float32)}))
    levels = rounding.plain(changed.matrices().astype(np.float64), _scheme(bits, per_channel=per_channel))
    return changed.as_weights(levels).astype(np.float64)


def _nearest(found: Layer, bits: int, *, per_channel: bool, divided_by: Floats | None = None) -> Array:
    """A layer's weights on the nearest levels, in its own shape; each output divided by a factor first."""
    matrices = found.matrices().astype(np.float64)
    if divided_by is not None:
        matrices = matrices / divided_by.reshape(*matrices.shape[:2], 1)
    return found.as_weights(rounding.plain(matrices, _scheme(bits, per_channel=per_channel)))


def _scheme(bits: int, *, per_channel: bool) -> Scheme:
    return Scheme(bits, "channel" if per_channel else "tensor")


def known_setting(setting: str) -> str:
    """A setting if builds know it and would read it so, else "": they split lists at commas, and numbers are places."""
    key, _, value = setting.partition("=")
    clear = bool(value) and "," not in value and not value.lstrip("-").isdecimal()
    return setting if key in Quantization.__struct_fields__ and clear else ""
