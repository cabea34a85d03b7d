"""Every damaged or hostile file ends with a remedy through the command line: in a minute, in 2 GiB for all processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies.hostile import bombs
from tests.watchdog import Watchdog, children

SECONDS, BYTES = 60.0, 2 << 30

LARGE_SECONDS = 180.0
"""A network that is in order and writes a gigabyte of outputs may take as long as that needs."""

VERBS = {
    "inspect": ["inspect"],
    "check": ["check", "-t", "android"],
    "build": ["build", "-t", "android", "--precision", "float32", "-o", "dist"],
}

SHARED = Path(os.environ.get("EDGEKIT_SHARED", "../shared")) / "models" / "hostile"

MODELS = {".onnx", ".tflite", ".keras", ".h5"}

EACH = [pytest.param(verb, marks=[] if verb == "build" else pytest.mark.long) for verb in VERBS]
"""A build does what the other verbs do with such a file, and then more: CI leaves them out."""


def ended(verb: str, model: Path, folder: Path, seconds: float = SECONDS) -> tuple[int, str]:
    """Exit code and screen of a run in an empty folder; it must keep to the time and the memory."""
    with Watchdog(seconds, BYTES, children(os.getpid())) as watched:  # but for workers that other studies keep
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", *VERBS[verb][:1], model, *VERBS[verb][1:]],
            cwd=folder,
            env=os.environ | {"EDGEKIT_CACHE": str(folder / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert not watched.why, f"{verb} {model.name} {watched.why}"
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.name: path for path in bombs.written(tmp_path_factory.mktemp("bombs"))}


@pytest.mark.parametrize("verb", EACH)
@pytest.mark.parametrize("name", bombs.names())
def test_bombs_are_refused_by_their_operator(name: str, verb: str, made: dict[str, Path], tmp_path: Path) -> None:
    code, said = ended(verb, made[name], tmp_path)
    assert code in {2, 4}, said
    assert "GiB" in said or "no target can hold" in said


@pytest.mark.parametrize("name", bombs.LARGE)
def test_large_inputs_and_outputs_are_verified_in_as_much_memory(name: str, tmp_path: Path) -> None:
    code, said = ended("build", bombs.large(tmp_path / "large.onnx", name), tmp_path, LARGE_SECONDS)
    assert code == 0, said


@pytest.mark.shared
@pytest.mark.parametrize("verb", EACH)
@pytest.mark.parametrize("name", sorted(path.name for path in SHARED.glob("*") if path.suffix in MODELS))
def test_shared_files_end_with_a_file_or_a_remedy(name: str, verb: str, tmp_path: Path) -> None:
    code, said = ended(verb, SHARED.resolve() / name, tmp_path)
    assert code in {0, 2, 4}, said
