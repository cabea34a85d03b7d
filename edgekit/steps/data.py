"""The data of a build: named by the user, kept in the cache, linted, and turned into evidence.

Samples are known by the digest of what the user named; they are read where a step's answer is not
in the cache, and not before.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgekit import config
from edgekit.config import Project
from edgekit.engine.origin import changed
from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, tree_digest
from edgekit.errors import InputError
from edgekit.nouns.manifest import DataSet
from edgekit.nouns.model import Preprocessing, Signature
from edgekit.nouns.verification import SamplesUse
from edgekit.steps import conversion, evidence, sampling
from edgekit.steps.conversion import Subject
from edgekit.steps.evidence import Evidence, affordable
from edgekit.steps.metric import Wanted
from edgekit.steps.sampling import Given, Kept

RANDOM_SAMPLES = 16
"""Random inputs on which a float-only build is verified when the user gives no data."""

AGREEMENT_SAMPLES = 64
"""Most samples on which agreement is computed when no task metric is asked for."""


class DataPart(msgspec.Struct, frozen=True):
    """One part of the data: how all of it is read, and what of it is used."""

    given: Given
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


class Loaded(msgspec.Struct, frozen=True):
    """What the user gave, fitted to the source's signature."""

    calibration: DataPart | None
    evaluation: DataPart | None
    preprocessing: dict[str, Preprocessing]

    @property
    def samples(self) -> Answer[Kept] | None:
        """Any that the user gave."""
        part = self.calibration or self.evaluation
        return None if part is None else part.kept

    def stamp(self, signature: Signature) -> Signature:
        """A signature whose inputs carry the preprocessing that was declared for them."""
        inputs = tuple(
            msgspec.structs.replace(spec, preprocessing=self.preprocessing.get(spec.source_name))
            for spec in signature.inputs
        )
        return msgspec.structs.replace(signature, inputs=inputs)


class Data(msgspec.Struct, frozen=True):
    """What a build works with: samples for calibration, what the manifest says of them, the evidence."""

    loaded: Loaded
    calibration: Answer[Kept] | None
    calibration_set: DataSet | None
    evaluation_set: DataSet | None
    evidence: Evidence


def load(session: Session, project: Project, signature: Signature, files: Mapping[str, Path] | None = None) -> Loaded:
    """Fit calibration and evaluation data to a signature.

    Args:
        session: of the run.
        project: what names the data, under ``calibration`` and ``eval``.
        signature: of the source.
        files: by these keys, files that hold the data if the project gives no more than a name for it.

    Raises:
        InputError: it cannot be read, does not fit the signature, or lacks the labels that the metric needs.
    """
    every = project.preprocessing.get(config.ANY_INPUT)
    preprocessing = {spec.source_name: every for spec in signature.inputs if every is not None} | project.preprocessing
    calibration, evaluation, files = None, None, files or {}
    if project.calibration is not None:
        given = named(project.calibration, signature, preprocessing, files.get("calibration"))
        calibration = DataPart(given, sampling.keep(session, given, project.calibration_samples))
    if project.eval is not None:
        given = named(project.eval, signature, preprocessing, files.get("eval"))
        most = affordable(signature, AGREEMENT_SAMPLES) if project.metric is None else None
        evaluation = DataPart(given, sampling.keep(session, given, most))
        if project.metric is not None and not evaluation.kept.result.labelled:
            raise InputError(
                f"{project.eval} holds no labels.", place="--eval", fix="add them to the .npz as y, one for each sample"
            )
    return Loaded(calibration, evaluation, preprocessing)


def named(spec: str, signature: Signature, preprocessing: dict[str, Preprocessing], file: Path | None = None) -> Given:
    """Samples that the user names: a file or folder is known by its content, a function by what it returns.

    Raises:
        InputError: the function cannot be called, or there is nothing of that name.
    """

    @functools.cache
    def read() -> Any:
        from edgekit import samples  # noqa: PLC0415  numpy is only needed on a cold path

        loaded = samples.load(spec if file is None else str(file), signature, preprocessing, origin=spec)
        if a_file and tree_digest(path).sha256 != content:
            raise changed(path, spec)
        return loaded

    path = Path(spec) if file is None else file
    a_file = path.is_file() or path.is_dir()
    content = tree_digest(path).sha256 if a_file else read().sha256
    settings = {"named": spec, "preprocessing": msgspec.to_builtins(preprocessing)}
    return Given(settings, {"content": Known(content), "signature": Known(digest_of(signature.inputs))}, read)


def drawn(signature: Signature, seed: int) -> Given:
    """Random samples: see `edgekit.samples.random`."""
    count = affordable(signature, RANDOM_SAMPLES)

    @functools.cache
    def read() -> Any:
        from edgekit import samples  # noqa: PLC0415  numpy is only needed on a cold path

        return samples.random(signature, count, seed)

    return Given({"random": count}, {"signature": Known(digest_of(signature.inputs))}, read, seed)


def prepare(session: Session, project: Project, subject: Subject, loaded: Loaded, metric: Wanted | None = None) -> Data:
    """Lint the calibration data against the network, and run the source on what verifies.

    Raises:
        InputError: the metric does not fit the source's outputs and the labels.
    """
    signature = subject.network.model.signature
    calibration, evaluation = loaded.calibration, loaded.evaluation
    warnings = () if calibration is None else _warnings(session, subject, loaded, calibration)
    use: SamplesUse = "random" if calibration is None else "calibration"
    if evaluation is not None:
        chosen, use = evaluation.kept, "evaluation"
    elif calibration is not None:
        chosen = sampling.keep(session, calibration.given, affordable(signature, AGREEMENT_SAMPLES))
    else:
        chosen = sampling.keep(session, drawn(signature, project.seed))
    reference = sampling.reference(session, subject.network, chosen)
    if metric is not None:
        evidence.require_metric(session, metric, chosen, reference)
    return Data(
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
            max_drop=project.max_drop,
            min_mapped=project.min_mapped,
            constant_data=calibration is not None and calibration.kept.result.constant,
        ),
    )


def _warnings(session: Session, subject: Subject, loaded: Loaded, calibration: DataPart) -> tuple[str, ...]:
    """What the linter says of all calibration data."""
    signature = loaded.stamp(subject.network.model.signature)
    ranges = conversion.input_ranges(session, subject)
    evaluation = loaded.evaluation

    def lint(_: Path) -> tuple[str, ...]:
        from edgekit import samples  # noqa: PLC0415  numpy is only needed on a cold path

        others = None if evaluation is None else evaluation.given.read()
        return samples.lint(calibration.given.read(), signature, others, ranges=ranges)

    inputs: dict[str, Input] = {
        **calibration.given.inputs,
        "calibration": Known(calibration.kept.result.total_sha256),
        "stamped": Known(digest_of(signature.inputs)),
    }
    if evaluation is not None:
        inputs["evaluation"] = Known(evaluation.kept.result.total_sha256)
    question = Question(
        what="lint",
        modules=("edgekit.samples", __name__),
        settings=calibration.given.settings | {"ranges": ranges},  # arrays may be doubted as images, not as an .npz
        inputs=inputs,
    )
    return session.ask(question, tuple[str, ...], lint).result
