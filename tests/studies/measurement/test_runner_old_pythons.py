"""The packed runner on the Pythons and runtimes that boards have: 3.9 to 3.11, tflite-runtime 2.14, old LiteRT."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import MissingTool, Unsupported
from tests import networks
from tests.runner.boards import Board

PYTHONS = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
"""Where other interpreters lie."""

IMAGE = np.random.default_rng(1).standard_normal((2, 1, 8, 8, 3)).astype(np.float32)

ENVIRONMENTS = {
    "tflite-runtime on 3.9": ("3.9", ("tflite-runtime==2.14.0", "numpy<2")),
    "tflite-runtime on 3.11": ("3.11", ("tflite-runtime==2.14.0", "numpy<2")),
    "ai-edge-litert on 3.9": ("3.9", ("ai-edge-litert==2.1.0",)),
    "ai-edge-litert on 3.10": ("3.10", ("ai-edge-litert==2.1.2",)),
}


def interpreter(version: str) -> str:
    found = sorted(PYTHONS.glob(f"{version}.*/bin/python{version}")) or [shutil.which(f"python{version}")]
    if found[0] is None:
        if os.environ.get("CI"):
            pytest.fail(f"there is no Python {version}")
        pytest.skip(f"there is no Python {version}")
    return str(found[0])


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes an environment with packages of its own, once for all tests; gives its interpreter."""
    made: dict[tuple[str, tuple[str, ...]], str] = {}

    def make(version: str, packages: tuple[str, ...]) -> str:
        key = version, packages
        if key not in made:
            folder = tmp_path_factory.mktemp(f"python{version}")
            made[key] = str(folder / "bin/python")
            uv = os.environ.get("UV")  # set by `uv run`; far quicker
            if uv:
                subprocess.run([uv, "venv", "--quiet", "--python", interpreter(version), str(folder)], check=True)
                install = [uv, "pip", "install", "--quiet", "--python", made[key]]
            else:
                subprocess.run([interpreter(version), "-m", "venv", str(folder)], check=True)
                install = [made[key], "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            if packages:
                subprocess.run([*install, *packages], check=True)
        return made[key]

    return make


@pytest.fixture(params=ENVIRONMENTS)
def old(request: pytest.FixtureRequest, environment: Any, tmp_path: Path) -> Board:
    return Board(tmp_path, environment(*ENVIRONMENTS[request.param]))


def test_times_and_outputs(old: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    seen = old.look()
    assert set(seen.runtimes) <= {"tflite-runtime", "ai-edge-litert"}
    assert seen.runtimes
    assert seen.problems == ()
    block, out = old.run(model, {"image": IMAGE})
    assert block.latency is not None
    readings = len(np.load(out / "latencies.npy"))
    assert block.latency.runs == readings * block.latency.inferences_per_reading
    assert block.runtime.split()[0] in seen.runtimes
    assert block.delegation is not None
    _, out = old.run(model, {"image": IMAGE}, mode="outputs")
    (tmp_path / "here").mkdir()
    _, here = Board(tmp_path / "here").run(model, {"image": IMAGE}, mode="outputs")
    expected = np.load(here / "outputs.npz")["probabilities"]
    np.testing.assert_allclose(np.load(out / "outputs.npz")["probabilities"], expected, rtol=1e-4, atol=1e-6)


def test_operators_where_the_library_is_known(old: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    if "ai-edge-litert" in old.look().runtimes:
        block, _ = old.run(model, {"image": IMAGE}, mode="operators")
        assert any("Convolution" in row.kind for row in block.operators)
    else:
        with pytest.raises(Unsupported, match="does not time operators"):
            old.run(model, {"image": IMAGE}, mode="operators")


def test_a_version_whose_library_is_not_known_times_no_operators(environment: Any, tmp_path: Path) -> None:
    board = Board(tmp_path, environment("3.11", ("ai-edge-litert==2.0.3",)))
    model = networks.classifier(tmp_path / "c.tflite")
    with pytest.raises(Unsupported, match=r"in version 2\.0\.3"):
        board.run(model, {"image": IMAGE}, mode="operators")
    block, _ = board.run(model, {"image": IMAGE})
    assert block.latency is not None


@pytest.mark.parametrize(
    ("version", "packages", "fix"),
    [
        ("3.9", (), "-m pip install numpy"),
        ("3.9", ("numpy<2",), "-m pip install ai-edge-litert"),
        ("3.11", ("tflite-runtime==2.14.0", "numpy>=2"), "-m pip install 'numpy<2'"),
    ],
    ids=["bare", "no runtime", "numpy too new"],
)
def test_what_is_missing_is_installed_by_the_line_that_is_given(
    environment: Any, tmp_path: Path, version: str, packages: tuple[str, ...], fix: str
) -> None:
    board = Board(tmp_path, environment(version, packages))
    with pytest.raises(MissingTool) as caught:
        board.run(networks.classifier(tmp_path / "c.tflite"), {"image": IMAGE})
    assert caught.value.fix.endswith(fix)
    assert caught.value.fix.startswith("/")
    problems = board.look().problems
    assert bool(problems) == (fix != "-m pip install ai-edge-litert")
    assert all(problem.endswith(fix) for problem in problems)


def test_a_bare_board_is_described_all_the_same(environment: Any, tmp_path: Path) -> None:
    """The state and the sensors need no library."""
    seen = Board(tmp_path, environment("3.9", ())).look()
    assert seen.runtimes == {}
    assert seen.state.utc
