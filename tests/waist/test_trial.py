import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.host import deadline
from edgekit.waist import run
from edgekit.waist.trial import Trial, kept
from tests import networks


def test_a_trial_computes_what_a_run_computes(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = {"image": networks.weights(4, 1, 8, 8, 3)}
    with Trial() as trial:
        for _ in range(2):
            found = trial.run(path.read_bytes(), inputs)
            assert np.array_equal(found["probabilities"], run.run(path, inputs)["probabilities"])


def test_a_bad_file_is_refused_and_the_next_one_still_runs(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = {"image": networks.weights(1, 1, 8, 8, 3)}
    with Trial() as trial:
        with pytest.raises(Unsupported, match="cannot load"):
            trial.run(b"\x1c\x00\x00\x00TFL3" + bytes(8), inputs)
        assert trial.run(path.read_bytes(), inputs)["probabilities"].shape == (1, 1, 5)


def test_a_child_that_dies_costs_the_candidate_and_is_replaced(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = {"image": networks.weights(1, 1, 8, 8, 3)}
    with Trial() as trial:
        trial.run(path.read_bytes(), inputs)
        os.kill(trial._child.process.pid, signal.SIGSTOP)
        dying = threading.Timer(0.2, os.kill, (trial._child.process.pid, signal.SIGKILL))
        dying.start()
        with pytest.raises(Unsupported, match=r"dies of the file \(SIGKILL\)"):
            trial.run(path.read_bytes(), inputs)
        assert trial.run(path.read_bytes(), inputs)["probabilities"].shape == (1, 1, 5)


def test_a_process_keeps_one_trial_whatever_became_of_its_child(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = {"image": networks.weights(1, 1, 8, 8, 3)}
    first = kept().run(path.read_bytes(), inputs)["probabilities"]
    seen = first.copy()
    kept()._child.process.kill()
    kept()._child.process.wait()
    other = kept().run(path.read_bytes(), {"image": networks.weights(1, 1, 8, 8, 3) + 1})["probabilities"]
    assert not np.array_equal(first, other)
    assert np.array_equal(first, seen)  # what it gave before is not written over
    before = kept()
    deadline.allow(2 * deadline.allowed_s())  # a child knows what an inference may take from its start on
    try:
        assert kept() is not before
    finally:
        deadline.allow(deadline.allowed_s() / 2)
    assert kept() is before


def test_nothing_is_left_behind() -> None:
    with Trial() as trial:
        folder, child = Path(trial._folder.name), trial._child.process
    assert not folder.exists()
    assert child.returncode is not None


def test_tensors_may_be_called_as_arguments_of_numpy(tmp_path: Path) -> None:
    net = networks.Network()
    x, y = net.input("file", (1, 4)), net.input("allow_pickle", (1, 4))
    path = net.save(tmp_path / "m.tflite", net.operator("ADD", [x, y], (1, 4), name="args", kind="AddOptions"))
    ones = np.ones((2, 1, 4), np.float32)
    with Trial() as trial:
        assert trial.run(path.read_bytes(), {"file": ones, "allow_pickle": ones})["args"].sum() == 16
