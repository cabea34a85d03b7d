"""Quantized files as candidates: how close each comes to the float network, and what it does at the edges."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.plan import QuantizationPlan
from edgekit.backends.tflite.ready.parts import Parts
from edgekit.errors import Unsupported
from edgekit.waist import cost, graph
from edgekit.waist.holding import float_operators
from edgekit.waist.movement import LEAST, moved
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array
from edgekit.waist.trial import Trial

SCORED_MACS = 2e9
"""Multiply-accumulates spent on scoring one candidate at least: well below a second on one core."""

SCORED_SHARE, SCORED_SHARE_MACS = 0.2, 1e10
"""The share of samples that are scored, for so many multiply-accumulates: ranges that clip look good on a few."""

SCORED_SAMPLES = 128
"""The most samples on which a candidate is scored."""

SCORED_BYTES = 1 << 26
"""The most bytes of float outputs kept for scoring."""

EDGES = 4
"""Inputs at the edges, on which each candidate is run as well (`edges`)."""

Noise = NDArray[np.float64]
"""Each scored sample's part in error² / Σ reference²."""

SHARED_DB = 10.0
"""By how much what changes from sample to sample may lag behind the whole: with 15 dB of that and 5 of this a file may
be coarse, with less it is wrong (a bird classifier's logits, all about -11, had 15 dB and chose another class in two of
three samples)."""

CLEARLY_WORSE_DB = 3.0
"""A file with fewer float operators may lose this much of its signal to one with more."""


@dataclass(frozen=True)
class Candidate:
    """A quantized file, how it came about, what became of it, and what it was made from.

    ``noise``: each scored sample's part in error² / Σ reference². ``varying_db``: SQNR of what changes from sample to
    sample, in the output or part of one that comes out worst; None if too few samples or too little of it tell.
    """

    content: bytes
    engine: str
    method: str
    noise: Noise
    floats: tuple[graph.Operator, ...]
    plan: QuantizationPlan
    varying_db: float | None = None

    @property
    def sqnr_db(self) -> float:
        """Over the scored samples."""
        return float(-10 * np.log10(max(float(self.noise.sum()), 1e-12)))

    @property
    def signal_db(self) -> float:
        """The SQNR, or less if what changes from sample to sample is lost (`SHARED_DB`)."""
        return self.sqnr_db if self.varying_db is None else min(self.sqnr_db, self.varying_db + SHARED_DB)


def best(made: list[Candidate], *, whole: bool = False) -> Candidate:
    """The fewest float operators among those that are about as good as the best; of these the best.

    Args:
        made: candidates.
        whole: only integers are of use, so that the fewest float operators count before anything else.
    """
    highest = -np.inf if whole else max(candidate.signal_db for candidate in made)
    close = [candidate for candidate in made if candidate.signal_db >= highest - CLEARLY_WORSE_DB]
    return min(close, key=lambda candidate: (len(candidate.floats), -candidate.signal_db))


def worth_keeping(made: list[Candidate]) -> list[Candidate]:
    """Those that `best` may still choose: none before them, and none better, leaves as few operators float."""

    def beaten(place: int, candidate: Candidate) -> bool:
        """Whether another one is at least as good in both, and better in one or before it."""
        mine = len(candidate.floats), -candidate.signal_db
        others = [(len(other.floats), -other.signal_db) for other in made]
        as_good = (k for k, other in enumerate(others) if other[0] <= mine[0] and other[1] <= mine[1])
        return any(others[k] != mine or k < place for k in as_good)

    return [candidate for place, candidate in enumerate(made) if not beaten(place, candidate)]


