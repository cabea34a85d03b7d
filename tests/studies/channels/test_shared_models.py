"""Every shared model that has a waist loses channels, and computes what it computes with them at zero."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.channels import dependencies
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError
from edgekit.nouns.model import SourceOptions
from edgekit.steps import conversion, reading
from edgekit.waist import graph
from tests.channels.generated import agreement_db, drawn
from tests.conftest import ROOT
from tests.studies.coverage.cases import FOLDERS, Case, found

SHARED = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()

CASES = (
    [case for case in found(SHARED, ("phone", *FOLDERS)) if case.folder != "onnx_invalid"] if SHARED.is_dir() else []
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("channels")
    with Session(Store(folder / "cache"), folder / "log.txt") as running:
        yield running


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_channels_go(case: Case, session: Session, tmp_path: Path) -> None:
    try:
        network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
        subject = conversion.subject(session, network, ())
    except EdgekitError as error:
        pytest.skip(f"it has no waist: {error.problem}")
    if subject.waist is None:
        pytest.skip(f"it has no waist: {subject.reason}")
    path = subject.waist.folder / subject.waist.result.file
    assert graph.read(path)
    channels = dependencies.find(path)
    if not channels.families:
        pytest.skip(f"no channel can go: {'; '.join(channels.notes)[:300]}")
    assert agreement_db(channels, drawn(channels, 0.4), tmp_path) >= 80
