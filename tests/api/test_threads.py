"""Builds in several threads of a Python program: each has workers of its own, and nothing is left of them."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import edgekit
from tests import networks


def command(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def workers() -> set[str]:
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {pid for file in children for pid in file.read_text().split() if b"edgekit" in command(pid)}


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("edgekit")}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are read from /proc")
def test_threads_and_a_quiet_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    model = networks.classifier(tmp_path / "model.tflite")
    samples = np.random.default_rng(0).random((32, 8, 8, 3), dtype=np.float32)

    def one(i: int) -> str:
        made = edgekit.build(
            model, "android", precision="int8", calibration=samples, output=tmp_path / f"thread-{i}", seed=i
        )
        return made["android"]["int8"].verification.verdict  # type: ignore[union-attr]

    before, busy = workers(), threads()  # of other tests in this process
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(one, range(2)))) == 2
    assert capfd.readouterr() == ("", "")
    assert workers() == before
    assert not multiprocessing.active_children()
    assert threads() <= busy
