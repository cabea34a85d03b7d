"""What the verbs of one run share."""

import os
import threading
import time
from pathlib import Path

import pytest

from edgekit.engine.question import Question
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.engine.worker import Worker
from tests.watchdog import children


def test_a_worker_that_is_about_to_load_when_a_run_ends_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, real, before = threading.Event(), Worker._running, children(os.getpid())

    def slow(self: Worker, *, bench: bool) -> object:
        about.set()
        time.sleep(0.5)  # the end of the run comes now
        return real(self, bench=bench)

    monkeypatch.setattr(Worker, "_running", slow)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as run:
        run.expect([("backends", "tflite"), ("sources", "tflite")])
        assert run.ask(Question(what="any"), int, lambda _: int(about.wait(20))).result == 1
    assert sorted(children(os.getpid())) == sorted(before)
