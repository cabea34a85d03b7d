"""Every shared model that has a waist loses channels, and computes what it computes with them at zero."""

from pathlib import Path

import pytest

from edgekit.channels import dependencies
from edgekit.engine.session import Session
from edgekit.waist import graph
from tests.channels.generated import agreement_db, drawn
from tests.studies.coverage.cases import Case
from tests.studies.waists import PARAMETERS, converted, file_of


@pytest.mark.shared
@pytest.mark.parametrize("case", PARAMETERS)
def test_channels_go(case: Case, session: Session, tmp_path: Path) -> None:
    subject = converted(session, case)
    if isinstance(subject, str):
        pytest.skip(f"it has no waist: {subject}")
    path = file_of(subject)
    assert graph.read(path)
    channels = dependencies.find(path)
    if not channels.families:
        pytest.skip(f"no channel can go: {'; '.join(channels.notes)[:300]}")
    assert agreement_db(channels, drawn(channels, 0.4), tmp_path) >= 80
