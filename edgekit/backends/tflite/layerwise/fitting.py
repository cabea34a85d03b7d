"""Which samples the layers are fitted to, and which ways of doing so are worth their time."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite import engines
from edgekit.backends.tflite.judge import Candidate, Judge
from edgekit.backends.tflite.layerwise import WAYS, holdout, reconstruction
from edgekit.backends.tflite.layerwise.holdout import Holdout
from edgekit.backends.tflite.layerwise.layers import layer
from edgekit.backends.tflite.layerwise.reconstruction import Scheme, reconstruct
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.errors import EndlessError
from edgekit.host import events
from edgekit.waist import cost, graph
from edgekit.waist.ordering import evenly
from edgekit.waist.stepwise import last_uses
from edgekit.waist.tensors import Array

LEAST = 4
"""Fewer samples than this, beside as many that judge, fit nothing."""

ENOUGH = 16
"""Samples beside those that judge from which these need not be parted."""

SAMPLES = 64
"""The most samples that layers are fitted to; means of some thousand places do not change with more."""

WALK_BYTES = 1 << 28
"""Activations held at a time, for each of the two networks."""

WALK_MACS = 4e10
"""Multiply-accumulates of the float network over all samples: some ten seconds on two cores."""

LEARNED_FLOPS = 6e11
"""What ``auto`` may spend on learned rounding: about a minute on two cores; EfficientNet-Lite0 needs 4e11."""


class Fold(NamedTuple):
    """Samples that layers may be fitted to, and others that check, by number: see `holdout`."""

    fit: NDArray[np.int_]
    check: NDArray[np.int_]


def split(scored: NDArray[np.int_], rows: NDArray[np.int_], *, kept: bool) -> Fold:
    """Which samples fit and which check; none of both if there are too few.

    Args:
        scored: numbers of the samples on which files are scored.
        rows: of all samples, in the order that counts.
        kept: the network keeps a state, so that each sample continues the one before, and none stands alone.
    """
    others = rows[~np.isin(rows, scored)]
    if len(others) >= ENOUGH:
        return Fold(others[:0] if kept else others, scored)
    few = kept or len(scored) < 2 * LEAST
    return Fold(others[:0] if few else rows[np.isin(rows, [*others, *scored[1::2]])], scored[::2])


def fitted(
    found: Candidate, judge: Judge, inputs: Mapping[str, Array], fold: Fold, settings: QuantizationSettings
) -> Candidate:
    """A file with its weights and biases fitted as wanted; under ``auto`` the best of what was tried, and of itself.

    Args:
        found: the file as it is.
        judge: of files.
        inputs: all samples, for each input's name ``[N, *shape]``.
        fold: which of them fit and which check.
        settings: how it was quantized.
    """
    chosen = _chosen(found.plan.path, fold)
    taken = {name: values[chosen] for name, values in inputs.items()}
    good = [found]
    for way in _ways(found, settings) if len(chosen) else ():
        try:
            plan = _plan(found, taken, settings, way)
            events.progress(None, f"quantizing with {WAYS[way]}")
            content = engines.quantized(found.engine, plan, found.method, settings)
            made = judge(content, found.engine, found.method, plan)
        except EndlessError:
            raise
        except engines.FAILURES:
            continue  # an operator does not run alone, or not with these weights: the file is there without
        if settings.weights == way:
            return made
        good.append(made)
    if len(good) == 1:
        return found
    events.progress(None, "comparing ways to round weights")
    count = holdout.most(found.plan.path)
    rows = _held(fold, chosen, count)
    return max(good, key=Holdout(judge, {name: values[rows] for name, values in inputs.items()}, count).expected_db)


def _held(fold: Fold, chosen: NDArray[np.int_], most: int) -> NDArray[np.int_]:
    """Samples that nothing is fitted to: those that check, and of those that might have been fitted to."""
    spare = fold.fit[~np.isin(fold.fit, chosen)]
    return np.concatenate([fold.check, spare[evenly(len(spare), max(0, most - len(fold.check)))]])


def _ways(found: Candidate, settings: QuantizationSettings) -> Iterator[str]:
    for way in reversed(WAYS):
        if way == "nearest" or settings.weights not in {"auto", way}:
            continue
        if settings.weights == "auto" and way == "learned" and _flops(found.plan) > LEARNED_FLOPS:
            continue
        yield way


def _chosen(path: Path, fold: Fold) -> NDArray[np.int_]:
    """Samples of those that fit, as many as a walk may use; none if that is too few."""
    count = min(len(fold.fit), _affordable(path, graph.read(path)[0]))
    found: NDArray[np.int_] = fold.fit[evenly(len(fold.fit), count if count >= LEAST else 0)]
    return found


def _plan(found: Candidate, taken: Mapping[str, Array], settings: QuantizationSettings, way: str) -> QuantizationPlan:
    """The plan behind a file with its layers fitted to samples."""
    plan = found.plan
    scheme = Scheme(
        per_channel=settings.per_channel,
        learned=way == "learned",
        last=65535 if settings.activations == "int16" else 255,
    )
    model, left = reconstruct(plan.path, taken, plan.ranges(found.method), plan.kept, scheme)
    path = plan.path.with_name(f"{plan.path.stem}-{way}.tflite")
    path.write_bytes(graph.pack(model))
    return replace(plan, path=path, weights=way, unfitted=left)


def _affordable(path: Path, main: graph.Graph) -> int:
    """How many samples a walk may use."""
    last, held, most = last_uses(main), sum(_bytes(main, i) for i in main.inputs), 1
    for operator in main.operators:
        held += sum(_bytes(main, i) for i in operator.outputs)
        most = max(most, held)
        held -= sum(_bytes(main, i) for i, end in last.items() if end == operator.index)
    return min(SAMPLES, WALK_BYTES // most, int(WALK_MACS / max(1, cost.count(path).macs)))


def _bytes(main: graph.Graph, tensor: int) -> int:
    found = main.tensors[tensor] if tensor >= 0 else None
    return 0 if found is None or found.constant_bytes else 4 * int(np.prod(found.shape, dtype=np.int64))


def _flops(plan: QuantizationPlan) -> float:
    """Floating-point operations of learned rounding: the products of taps, their inverse, and the errors passed on."""
    model = graph.load(plan.path)
    main, total = graph.describe(model)[0], 0.0
    for operator in main.operators:
        found = None if operator.index in plan.kept else layer(model, main, operator)
        if found is not None:
            groups, outputs, taps = found.matrices().shape
            rows = max(reconstruction.LEAST_ROWS, reconstruction.ROWS_PER_TAP * taps)
            total += groups * taps**2 * (2.0 * rows + 4.0 * taps + 2.0 * outputs)
    return total
