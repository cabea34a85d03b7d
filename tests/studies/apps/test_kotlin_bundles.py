"""Android bundles on a JVM: Kotlin's compiler, Android's and TFLite's classes, and TFLite for this machine as the engine.

LiteRT's `CompiledModel` and androidx.test are on Google's Maven only: what uses them is compiled against `stubs`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.made import Maker
from tests.bundles.written import written
from tests.conftest import ROOT
from tests.studies.apps.jvm import STUBS, Toolchain, parts, resources

SHAPES = ROOT / "docs" / "examples" / "shapes"

DESCRIBED = """model = "model.onnx"
targets = ["android"]
calibration = "images/train"
[metadata]
name = "Shapes"
[[input]]
kind = "image"
layout = "NCHW"
channels = "BGR"
resize = "bilinear"
range = [-1, 1]
[[output]]
task = "classification"
labels = ["circle", "square", "triangle"]
activation = "softmax"
"""


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    return Toolchain.fetched(tmp_path_factory.mktemp("jars"))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a real build, with an int8 file whose input is an image and whose output is classes."""
    folder = tmp_path_factory.mktemp("shapes")
    shutil.copytree(SHAPES, folder / "shapes")
    env = os.environ | {"EDGEKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    subprocess.run([sys.executable, "shapes/draw.py"], cwd=folder, env=env, capture_output=True, check=True)
    (folder / "shapes" / "edgekit.toml").write_text(DESCRIBED)
    command = [sys.executable, "-m", "edgekit", "build", "shapes", "--sample-app", "-o", "out"]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return folder / "out" / "integration"


def failing(toolchain: Toolchain, bundle: Path, out: Path) -> dict[str, str]:
    """The tests of a bundle that fail, by their names alone."""
    toolchain.compile([*parts(bundle), STUBS], out)
    package = next((bundle / "src/main/kotlin/edgekit").iterdir()).name
    found = toolchain.test([out, *resources(bundle)], f"edgekit.{package}.GoldenTest")
    return {test.partition("(")[0]: message for test, message in found.items()}


def test_the_whole_path_of_a_real_build(toolchain: Toolchain, shapes: Path, tmp_path: Path) -> None:
    assert failing(toolchain, shapes, tmp_path / "classes") == {}
    assert toolchain.lint(shapes) == ""


STAGE_TESTS = {"preprocess", "quantize", "model", "dequantize", "postprocess", "wholePath", "wholePathRecorded"}

FAULTS: dict[str, tuple[str, str, str, str]] = {
    "channel order": ("Preprocessing.kt", r"2 - channel", "channel", "preprocess"),
    "mean": (
        "Preprocessing.kt",
        r"val offsets = floatArrayOf\(127\.5f",
        "val offsets = floatArrayOf(127f",
        "preprocess",
    ),
    "resize mode": ("Preprocessing.kt", r"return bilinear\(", "return nearest(", "preprocess"),
    "zero point of the input": ("Numbers.kt", r"/ scale\) \+ zeroPoint", "/ scale) + zeroPoint + 1", "quantize"),
    "zero point of the output": ("Numbers.kt", r"toDouble\(\) - zeroPoint", "toDouble() - zeroPoint - 1", "dequantize"),
    "activation": ("Postprocessing.kt", r"val scores = softmax\(values\)", "val scores = values", "postprocess"),
}
"""Faults as people make them: in which file, what is replaced by what, and the stage that has to say so."""

NEAREST = """
internal fun nearest(pixels: Pixels, height: Int, width: Int): Pixels {
    val made = Pixels(height, width, pixels.channels)
    for (y in 0 until height) for (x in 0 until width) for (c in 0 until pixels.channels) {
        made[y, x, c] = pixels[y * pixels.height / height, x * pixels.width / width, c]
    }
    return made
}
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault: str, toolchain: Toolchain, shapes: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(shapes, tmp_path / "bundle"))
    file, pattern, put, stage = FAULTS[fault]
    source = next((bundle / "src" / "main").rglob(file))
    text, count = re.subn(pattern, put, source.read_text())
    assert count, source.read_text()
    source.write_text(text + NEAREST * (fault == "resize mode"))
    found = failing(toolchain, bundle, tmp_path / "classes")
    assert {test for test in found if not test.startswith("whole")} == {stage}, found
    assert f"{stage} differs in" in found[stage]
    # A softmax behind it takes the same from all scores away again.
    assert ("wholePathRecorded" in found) is (fault != "zero point of the output")


def test_random_networks_compile_and_agree(toolchain: Toolchain, tmp_path: Path) -> None:
    """Every kind of input and every task, names that are no identifiers: one run of the compiler for all."""
    seeds = range(24)
    for seed in seeds:
        maker = Maker(seed)
        signature, described = maker.network()

        def made_up(_: object, made: Callable[[], object] = lambda: maker.outputs(signature)) -> object:
            return made()

        written(tmp_path / str(seed), "android", signature, described, made_up, name=f"net {seed}", target="android")
    assert toolchain.lint(tmp_path) == ""
    classes = tmp_path / "classes"
    toolchain.compile([*(part for seed in seeds for part in parts(tmp_path / str(seed))), STUBS], classes)
    wrong = {}
    for seed in seeds:
        found = toolchain.test([classes, *resources(tmp_path / str(seed))], f"edgekit.net{seed}.GoldenTest")
        # These outputs were made up: there is no file that gives them.
        if own := {test: told for test, told in found.items() if not test.startswith(("model(", "wholePath("))}:
            wrong[seed] = own
    assert wrong == {}
