"""Every shared model as a float TFLite file, for studies that try something on all of them."""

import os
from pathlib import Path

import pytest

from edgekit.engine.session import Session
from edgekit.errors import EdgekitError
from edgekit.nouns.model import SourceOptions
from edgekit.steps import conversion, reading
from edgekit.steps.conversion import Subject
from tests.conftest import ROOT
from tests.studies.coverage.cases import FOLDERS, Case, found

SHARED = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()

CASES = (
    [case for case in found(SHARED, ("phone", *FOLDERS)) if case.folder != "onnx_invalid"] if SHARED.is_dir() else []
)

PARAMETERS = [
    pytest.param(case, id=case.name, marks=pytest.mark.long if case.folder == "onnx_ops" else []) for case in CASES
]
"""For tests; single operators take as long as all networks, and have tests of their own."""


def converted(session: Session, case: Case) -> Subject | str:
    """A model with its waist, or why it has none."""
    try:
        network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
        subject = conversion.subject(session, network, ())
    except EdgekitError as error:
        return error.problem
    return subject.reason if subject.waist is None else subject


def file_of(subject: Subject) -> Path:
    """The waist's file."""
    assert subject.waist is not None
    return subject.waist.folder / subject.waist.result.file
