"""The packed runner with the runtimes of real boards, each in a virtual environment of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekit import runner
from edgekit.drivers.ssh import Ssh
from edgekit.nouns.profile import DeviceConfig, Run
from tests.drivers.ssh.conftest import QUICK
from tests.drivers.ssh.server import interpreter, says

pytestmark = pytest.mark.slow
Make = Callable[..., DeviceConfig]

OLDER = ("3.11", "3.9", "3.10")
"""Pythons that tflite-runtime 2.14 has wheels for, the wanted one first."""


def older_python() -> str:
    """An interpreter for tflite-runtime; without one the test is skipped, but never in CI."""
    found = next(filter(None, map(interpreter, OLDER)), None)
    if found is None:
        reason = f"tflite-runtime 2.14 needs one of Python {', '.join(OLDER)}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


def environment(folder: Path, python: str, *packages: str) -> str:
    """A virtual environment's interpreter, made with uv where that works (it needs no pip in that Python)."""
    made = str(folder / "bin/python")
    for uv in (os.environ.get("UV"), str(Path(sys.executable).with_name("uv")), shutil.which("uv")):
        if uv and says(uv, "--version"):
            commands = [[uv, "venv", "-q", "--python", python, str(folder)]]
            commands += [[uv, "pip", "install", "-q", "--python", made, *packages]]
            break
    else:
        commands = [[python, "-m", "venv", str(folder)], [made, "-m", "pip", "install", "-q", *packages]]
    for command in commands:
        done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def litert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("litert") / "venv"
    return environment(folder, sys.executable, "ai-edge-litert==2.1.2", "numpy>=2,<3")


@pytest.fixture(scope="session")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tflite") / "venv"
    return environment(folder, older_python(), "tflite-runtime==2.14.0", "numpy<2")


@pytest.mark.parametrize(
    ("which", "runtimes"),
    [
        pytest.param("litert", {"ai-edge-litert": "2.1.2"}, marks=pytest.mark.study),  # every board's in other tests
        ("tflite", {"tflite-runtime": "2.14.0"}),
    ],
)
@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_a_runtime_of_its_own_computes_the_same(
    driver: Ssh,
    board: Make,
    network: tuple[Path, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    which: str,
    runtimes: dict[str, str],
    delegate: str,
) -> None:
    config = board(python=request.getfixturevalue(which))
    (found,) = driver.find({"bench": config})
    assert (found.usable, found.problems, found.runs) == (True, (), (".tflite",))
    assert found.runtimes == runtimes
    (name, version), *_ = runtimes.items()

    timed = msgspec.structs.replace(QUICK, delegate=delegate)
    deployment = driver.open(found, *network, timed, runner.place_name(0))
    for part in ("time", "outputs"):
        (tmp_path / part).mkdir()
    block = driver.run(found, deployment, timed, tmp_path / "time")
    assert block.runtime == f"{name} {version}"
    assert block.latency is not None
    assert block.latency.runs >= QUICK.min_runs
    assert block.init_ms is not None
    assert block.init_ms > 0
    outputs = Run(mode="outputs", delegate=timed.delegate)
    block = driver.run(found, deployment, outputs, tmp_path / "outputs")
    driver.close(found, deployment)

    there = np.load(tmp_path / "outputs" / str(block.outputs))["probabilities"]
    here = Interpreter(model_path=str(network[0]), num_threads=1)
    here.allocate_tensors()
    (into,), (out,) = here.get_input_details(), here.get_output_details()
    for image, values in zip(np.load(network[1])["image"], there, strict=True):
        here.set_tensor(into["index"], image)
        here.invoke()
        np.testing.assert_allclose(values, here.get_tensor(out["index"]), rtol=1e-5, atol=1e-6)
