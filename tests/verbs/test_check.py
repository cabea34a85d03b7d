"""Checks that end early say so: they are no word about a target."""

from pathlib import Path

import pytest

from edgekit.config import Project
from edgekit.engine.session import Session, Silent
from edgekit.engine.store import Store
from edgekit.errors import CancelledError
from edgekit.verbs.check import check
from tests import networks


class Impatient(Silent):
    """Whoever watches cancels the run once files are built."""

    session: Session

    def begin(self, step: str) -> None:
        if step.startswith("building"):
            self.session.cancel()


def test_a_cancelled_check_is_no_verdict(tmp_path: Path) -> None:
    watch = Impatient()
    model = networks.classifier(tmp_path / "net.tflite")
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt", watch) as session:
        watch.session = session
        with pytest.raises(CancelledError):
            check(session, Project(targets=("android",)), model)