def scored(path: Path, float_graph: graph.Graph, samples: int, most: int = SCORED_SAMPLES) -> NDArray[np.int_]:
    """Indices of the samples on which candidates are scored, evenly taken: fewer for large networks."""
    macs = max(1, cost.count(path).macs)
    sizes = [4 * int(np.prod(float_graph.tensors[index].shape)) for index in float_graph.outputs]
    worth = max(int(SCORED_MACS / macs), min(int(SCORED_SHARE_MACS / macs), int(SCORED_SHARE * samples)))
    most = min(most, worth, SCORED_BYTES // max(1, sum(sizes)))
    return evenly(samples, max(4, most))


class _Output(NamedTuple):
    """What a file makes of samples and what is wanted, ``[N, *shape]`` each, and the parts that it has."""

    name: str
    got: Array
    wanted: Array
    parts: Parts | None


class Judge:
    """Compares candidates with the float network on the scored samples, and on inputs at the edges.

    Args:
        trial: runs the candidates.
        path: the float network.
        inputs: the scored samples, ``[N, *shape]`` each.
        wanted: the float network's outputs on them.

    ``parts``: those of outputs, by name, that join what has different ranges: each counts alike, however small.
    ``far``: the names of outputs that lie far from 0, of which what changes is looked at however little it is.
    """

    def __init__(self, trial: Trial, path: Path, inputs: dict[str, Array], wanted: dict[str, Array]) -> None:
        self._trial, self._path, self._inputs, self._wanted = trial, path, inputs, wanted
        self.parts: dict[str, Parts] = {}
        self.far: frozenset[str] = frozenset()
        self._edges = edges(inputs)
        self._finite = [np.isfinite(values) for values in trial.run(path.read_bytes(), self._edges).values()]

    def on(self, inputs: Mapping[str, Array]) -> "Judge":
        """The same on other inputs ``[N, *shape]``, without those that drive the float network to NaN or infinity."""
        wanted = self._trial.run(self._path.read_bytes(), dict(inputs))
        rows = np.all([np.isfinite(values.reshape(len(values), -1)).all(1) for values in wanted.values()], axis=0)
        other = copy(self)
        other._inputs = {name: values[rows] for name, values in inputs.items()}
        other._wanted = {name: values[rows] for name, values in wanted.items()}
        return other

    def noise(self, content: bytes) -> Noise:
        """What a quantized file adds to the float network's outputs, see `Candidate`; nothing without samples.

        Raises:
            Unsupported: LiteRT cannot run it, or it gives NaN or infinity.
        """
        return self._noise(self._outputs(content))

    def __call__(self, content: bytes, engine: str, method: str, plan: QuantizationPlan) -> Candidate:
        """Run a quantized file.

        Raises:
            Unsupported: LiteRT cannot run it, or it gives NaN or infinity where the float network does not.
        """
        outputs = self._outputs(content)
        for values, finite in zip(self._trial.run(content, self._edges).values(), self._finite, strict=True):
            if not np.isfinite(values)[finite].all():
                raise _not_finite("where an input is all zero, or at an end of its range")
        return Candidate(
            content=content,
            engine=engine,
            method=method,
            noise=self._noise(outputs),
            floats=float_operators(graph.describe(graph.parse(content, Path(engine)))[0]),
            plan=plan,
            varying_db=self._varying_db(outputs),
        )

    def _outputs(self, content: bytes) -> list[_Output]:
        """Each output; nothing without samples."""
        if not all(map(len, self._inputs.values())):
            return []
        outputs = self._trial.run(content, self._inputs)
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise _not_finite("on its own calibration samples")
        pairs = zip(outputs.values(), self._wanted.items(), strict=True)
        return [_Output(name, got, wanted, self.parts.get(name)) for got, (name, wanted) in pairs]

    def _noise(self, outputs: list[_Output]) -> Noise:
        found = [_noise(one.got, one.wanted, one.parts) for one in outputs]
        return np.asarray(np.mean(found, axis=0), np.float64) if outputs else np.zeros(0)

    def _varying_db(self, outputs: list[_Output]) -> float | None:
        found = (
            (moved(wanted, got), 0.0 if one.name in self.far else LEAST)
            for one in outputs
            for got, wanted in _parted(one.got, one.wanted, one.parts)
        )
        return min((seen.sqnr_db for seen, least in found if seen is not None and seen.share > least), default=None)


def edges(inputs: dict[str, Array]) -> dict[str, Array]:
    """Inputs at the edges ``[EDGES, *shape]``: zero, the least and the greatest value seen, and both in turn.

    What is no float (indices, lengths) is that of the first sample: operators may rely on it.
    """

    def at_edges(values: Array) -> Array:
        """Of one input, ``[N, *shape]`` to ``[EDGES, *shape]``."""
        if values.dtype != np.float32:
            return np.stack([values[0]] * EDGES)
        low, high = values.min(), values.max()
        turns = np.where(np.arange(values[0].size).reshape(values[0].shape) % 2, low, high)
        return np.stack([np.full_like(values[0], value) for value in (0, low, high)] + [turns.astype(np.float32)])

    return {name: at_edges(values) for name, values in inputs.items()}


def _not_finite(when: str) -> Unsupported:
    return Unsupported(
        f"The integer file gives NaN or infinity {when}.", place="the quantized network", fix="choose float16"
    )


def _split(got: Array, wanted: Array, parts: Parts) -> Iterator[tuple[Array, Array, Parts | None]]:
    """Each part of an output as it came out and as it was wanted, ``[N, *shape]``, and those that it has in turn."""
    cuts = np.cumsum(parts.sizes)[:-1]
    mine, theirs = (np.split(values, cuts, parts.axis + 1) for values in (got, wanted))
    return zip(mine, theirs, parts.inner, strict=True)


def _parted(got: Array, wanted: Array, parts: Parts | None) -> Iterator[tuple[Array, Array]]:
    """An output as it came out and as it was wanted, ``[N, *shape]``, or the same of each of its parts."""
    if parts is None:
        yield got, wanted
        return
    for each in _split(got, wanted, parts):
        yield from _parted(*each)


def _noise(got: Array, wanted: Array, parts: Parts | None = None) -> Noise:
    """For each scored sample error² / Σ reference² over all of them; the mean over the parts, if there are any."""
    if wanted.dtype != np.float32:
        return np.asarray((got != wanted).reshape(len(wanted), -1).mean(1) / len(wanted), np.float64)
    if parts is not None:
        found = [_noise(*each) for each in _split(got, wanted, parts)]
        return np.asarray(np.mean(found, axis=0), np.float64)
    reference = wanted.astype(np.float64)
    error = ((got.astype(np.float64) - reference) ** 2).reshape(len(wanted), -1).sum(1)
    return np.asarray(np.minimum(error / max(float((reference**2).sum()), 1e-30), 1e3), np.float64)
