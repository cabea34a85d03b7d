"""Whether targets take a model, without calibration data and without an artifact."""

from pathlib import Path

import msgspec

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import CancelledError, EdgekitError, EndlessError
from edgekit.nouns.model import CALIBRATED
from edgekit.nouns.results import Check
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps import artifact, compilation, conversion, data, placing, reading
from edgekit.steps.conversion import Subject
from edgekit.verbs.planning import plan


def check(session: Session, project: Project, model: Path) -> list[Check]:
    """Try a model on targets without calibration data, and without an artifact.

    Ranges come from random inputs: enough to see which operators can be quantized and where they
    would run, nothing that could be shipped. A TFLite file of 8-bit integers is judged as it is, for
    targets that compile such files.

    Raises:
        InputError: the model cannot be read.
        EndlessError: it does not come to an end.
        CancelledError: the run was cancelled.
        MissingTool: the libraries that read it are not installed.
    """
    planned = plan(project, model)
    session.progress.plan(3 + len(planned.variants))
    network = reading.open_network(session, model, planned.options)
    subject = conversion.subject(session, network, planned.variants)
    drawn = data.drawn(session, network.model.signature, project.seed)

    def row(target: str, variant: Variant) -> Check:
        """One file of one target."""
        return _check(session, subject, target, variant, drawn=drawn, seed=project.seed)

    refused = [
        Check(target=result.target, file="", works=False, reason=result.error.problem)
        for result in planned.refused
        if result.error is not None
    ]
    return [*refused, *(row(target.name, variant) for target, _, variants in planned.targets for variant in variants)]


def _check(
    session: Session, subject: Subject, target: str, variant: Variant, *, drawn: Answer[Kept], seed: int
) -> Check:
    calibrated = variant.precision in CALIBRATED and subject.own(variant.precision) is None
    if subject.finished:
        variant = msgspec.structs.replace(variant, io=None)
    file = variant.file
    try:
        artifact.require_form(subject, variant)
        built = compilation.compile_variant(session, subject, variant, drawn if calibrated else None, seed)
    except (CancelledError, EndlessError):  # it says nothing of the target
        raise
    except EdgekitError as error:
        return Check(target=target, file=file, works=False, reason=error.problem)
    return Check(target=target, file=file, works=True, placements=placing.placed(built.result, variant))
