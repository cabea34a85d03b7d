"""The data of a build: loaded from what the user names, linted, and turned into evidence."""

from dataclasses import dataclass
from typing import Any

import msgspec

from edgekit import config, samples, steps
from edgekit.config import Project
from edgekit.errors import InputError
from edgekit.manifest import DataSet
from edgekit.samples import Samples
from edgekit.session import Session
from edgekit.steps import Evidence, Subject
from edgekit.types import Preprocessing, Signature

RANDOM_SAMPLES = 16
"""Random inputs on which a float-only build is verified when the user gives no data."""

AGREEMENT_SAMPLES = 64
"""Most samples on which agreement is computed when no task metric is asked for."""


@dataclass(frozen=True)
class Loaded:
    """What the user gave, fitted to the source's signature."""

    calibration: Samples | None
    evaluation: Samples | None
    preprocessing: dict[str, Preprocessing]

    def stamp(self, signature: Signature) -> Signature:
        """A signature whose inputs carry the preprocessing that was declared for them."""
        inputs = tuple(
            msgspec.structs.replace(spec, preprocessing=self.preprocessing.get(spec.source_name))
            for spec in signature.inputs
        )
        return msgspec.structs.replace(signature, inputs=inputs)


@dataclass(frozen=True)
class Data:
    """What a build works with: samples for calibration, what the manifest says of them, the evidence."""

    loaded: Loaded
    calibration: Samples | None
    calibration_set: DataSet | None
    evaluation_set: DataSet | None
    evidence: Evidence


def load(project: Project, signature: Signature) -> Loaded:
    """Load calibration and evaluation data.

    Raises:
        InputError: it cannot be read, does not fit the signature, or lacks the labels that the metric needs.
    """
    every = project.preprocessing.get(config.ANY_INPUT)
    preprocessing = {spec.source_name: every for spec in signature.inputs if every is not None} | project.preprocessing
    calibration = evaluation = None
    if project.calibration is not None:
        calibration = samples.load(project.calibration, signature, preprocessing)
    if project.eval is not None:
        evaluation = samples.load(project.eval, signature, preprocessing)
        if project.metric is not None and evaluation.labels is None:
            raise InputError(
                f"{project.eval} holds no labels.", place="--eval", fix="add them to the .npz as y, one for each sample"
            )
    return Loaded(calibration, evaluation, preprocessing)


def prepare(session: Session, project: Project, subject: Subject, loaded: Loaded) -> Data:
    """Lint the calibration data against the network, and run the source on what verifies."""
    signature = subject.network.model.signature
    calibration, evaluation = loaded.calibration, loaded.evaluation
    warnings: tuple[str, ...] = ()
    used = None
    if calibration is not None:
        ranges = steps.input_ranges(session, subject)
        warnings = samples.lint(calibration, loaded.stamp(signature), evaluation, ranges=ranges)
        used = calibration.take(project.calibration_samples)
    chosen = evaluation or calibration
    if chosen is None:
        chosen = samples.random(signature, RANDOM_SAMPLES, project.seed)
    elif project.metric is None:
        chosen = chosen.take(AGREEMENT_SAMPLES)
    return Data(
        loaded=loaded,
        calibration=used,
        calibration_set=_data_set(calibration, used, warnings=warnings),
        evaluation_set=_data_set(evaluation, chosen),
        evidence=Evidence(chosen, steps.reference(session, subject.network, chosen), project.metric, project.max_drop),
    )


def _data_set(data: Samples | None, used: Samples | None, **more: Any) -> DataSet | None:
    if data is None or used is None:
        return None
    return DataSet(origin=data.origin, sha256=data.sha256, samples=len(data), used=len(used), **more)
