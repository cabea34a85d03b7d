"""The data of a build: named by the user, kept in the cache, linted, and turned into evidence.

Samples are known by the digest of what the user named; they are read if a step's answer is not
in the cache, and not before.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit.config import Project
from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import InputError
from edgekit.nouns.budget import Demands
from edgekit.nouns.description import Description
from edgekit.nouns.manifest import DataSet
from edgekit.nouns.model import Signature
from edgekit.nouns.samples import Kept, Role
from edgekit.nouns.verification import Made, SamplesUse
from edgekit.processing import described
from edgekit.steps import conversion, evidence, sampling
from edgekit.steps.conversion import Subject
from edgekit.steps.evidence import Evidence, affordable
from edgekit.steps.metric import Wanted

RANDOM_SAMPLES = 16
"""Random inputs on which a float-only build is verified when the user gives no data."""

AGREEMENT_SAMPLES = 64
"""Most samples on which agreement is computed when no task metric is asked for."""


class RoleData(msgspec.Struct, frozen=True):
    """The data of one role: all of it, and what of it is used."""

    role: Role
    every: Answer[Kept]
    kept: Answer[Kept]

    def described(self, warnings: tuple[str, ...] = ()) -> DataSet:
        """What the manifest says of it."""
        kept = self.kept.result
        return DataSet(
            origin=kept.origin,
            sha256=kept.total_sha256,
            samples=kept.total,
            used=kept.used,
            notes=kept.notes,
            warnings=warnings,
        )


class GivenData(msgspec.Struct, frozen=True):
    """What the user gave, fitted to the source's signature."""

    calibration: RoleData | None
    evaluation: RoleData | None
    training: RoleData | None
    description: Description

    @property
    def samples(self) -> Answer[Kept] | None:
        """Any that the user gave."""
        part = self.calibration or self.evaluation or self.training
        return None if part is None else part.kept


class BuildData(msgspec.Struct, frozen=True):
    """What a build works with: samples for calibration, what the manifest says of them, the evidence."""

    loaded: GivenData
    calibration: Answer[Kept] | None
    calibration_set: DataSet | None
    evaluation_set: DataSet | None
    evidence: Evidence

    @property
    def training_set(self) -> DataSet | None:
        """What the manifest says of the samples that are trained on."""
        return None if self.loaded.training is None else self.loaded.training.described()


def load(
    session: Session, project: Project, signature: Signature, files: Mapping[str, Path] | None = None
) -> GivenData:
    """Fit calibration and evaluation data to a signature.

    Args:
        session: of the run.
        project: what names the data, under ``calibration``, ``eval`` and ``data``.
        signature: of the source.
        files: by these keys, files that hold the data if the project gives no more than a name for it.

    Raises:
        InputError: it cannot be read, does not fit the signature, or lacks the labels that the metric needs.
    """
    description = described.complete(project.description, signature)
    files = files or {}

    def read(role: Role, key: str, named: str | None, most: int | None) -> RoleData | None:
        file = files.get(key)
        return None if named is None else part(session, role, named, signature, description, file=file, most=most)

    most = project.calibration_samples
    calibration = read("calibration", "calibration", project.calibration, most)
    training = read("training", "data", project.data, None)
    if calibration is None:  # what it is trained on shows the ranges, too
        calibration = read("calibration", "data", project.data, most)
    whole = project.metric is not None or _demands_agreement(project)  # a share of few samples shows little
    judging = None if whole else affordable(signature, AGREEMENT_SAMPLES)
    evaluation = read("evaluation", "eval", project.eval, judging)
    if project.metric is not None and evaluation is not None and not evaluation.kept.result.labelled:
        raise InputError(
            f"{project.eval} holds no labels.", place="--eval", fix="add them under the name y, one for each sample"
        )
    return GivenData(calibration, evaluation, training or calibration, description)


def _demands_agreement(project: Project) -> bool:
    return any(one.min_agreement is not None for one in project.all_demands)


def require_choices(signature: Signature, made: Mapping[str, Made]) -> None:
    """See that agreement can be demanded of a source, by how its outputs came to be.

    Raises:
        InputError: none of its outputs chooses.
    """
    outputs = signature.outputs
    if any(spec.chooses or made.get(spec.source_name, Made()).shares is not None for spec in outputs):
        return
    raise InputError(
        "No output of this model chooses, so that there is no agreement to demand: an output of scores [1, classes] "
        f"does, one behind a softmax, or one of whole numbers; it has {_shown(signature)}.",
        place="--min-agreement",
        fix="use --min-sqnr DB, or --max-drop with a metric",
    )


