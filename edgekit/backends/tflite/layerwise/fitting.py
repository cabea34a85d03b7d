"""Which samples the layers are fitted to, and which ways of doing so are worth their time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edgekit.backends.tflite import engines
from edgekit.backends.tflite.judge import Candidate, Judge
from edgekit.backends.tflite.layerwise import WAYS, holdout, reconstruction
from edgekit.backends.tflite.layerwise.grid import Scheme
from edgekit.backends.tflite.layerwise.holdout import Holdout
from edgekit.backends.tflite.layerwise.reconstruction import reconstruct
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.backends.tflite.ranges import Range
from edgekit.equalization.layers import KINDS, layer
from edgekit.errors import EndlessError, first_line
from edgekit.host import events
from edgekit.nouns.building import Tried
from edgekit.nouns.quantization import Settings
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


NOT_FITTED = "weights are rounded to the nearest level: to fit them takes 8 samples that do not go on from each other"
"""What is said if too few samples are there for what was asked."""

TOO_LARGE = "weights are rounded to the nearest level: the network is too large to be fitted operator by operator"
"""What is said if a walk over the network with as many samples as it needs takes too long, or too much memory."""

TIED_DB = 0.1
"""Files no further apart than this are equally good, and the simpler one is kept. With 0.4, files were kept that other
inputs found worse by 0.2 dB (mnist-8) and by 8 (a wake word with 23 samples)."""

FORM_DB = 0.2
"""What another form of the network must be better by: what chance in rounding comes to."""


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


class Writer(NamedTuple):
    """How a plan becomes a file.

    ``write`` makes the file. ``schemes`` are those of the layers' weights by operator. ``ranges`` are those of the
    activations that are integers, by tensor index, with the levels 0 to ``last``. ``wanted`` is what is done to weights
    before, one of `WAYS`, or ``auto`` to keep the best.
    """

    write: Callable[[QuantizationPlan], bytes]
    schemes: Mapping[int, Scheme]
    ranges: Mapping[int, Range]
    last: int = 255
    wanted: str = "auto"


def integers(found: Candidate, settings: QuantizationSettings) -> Writer:
    """Of integer files like one that there is: with the same ranges, and the same operators float."""
    plan = found.plan
    main = plan.main
    floats = {tensor for index in plan.kept for tensor in main.operators[index].outputs}
    wide = settings.activations == "int16"
    kinds = {kind: Scheme(granularity="channel" if settings.per_channel else "tensor") for kind in KINDS}
    kinds["BATCH_MATMUL"] = Scheme(granularity="tensor")  # the integers of an activation, which its factor may be
    if wide:
        del kinds["BATCH_MATMUL"]  # its constants have 16 bits as well, so that there is nothing to gain
    return Writer(
        lambda plan: engines.quantized(found.engine, plan, found.method, settings),
        {o.index: kinds[o.name] for o in main.operators if o.index not in plan.kept and o.name in kinds},
        {tensor: chosen for tensor, chosen in plan.chosen(found.method).items() if tensor not in floats},
        65535 if wide else 255,
        settings.weights,
    )


class Form(NamedTuple):
    """A file whose weights may be fitted, and how another one is written."""

    found: Candidate
    writer: Writer


class Fit(NamedTuple):
    """What became of a form's file with its weights rounded in one of the `WAYS`.

    ``level_db`` is its SQNR on what nothing was fitted to; None with the ``problem`` for which there is no such file.
    """

    form: int
    way: str
    level_db: float | None
    problem: str = ""


class FittedForm(NamedTuple):
    """The file that is kept, which form it has, and all that was tried beside it."""

    candidate: Candidate
    form: int
    tried: tuple[Fit, ...]

    def told(self, forms: Sequence[Settings]) -> Iterator[Tried]:
        """What was tried, by the settings that make it again: those of each form, and how weights were rounded.

        What could not be made of any form is told once.
        """
        for fit in self.tried:
            if not fit.problem:
                chosen = (fit.form, fit.way) == (self.form, self.candidate.plan.weights)
                yield Tried(settings={"weights": fit.way} | forms[fit.form], level_db=fit.level_db, chosen=chosen)
        done = {fit.way for fit in self.tried if not fit.problem}
        for way, problem in dict.fromkeys((fit.way, fit.problem) for fit in self.tried if fit.way not in done):
            yield Tried(settings={"weights": way}, problem=problem)


def fitted(forms: Sequence[Form], judge: Judge, inputs: Mapping[str, Array], fold: Fold) -> FittedForm:
    """A file with its weights and biases fitted as wanted.

    Under ``auto`` the best of what was tried, and of the file as it was. Of several forms of one network the first is
    taken unless another one is better by `FORM_DB`.

    Args:
        forms: files as they are.
        judge: of files.
        inputs: all samples, for each input's name ``[N, *shape]``.
        fold: which of them fit and which check.
    """
    chosen = _chosen(forms[0].found.plan.path, fold)
    taken = {name: values[chosen] for name, values in inputs.items()}
    none = dict.fromkeys((way for way in WAYS if way != "nearest"), TOO_LARGE if len(fold.fit) else NOT_FITTED)
    tried = [_tried(form, judge, taken) if len(chosen) else _Files([form.found], none) for form in forms]
    problems = [Fit(form, way, None, why) for form, made in enumerate(tried) for way, why in made.problems.items()]
    if sum(len(made.files) for made in tried) == 1:
        only = tried[0].files[0]
        return FittedForm(only, 0, (Fit(0, only.plan.weights, only.sqnr_db), *problems))
    events.progress(None, "comparing ways to round weights")
    count = holdout.most(forms[0].found.plan.path)
    rows = _held(fold, chosen, count)
    score = Holdout(judge, {name: values[rows] for name, values in inputs.items()}, count)
    levels = [[score.expected_db(one) for one in made.files] for made in tried]
    best = [_simplest(made.files, level) for made, level in zip(tried, levels, strict=True)]
    place = max(range(len(best)), key=lambda form: (best[form][1] - (FORM_DB if form else 0), -form))
    told = [
        Fit(form, one.plan.weights, level)
        for form, made in enumerate(tried)
        for one, level in zip(made.files, levels[form], strict=True)
    ]
    return FittedForm(best[place][0], place, (*told, *problems))


class _Files(NamedTuple):
    """Files of one form, and why there are no others, by way."""

    files: list[Candidate]
    problems: Mapping[str, str]


def _tried(form: Form, judge: Judge, taken: Mapping[str, Array]) -> _Files:
    """The file as it is and with its weights fitted in each way; in the one that is wanted, if that can be made."""
    made, problems = {"nearest": form.found}, dict[str, str]()
    for way in _ways(form.found.plan, form.writer):
        try:
            plan = _plan(form.found.plan, taken, form.writer, way)
            events.progress(None, f"quantizing with {WAYS[way]}")
            made[way] = judge(form.writer.write(plan), form.found.engine, form.found.method, plan)
        except EndlessError:
            raise
        except engines.FAILURES as error:  # an operator does not run alone, or not with these weights
            problems[way] = f"weights are rounded to the nearest level: {first_line(error)}"
    wanted = made.get(form.writer.wanted)
    return _Files([*made.values()] if wanted is None else [wanted], problems)


def _simplest(files: list[Candidate], levels: list[float]) -> tuple[Candidate, float]:
    """The first of the files that are about as good as the best, and its level in dB."""
    return next(pair for pair in zip(files, levels, strict=True) if pair[1] >= max(levels) - TIED_DB)


def _held(fold: Fold, chosen: NDArray[np.int_], most: int) -> NDArray[np.int_]:
    """Samples that nothing is fitted to: those that check, and of those that might have been fitted to."""
    spare = fold.fit[~np.isin(fold.fit, chosen)]
    return np.concatenate([fold.check, spare[evenly(len(spare), max(0, most - len(fold.check)))]])


def _ways(plan: QuantizationPlan, writer: Writer) -> Iterator[str]:
    for way in WAYS:
        if way == "nearest" or writer.wanted not in {"auto", way}:
            continue
        if writer.wanted == "auto" and way == "learned" and flops(plan, writer.schemes) > LEARNED_FLOPS:
            continue
        yield way


def _chosen(path: Path, fold: Fold) -> NDArray[np.int_]:
    """Samples of those that fit, as many as a walk may use; none if that is too few."""
    count = min(len(fold.fit), _affordable(path, graph.read(path)[0]))
    found: NDArray[np.int_] = fold.fit[evenly(len(fold.fit), count if count >= LEAST else 0)]
    return found


def _plan(plan: QuantizationPlan, taken: Mapping[str, Array], writer: Writer, way: str) -> QuantizationPlan:
    """A plan with its layers fitted to samples.

    On one thread: products of some hundred rows are so short that threads wait for each other, which costs ten times
    the CPU's time if it has other work (Cholesky factors of 1152 columns, two cores: 0.7 s instead of 0.05).
    """
    schemes = {place: replace(scheme, learned=way == "learned") for place, scheme in writer.schemes.items()}
    with threadpool_limits(1, user_api="blas"):
        model, left = reconstruct(plan.path, taken, schemes, writer.ranges, writer.last)
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


def flops(plan: QuantizationPlan, schemes: Mapping[int, Scheme]) -> float:
    """Floating-point operations of learned rounding: the products of taps, their inverse, and the errors passed on."""
    model = graph.load(plan.path)
    main, total = graph.describe(model)[0], 0.0
    for operator in main.operators:
        found = None if operator.index not in schemes else layer(model, main, operator)
        if found is not None:
            groups, outputs, taps = found.matrices().shape
            rows = max(reconstruction.LEAST_ROWS, reconstruction.ROWS_PER_TAP * taps)
            total += groups * taps**2 * (2.0 * rows + 4.0 * taps + 2.0 * outputs)
    return total
