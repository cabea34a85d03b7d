"""What the verbs of one run share."""

import os
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from edgekit.engine import registry, session
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.engine.worker import Worker
from tests.watchdog import children


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_tool_versions_are_those_that_python_tells() -> None:
    told = {name: found for name in registry.TOOLS if (found := installed(name)) is not None}
    assert session.tool_versions() == told
    assert "numpy" in told


@pytest.mark.parametrize(
    ("folder", "parts"),
    [
        ("ai_edge_litert-2.1.2.dist-info", ("ai_edge_litert", "2.1.2")),
        ("nncf-3.4.0+cpu.dist-info", ("nncf", "3.4.0+cpu")),
        ("numpy-1.26.4-py3.12.egg-info", ("numpy", "1.26.4")),
    ],
)
def test_a_folder_names_distribution_and_version(folder: str, parts: tuple[str, str]) -> None:
    match = session.INSTALLED.fullmatch(folder)
    assert match is not None
    assert match.groups() == parts


def test_the_first_folder_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy-0.1.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    session.tool_versions.cache_clear()
    try:
        assert session.tool_versions()["numpy"] == "0.1"
    finally:
        session.tool_versions.cache_clear()


def test_a_worker_that_is_about_to_load_when_a_run_ends_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, real, before = threading.Event(), Worker._running, children(os.getpid())

    def slow(self: Worker) -> object:
        about.set()
        time.sleep(0.5)  # the end of the run comes now
        return real(self)

    monkeypatch.setattr(Worker, "_running", slow)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as run:
        run.expect([("backends", "tflite"), ("sources", "tflite")])
        run.remember({"any": "question"}, int, lambda _: int(about.wait(20)))
    assert sorted(children(os.getpid())) == sorted(before)
