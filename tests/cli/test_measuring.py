"""Measuring as a user does it: real blocks on this host, what is recorded, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import cli, flow
from edgekit.config import Project
from edgekit.manifest import Manifest
from edgekit.session import Session, cache_folder
from edgekit.store import Store
from tests import networks

pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two networks, as the current one."""
    desk = tmp_path / "desk"
    desk.mkdir()
    networks.classifier(desk / "model.tflite")
    networks.classifier(desk / "twin.tflite")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    return desk


@pytest.fixture
def artifact(desk: Path) -> Path:
    """An artifact folder with one float32 file and its manifest."""
    with Session(Store(cache_folder()), desk.parent / "log.txt") as session:
        wanted = Project(targets=("linux-arm64",), precision="float32", output="built")
        results = flow.build(session, wanted, Path("model.tflite"))
    assert results[0].error is None
    return desk / "built"


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = cli.run([*arguments, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out), err


def places(desk: Path) -> list[Path]:
    return [path for path in (desk.parent / "cache" / "places").glob("edgekit-*") if path.is_dir()]


def test_a_quick_profile_says_what_it_saw_and_keeps_every_sample(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, document, screen = run(capfd, "profile", "model.tflite", "--quick", "--ops")
    assert code == 0
    [profile] = document["profiles"]
    latency = profile["latency"]
    assert latency["blocks"] == 10 == len(profile["blocks"])
    assert latency["median_ms"]["low"] <= latency["median_ms"]["value"] <= latency["median_ms"]["high"]
    with np.load(profile["raw"]) as raw:
        kept = [raw[f"latencies_ms_{i}"] for i in range(10)]
    for taken, block in zip(kept, profile["blocks"], strict=True):
        assert block["latency"]["median_ms"] == pytest.approx(float(np.median(taken)), rel=0.05)
    assert sum(block["latency"]["runs"] for block in profile["blocks"]) == latency["runs"]
    assert profile["operators"]
    assert profile["energy"] is None
    assert "energy" in profile["unavailable"]
    assert "median" in screen
    assert "Traceback" not in screen
    assert Path(profile["file"]).with_name(Path(profile["raw"]).stem + "-latency.svg").read_text().startswith("<?xml")
    assert not places(desk)
    assert (desk / "model.tflite").stat().st_nlink == 1


def test_a_profile_stands_in_the_manifest_and_outlives_a_rebuild(
    artifact: Path, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document, _ = run(capfd, "profile", "built", "--quick")
    assert code == 0
    manifest = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert [profile.session for profile in manifest.profiles] == [document["profiles"][0]["session"]]
    build = ["build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "-o", "built"]
    assert cli.run(build) == 0
    again = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert again.profiles == manifest.profiles
    assert Path(document["profiles"][0]["file"]).is_file()
    # Another network in the same place: the old profile stays on the disk, and is not claimed by the new file.
    (desk / "model.tflite").write_bytes(networks.classifier(desk / "other.tflite", logits=2.0).read_bytes())
    assert cli.run(build) == 0
    other = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert other.profiles == ()
    assert Path(document["profiles"][0]["file"]).is_file()


def test_a_build_can_measure_what_it_made(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "--profile", "--quick")
    code, document, screen = run(capfd, *arguments)
    assert code == 0
    [result] = document["results"]
    assert result["manifest"]["profiles"][0]["latency"]["blocks"] == 10
    assert "median" in screen


def test_two_files_are_measured_in_turns_and_judged_by_their_pairs(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document, screen = run(capfd, "compare", "model.tflite", "twin.tflite", "--quick")
    assert code == 0
    found = document["comparison"]
    assert found["pairs"] == 10
    assert found["low"] <= found["ratio"] <= found["high"]
    assert found["verdict"] in screen
    first, second = document["profiles"]
    assert first["session"] == second["session"]
    order = first["protocol"]["order"]
    assert sorted(order) == ["A"] * 10 + ["B"] * 10
    assert [block["index"] for block in first["blocks"]] == [i for i, which in enumerate(order) if which == "A"]
    # The recorded profiles give the same verdict again.
    code, again, _ = run(capfd, "compare", first["file"], second["file"])
    assert code == 0
    assert again["comparison"]["ratio"] == found["ratio"]


def test_profiles_of_two_sessions_are_not_compared(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [run(capfd, "profile", "model.tflite", "--quick")[1]["profiles"][0]["file"] for _ in range(2)]
    code, document, _ = run(capfd, "compare", *files)
    assert code == 2
    assert "not measured in turns" in document["error"]["problem"]
    assert "edgekit compare A B" in document["error"]["fix"]


START = "import sys; from edgekit.cli import run; sys.exit(run(sys.argv[1:]))"


def started(desk: Path) -> subprocess.Popen[bytes]:
    """A long profile in a process of its own, once its first block runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "profile", "model.tflite"],
        cwd=desk, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not any((place / "block").is_dir() for place in places(desk)):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("how", "whom"), [("SIGINT", "all"), ("SIGINT", "one"), ("SIGTERM", "one")])
def test_an_interrupted_profile_leaves_nothing(how: str, whom: str, desk: Path) -> None:
    process = started(desk)
    number = getattr(signal, how)
    os.killpg(process.pid, number) if whom == "all" else process.send_signal(number)
    assert process.wait(30) == 130
    assert not places(desk)
    assert not (desk / "dist").exists()


def test_what_a_killed_profile_left_is_cleared_by_the_next(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    process = started(desk)
    process.kill()
    process.wait()
    [left] = places(desk)
    assert left.is_dir()
    assert run(capfd, "profile", "twin.tflite", "--quick")[0] == 0
    assert not places(desk)
