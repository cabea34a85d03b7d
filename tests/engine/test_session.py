"""What the verbs of one run share."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.question import Question
from edgekit.engine.session import Session, Silent
from edgekit.engine.store import Store
from edgekit.engine.worker import Worker
from edgekit.errors import CancelledError, Unsupported
from edgekit.host.events import Advance, Event
from edgekit.nouns.model import SourceOptions
from tests import networks
from tests.watchdog import children


def test_a_worker_that_is_about_to_load_when_a_run_ends_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, real, before = threading.Event(), Worker._running, children(os.getpid())

    def slow(self: Worker, *, trusted: bool) -> object:
        about.set()
        time.sleep(0.5)  # the end of the run comes now
        return real(self, trusted=trusted)

    monkeypatch.setattr(Worker, "_running", slow)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as run:
        run.expect([("backends", "tflite"), ("sources", "tflite")])
        assert run.ask(Question(what="any"), int, lambda _: int(about.wait(20))).result == 1
    assert sorted(children(os.getpid())) == sorted(before)


def test_a_run_that_is_cancelled_ends_its_calls_and_starts_no_more(tmp_path: Path) -> None:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as run:
        threading.Timer(0.1, run.cancel).start()  # while the leaf loads its libraries
        with pytest.raises(CancelledError):
            run.backend("tflite").best_ms(tmp_path / "none.tflite")
        with pytest.raises(CancelledError):
            run.source("tflite").describe(tmp_path / "none.tflite", SourceOptions())
    assert not run._workers[("backends", "tflite")]._child


def test_what_a_leaf_tells_is_told_of_its_step(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=networks.weights(8, 1, 8, 8, 3))
    told: list[tuple[str, Event]] = []

    class Watcher(Silent):
        def tell(self, step: str, event: Event) -> None:
            told.append((step, event))

    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt", Watcher()) as run:
        source = run.source("tflite")

        def make(out: Path) -> int:
            source.run(path, SourceOptions(), inputs, out / "outputs.npz")
            return 0

        run.ask(Question(what="any", doing="running net.tflite"), int, make)
        source.run(path, SourceOptions(), inputs, tmp_path / "outputs.npz")
    assert {step for step, _ in told} == {"running net.tflite"}
    assert told[0][1] == Advance(0, "sample by sample")


@pytest.mark.parametrize("known", [True, False])
def test_a_refusal_of_what_was_made_on_the_way_names_the_users_file(known: bool, tmp_path: Path) -> None:
    made = tmp_path / "cache" / "tmp" / "run-abcdefgh" / "waist.tflite"
    made.parent.mkdir(parents=True)
    net = networks.Network()
    (end,) = net.custom("Own", [net.input("x", (1, 4))], [(1, 4)])
    net.save(made, end)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as run:
        run.network = tmp_path / "mine.onnx" if known else None
        with pytest.raises(Unsupported) as caught:
            run.backend("tflite").best_ms(made)
    assert caught.value.place == str(tmp_path / "mine.onnx" if known else made)
    assert ("waist.tflite" in caught.value.problem) is not known
    assert ("mine.onnx" in caught.value.problem) is known