def _shown(signature: Signature) -> str:
    """A signature's outputs with their shapes and dtypes, a few of them."""
    shown = [f"{s.source_name} {list(s.source_shape)} of {s.source_dtype}" for s in signature.outputs[:3]]
    return ", ".join(shown + (["…"] if len(signature.outputs) > len(shown) else []))


def part(
    session: Session,
    role: Role,
    named: str,
    signature: Signature,
    description: Description,
    *,
    file: Path | None = None,
    most: int | None = None,
) -> RoleData:
    """The data of a role, fitted to a signature; ``most`` samples of it are used, all if None.

    Raises:
        InputError: it cannot be read, or does not fit the signature (see `edgekit.steps.sampling.read`).
    """
    every = sampling.read(session, named, signature, description, file)
    return RoleData(role, every, sampling.take(session, every, most))


def drawn(session: Session, signature: Signature, seed: int) -> Answer[Kept]:
    """Random samples, as many as can be run."""
    return sampling.drawn(session, signature, affordable(signature, RANDOM_SAMPLES), seed)


def prepare(
    session: Session, project: Project, subject: Subject, loaded: GivenData, metric: Wanted | None = None
) -> BuildData:
    """Lint the calibration data against the network, and run the source on what verifies.

    Raises:
        InputError: the metric does not fit the source's outputs and the labels, or agreement is demanded of outputs
            that choose nothing.
    """
    signature = subject.network.model.signature
    if _demands_agreement(project):
        require_choices(signature, conversion.branches(session, subject))
    calibration, evaluation = loaded.calibration, loaded.evaluation
    warnings = () if calibration is None else _warnings(session, subject, loaded, calibration)
    use: SamplesUse = "random" if calibration is None else "calibration"
    if evaluation is not None:
        chosen, use = evaluation.kept, "evaluation"
    elif calibration is not None:
        chosen = sampling.take(session, calibration.every, affordable(signature, AGREEMENT_SAMPLES))
    else:
        chosen = drawn(session, signature, project.seed)
    reference = sampling.reference(session, subject.network, chosen)
    score = None if metric is None else evidence.source_score(session, metric, chosen, reference)
    return BuildData(
        loaded=loaded,
        calibration=None if calibration is None else calibration.kept,
        calibration_set=None if calibration is None else calibration.described(warnings),
        evaluation_set=None if evaluation is None else evaluation.described(),
        evidence=Evidence(
            samples=chosen,
            use=use,
            reference=reference,
            probes=evidence.probes(session, subject.network, chosen),
            metric=metric,
            source_score=score,
            constant_data=calibration is not None and calibration.kept.result.constant,
            still=_still(calibration, evaluation),
        ),
    )


def _still(calibration: RoleData | None, evaluation: RoleData | None) -> tuple[str, ...]:
    """Inputs that no sample changes, of those that calibrate and of those that judge."""
    still = () if calibration is None else calibration.kept.result.still
    return tuple(name for name in still if evaluation is None or name in evaluation.kept.result.still)


def demanding(prepared: BuildData, demands: Demands) -> BuildData:
    """The same data, with what is demanded of the files of one target."""
    evidence = msgspec.structs.replace(prepared.evidence, budget=demands.accuracy, min_mapped=demands.min_mapped)
    return msgspec.structs.replace(prepared, evidence=evidence)


def _warnings(session: Session, subject: Subject, loaded: GivenData, calibration: RoleData) -> tuple[str, ...]:
    """What the linter says of all calibration data."""
    signature = subject.network.model.signature
    ranges = conversion.input_ranges(session, subject)
    evaluation = loaded.evaluation

    def lint(_: Path) -> tuple[str, ...]:
        from edgekit import samples  # noqa: PLC0415  numpy is only needed on a cold path

        every, others = calibration.every, None if evaluation is None else evaluation.every
        return samples.lint(
            samples.Samples.opened(every.result, every.folder),
            signature,
            None if others is None else samples.Samples.opened(others.result, others.folder),
            description=loaded.description,
            ranges=ranges,
        )

    inputs: dict[str, Input] = {
        "calibration": Known(digest_of(calibration.every.result)),  # what is doubted of them, too
        "signature": Known(digest_of(signature.inputs)),
        "description": Known(digest_of(loaded.description.inputs)),
    }
    if evaluation is not None:
        inputs["evaluation"] = Known(evaluation.kept.result.total_sha256)
    question = Question(
        what="lint",
        modules=("edgekit.samples", __name__),
        settings={"ranges": ranges},
        inputs=inputs,
    )
    return session.ask(question, tuple[str, ...], lint).result
