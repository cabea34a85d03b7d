"""Speed of the command line and of builds, each against the plain way to the same result.

Every row times two commands in turn, some repetitions of each, and compares medians: what else the
machine does meets both alike. Every repetition starts from an empty cache unless the row says warm.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]

BIN = Path(sys.executable).parent

NEAREST = str(Path(__file__).with_name("nearest.toml"))
"""The target whose files a straight script makes, too."""

TEN = (
    "FastestDet",
    "deeploy_autoencoder1d",
    "deeploy_cct_2_32_32_128_op20",
    "dtln_model_1",
    "espcn_subpixel_float",
    "mnist-8_cntk",
    "super_resolution_10",
    "tract_keras_tf2_example",
    "ultraface_version-RFB-320_without_postprocessing",
    "ultraface_version-slim-320",
)
"""ONNX models that need no ``--shape``."""


@dataclass(frozen=True)
class Speed:
    """A row: the claim, both medians in seconds, and the ratio with its limit.

    ``at_least`` tells whether the ratio must reach the limit or stay below it.
    """

    what: str
    ours_s: float
    against: str
    theirs_s: float
    ratio: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the claim is true in this run."""
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def timed(words: list[str | Path], cache: Path | None = None) -> float:
    """Wall time in seconds of a command that must succeed; its cache is ``cache``."""
    environment = os.environ | ({} if cache is None else {"EDGEKIT_CACHE": str(cache)}) | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users have compiled modules; both sides get them
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in words], cwd=ROOT, env=environment, capture_output=True, check=False)
    used = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{words[:4]} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return used


def interleaved(ways: dict[str, Callable[[], float]], repetitions: int) -> dict[str, float]:
    """Median seconds of each way, all ways in turn within each repetition."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, run in ways.items():
            times[name].append(run())
    return {name: statistics.median(found) for name, found in times.items()}


def start_up(repetitions: int) -> list[Speed]:
    """The help page against the import of click."""
    found = interleaved(
        {
            "ours": lambda: timed([BIN / "edgekit", "--help"]),
            "click": lambda: timed([sys.executable, "-c", "import click"]),
        },
        repetitions,
    )
    ours, theirs = found["ours"], found["click"]
    return [Speed("`edgekit --help`", ours, '`python -c "import click"`', theirs, ours / theirs, 2.0)]


def resnet_samples(folder: Path) -> Path:
    """200 samples of uniform 0..255 noise for ResNet-8: speed does not depend on what they show."""
    path = folder / "samples.npz"
    np.savez(path, input_1=np.random.default_rng(0).random((200, 1, 32, 32, 3), np.float32) * 255)
    return path


def build(shared: Path, data: Path, cache: Path, targets: tuple[str, ...], *options: str) -> float:
    """Seconds of ``edgekit build`` of ResNet-8."""
    flags = [word for target in targets for word in ("-t", target)]
    model = shared / "models/mlperf_tiny/pretrainedResnet.h5"
    out = cache.parent / f"{cache.name}-out"
    return timed([BIN / "edgekit", "build", model, *flags, *options, "--calibration", data, "-o", out], cache)


def plain_build(shared: Path, data: Path, cache: Path) -> float:
    """Seconds of the build that makes the files of a straight script, which rewrites no graph and fits no weights."""
    return build(shared, data, cache, (NEAREST,), "--no-optimize-graph")


def straight_script(shared: Path, data: Path, folder: Path) -> float:
    """Seconds of the script that makes the same files in ``folder``, as ``plain_int8.tflite`` and so on."""
    return timed([sys.executable, "-m", "tests.studies.benchmarks.straight_script", shared, data, folder])


def one_build(shared: Path, repetitions: int) -> list[Speed]:
    """A cold build against a straight script, and a warm one against the cold one."""
    with tempfile.TemporaryDirectory() as top:
        folder, count = Path(top), iter(range(1000))
        data = resnet_samples(folder)
        warm_cache = folder / "warm"
        build(shared, data, warm_cache, ("android",))
        found = interleaved(
            {
                "cold": lambda: build(shared, data, folder / f"cold{next(count)}", ("android",)),
                "nearest": lambda: plain_build(shared, data, folder / f"cold{next(count)}"),
                "script": lambda: straight_script(shared, data, folder),
                "warm": lambda: statistics.median(build(shared, data, warm_cache, ("android",)) for _ in range(5)),
            },
            repetitions,
        )
    cold, plain, warm, nearest = found["cold"], found["script"], found["warm"], found["nearest"]
    name = "cold build of ResNet-8 for android"
    return [
        Speed(
            f"{name}, no rewrites, rounded to nearest",
            nearest,
            "straight script to the same files",
            plain,
            nearest / plain,
            1.15,
        ),
        Speed(name, cold, "the same, no rewrites, rounded to nearest", nearest, cold / nearest, 1.5),
        Speed(name, cold, "warm build", warm, cold / warm, 20.0, at_least=True),
        Speed("warm build of ResNet-8 for android", warm, "one second", 1.0, warm, 1.0),
    ]


TARGETS = ("android", "linux-arm64", "edgetpu", "openvino-cpu")


def four_targets(shared: Path, repetitions: int) -> list[Speed]:
    """Four targets at once against the slowest alone."""
    with tempfile.TemporaryDirectory() as top:
        folder, count = Path(top), iter(range(1000))
        data = resnet_samples(folder)
        ways = {
            name: lambda targets=targets: build(shared, data, folder / f"c{next(count)}", targets)
            for name, targets in {"all": TARGETS, **{name: (name,) for name in TARGETS}}.items()
        }
        found = interleaved(ways, repetitions)
    together = found.pop("all")
    slowest = max(found, key=lambda name: found[name])
    return [
        Speed(
            f"build for {', '.join(TARGETS)}", together, f"{slowest} alone", found[slowest],
            together / found[slowest], 1.6,
        )
    ]  # fmt: skip


def ten_models(shared: Path, repetitions: int) -> list[Speed]:
    """Ten conversions in one session against ten command lines of onnx2tf (which get copies)."""
    models = [shared / f"models/onnx/{name}.onnx" for name in TEN]

    def theirs() -> float:
        with tempfile.TemporaryDirectory() as top:
            used = 0.0
            for model in models:
                copy = Path(top, model.name)
                copy.write_bytes(model.read_bytes())
                used += timed([BIN / "onnx2tf", "-i", copy, "-o", Path(top, model.stem)])
            return used

    session = [sys.executable, "-m", "tests.studies.benchmarks.ten_conversions", *models]
    found = interleaved({"ours": lambda: timed(session), "theirs": theirs}, repetitions)
    ours, plain = found["ours"], found["theirs"]
    return [
        Speed("ten ONNX models in one session", ours, "ten `onnx2tf` runs", plain, plain / ours, 3.0, at_least=True)
    ]
