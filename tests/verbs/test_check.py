"""Runs that are cancelled say so: that is no word about a target."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.config import Project
from edgekit.engine.session import Session, Silent
from edgekit.engine.store import Store
from edgekit.errors import CancelledError
from edgekit.verbs.build import build
from edgekit.verbs.check import check
from tests import networks


class Impatient(Silent):
    """Whoever watches cancels the run once files are built."""

    session: Session

    def begin(self, step: str) -> None:
        if step.startswith("building"):
            self.session.cancel()


@pytest.mark.parametrize("verb", [check, build], ids=["check", "build"])
def test_a_cancelled_run_is_no_verdict(verb: Callable[[Session, Project, Path], object], tmp_path: Path) -> None:
    watch = Impatient()
    model = networks.classifier(tmp_path / "net.tflite")
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt", watch) as session:
        watch.session = session
        with pytest.raises(CancelledError):
            verb(session, Project(targets=("android",), precision="float16"), model)
