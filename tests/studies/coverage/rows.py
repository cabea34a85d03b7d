"""One row of the coverage table: a model, built as a user would build it, in float32 and in int8."""

import time
from pathlib import Path
from typing import Literal

import msgspec

from edgekit import samples, sources
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.errors import EdgekitError
from edgekit.nouns.model import Model, SourceOptions
from edgekit.nouns.verification import Verification
from edgekit.steps import reading
from edgekit.verbs.build import build
from tests.studies.coverage.cases import Case, inputs, kind
from tests.watchdog import Watchdog

PRECISIONS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")

MOST_BYTES = 6 << 30
"""Memory that one process may hold."""


class Outcome(msgspec.Struct):
    """What became of one precision: ``sqnr_db`` (999 where equal to the bit), or why there is no file.

    ``exit_code`` is what the command line would end with; ``note`` is the artifact's own (the
    quantizer chosen, operators left in float), ``verdict`` that of verification with its reason and the metric.
    """

    sqnr_db: float | None
    exit_code: int
    reason: str = ""
    note: str = ""
    verdict: str = ""
    seconds: float = 0.0
    peak_gib: float = 0.0


class Row(msgspec.Struct):
    """A model's outcomes by precision; ``inputs`` says what was sampled."""

    name: str
    format: str
    inputs: str
    outcomes: dict[str, Outcome]


def measure(session: Session, case: Case, folder: Path, seconds: float, precisions: tuple[str, ...]) -> Row:
    """Build a model for android in some precisions and compare each file with the source.

    Args:
        session: the run; its worker processes are kept from model to model.
        case: the model.
        folder: an empty folder for samples and artifacts.
        seconds: limit for each precision.
        precisions: some of `PRECISIONS`, in this order.
    """
    options = SourceOptions(shapes=case.shapes)
    try:
        with Watchdog(seconds, MOST_BYTES):
            model = reading.open_network(session, case.path, options).model
    except EdgekitError as error:
        return Row(case.name, sources.sniff(case.path), "", {precisions[0]: _refused(error)})
    if case.samples is None:
        sampled = inputs(case, model.signature)
        data = samples.write_npz(folder / "inputs.npz", sampled)
        words = _inputs_in_words(case, model, len(next(iter(sampled.values()))))
    else:
        data, words = case.samples, "its own"
    outcomes = {}
    for precision in precisions:
        outcomes[precision] = _build(session, case, data, folder / precision, precision, seconds)
        if outcomes[precision].reason:
            break
    return Row(case.name, model.format, words, outcomes)


def _inputs_in_words(case: Case, model: Model, count: int) -> str:
    kinds = dict.fromkeys(kind(case, spec) for spec in model.signature.inputs)
    return f"{count} × {', '.join(kinds)}"


def _build(session: Session, case: Case, data: Path, out: Path, precision: str, seconds: float) -> Outcome:
    project = Project(
        targets=("android",),
        precision=precision,  # type: ignore[arg-type]
        calibration=str(data),
        shapes=case.shapes,
        output_folder=str(out),
        eval=None if case.labelled is None else str(case.labelled),
        metric=None if case.labelled is None else "top1",
    )
    start = time.monotonic()
    with Watchdog(seconds, MOST_BYTES) as watchdog:
        try:
            (result,) = build(session, project, case.path)
            error = result.error
        except EdgekitError as raised:
            result, error = None, raised
    used = time.monotonic() - start, watchdog.peak_bytes / 2**30
    if error is not None or result is None or result.manifest is None:
        refused = _refused(error)
        refused.reason = watchdog.why or refused.reason
        refused.seconds, refused.peak_gib = used
        return refused
    (file,) = result.manifest.artifacts
    judged = file.verification
    worst = 999.0 if judged is None or judged.sqnr_db is None else judged.sqnr_db
    return Outcome(worst, 0, note="; ".join(file.notes), verdict=_verdict(judged), seconds=used[0], peak_gib=used[1])


def _verdict(judged: Verification | None) -> str:
    if judged is None:
        return "not verified"
    metric = judged.metric
    measured = "" if metric is None else f", {metric.name} {metric.source:.3f} → {metric.artifact:.3f}"
    return f"{judged.verdict}{measured}" + (f": {judged.reason}" if judged.reason else "")


def _refused(error: EdgekitError | None) -> Outcome:
    if error is None:
        return Outcome(None, 70, "no file and no error")
    return Outcome(None, error.exit_code, f"{error.problem} ({error.place})" if error.place else error.problem)
