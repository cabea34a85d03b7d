"""The golden vectors' tolerance for other processors holds on ARM's kernels: the emulated core computes the network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgekit.waist import graph
from tests.drivers import bench_emulated
from tests.studies.waists import SHARED

ROOT = Path(__file__).resolve().parents[3]
SHAPES = ROOT / "docs" / "examples" / "shapes"

NETWORKS = {
    "shapes": (SHAPES, ""),
    "kws": (SHARED / "models/mlperf_tiny/kws_ref_model_float32.tflite", ""),
    "vww": (SHARED / "models/mlperf_tiny/vww_96.h5", '[[input]]\nkind = "image"\nrange = [0, 1]\n'),
    "ad01": (SHARED / "models/mlperf_tiny/ad01.h5", ""),
}
"""Convolutions with and without depth, products, a softmax."""


class Bundle(NamedTuple):
    """A build's bundle for boards: its file, and the golden vectors with their description."""

    file: Path
    golden: Path
    told: dict[str, Any]

    def vectors(self, name: str, stage: str, told: dict[str, Any]) -> Any:
        """One stage of all samples ``[N, *shape]``."""
        numbers = [sample["number"] for sample in self.told["samples"]]
        files = [self.golden / f"{number}.{name}.{stage}.bin" for number in numbers]
        return np.stack([np.fromfile(file, told["dtype"]).reshape(told["shape"]) for file in files])


def built(name: str, precision: str, folder: Path) -> Bundle:
    """A real build, calibrated on its own data, or on noise."""
    source, described = NETWORKS[name]
    if not source.exists():
        pytest.skip(f"there is no {source}")
    if source.is_dir():
        shutil.copytree(source, folder / name)
        subprocess.run([sys.executable, folder / name / "draw.py"], check=True, capture_output=True)
    else:
        (folder / name).mkdir()
        shutil.copy(source, folder / name / f"{name}{source.suffix}")
        (folder / name / "edgekit.toml").write_text(f'model = "{name}{source.suffix}"\n{described}')
    env = os.environ | {"EDGEKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    command = [
        sys.executable,
        "-m",
        "edgekit",
        "build",
        name,
        "-t",
        "linux-arm64",
        "--precision",
        precision,
        "-o",
        "out",
    ]
    noise = [] if source.is_dir() or precision == "float32" else ["--calibration", noise_for(name, folder, env)]
    run = subprocess.run(
        [*command, "--allow-loss", "--no-report", *noise], cwd=folder, env=env, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    made = folder / "out" / "integration"
    (file,) = (made / "model").glob("*.tflite")
    return Bundle(file, made / "golden", json.loads((made / "golden/golden.json").read_text()))


def noise_for(name: str, folder: Path, env: dict[str, str]) -> str:
    (model,) = (path for path in (folder / name).iterdir() if path.suffix != ".toml")
    command = [sys.executable, "-m", "edgekit", "inspect", model, "--json"]
    told = json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    draw = np.random.default_rng(0)
    inputs = told["model"]["signature"]["inputs"]
    np.savez(folder / "noise.npz", **{one["name"]: draw.random((32, *one["shape"]), np.float32) for one in inputs})
    return str(folder / "noise.npz")


def names(bundle: Bundle, side: str) -> list[str]:
    """What the file calls its inputs or outputs, in its order, which is that of the bundle."""
    main = graph.read(bundle.file)[0]
    return [main.tensors[index].name for index in getattr(main, side)]


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize(
    "name", ["shapes", "kws", *(pytest.param(name, marks=pytest.mark.long) for name in ("vww", "ad01"))]
)
def test_arm_computes_within_the_tolerance(name: str, precision: str, tmp_path: Path) -> None:
    bundle = built(name, precision, tmp_path)
    with bench_emulated.bench(tmp_path) as made:
        run = bench_emulated.runs_on(bench_emulated.found(made), tmp_path)
        given = {
            tensor: bundle.vectors(key, "fed", one)
            for tensor, (key, one) in zip(names(bundle, "inputs"), bundle.told["inputs"].items(), strict=True)
        }
        found = run(bundle.file, given)
    for tensor, (key, one) in zip(names(bundle, "outputs"), bundle.told["outputs"].items(), strict=True):
        golden, arm = bundle.vectors(key, "raw", one).astype(np.float64), found[tensor]
        limits = bundle.told["tolerances"]["model"][key]
        apart = float(np.abs(arm.astype(np.float64) - golden).max())
        told = f"{apart:g} apart, with a tolerance of {limits['other']:g}"
        assert apart <= limits["other"], told
