"""Android bundles on a JVM: Kotlin's compiler, Android's and TFLite's classes, and TFLite for this machine as the engine.

LiteRT's library is on no registry that these tests reach: what uses it is compiled against `stubs`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.made import Maker, detector
from tests.bundles.written import written
from tests.conftest import ROOT
from tests.studies.apps.java_caller import caller
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


JAVA = """import android.content.Context;
import android.graphics.Bitmap;
import com.google.ai.edge.litert.LiteRtException;
import edgekit.shapes.*;

class App {
    ShapesResult classify(Context context, Bitmap bitmap) throws LiteRtException {
        LINES
    }
}
"""


def test_the_readme_s_lines_for_java(toolchain: Toolchain, shapes: Path, tmp_path: Path) -> None:
    found = re.search(r"```java\n(.+?)```", (shapes / "README.md").read_text("utf8"), flags=re.DOTALL)
    assert found is not None
    lines = found[1].replace("ShapesResult result =", "return")
    (tmp_path / "App.java").write_text(JAVA.replace("LINES", lines))
    toolchain.compile([*parts(shapes), STUBS], tmp_path / "classes")
    toolchain.compile_java([tmp_path / "App.java"], tmp_path / "classes")


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


CENTRES = (r"\((\w) - (\w) \* 0\.5f\)", r"(\1)"), (r"\((\w) \+ (\w) \* 0\.5f\)", r"(\1 + \2)")
"""Boxes by their centre, read as if by their upper left corner."""

BOX_FAULTS = {
    "corner for centre": CENTRES,
    "y for x": ((r"\(a ([-+]) c", r"(B \1 D"), (r"\(b ([-+]) d", r"(a \1 c"), (r"\(B ([-+]) D", r"(b \1 d")),
}


@pytest.mark.parametrize("fault", [None, *BOX_FAULTS])
def test_a_wrong_box_format_is_named(fault: str | None, toolchain: Toolchain, tmp_path: Path) -> None:
    """On a network that finds boxes, whose outputs are made up: no file gives them."""
    signature, described = detector()
    maker = Maker(1)
    written(tmp_path / "net", "android", signature, described, lambda _: maker.outputs(signature), target="android")
    source = next((tmp_path / "net/src/main").rglob("Postprocessing.kt"))
    text = source.read_text("utf8")
    for pattern, put in () if fault is None else BOX_FAULTS[fault]:
        text, count = re.subn(pattern, put, text)
        assert count == 2
    source.write_text(text, "utf8")
    found = failing(toolchain, tmp_path / "net", tmp_path / "classes")
    stages = {test: told for test, told in found.items() if test not in {"model", "wholePath"}}
    if fault is None:
        assert stages == {}
        return
    assert stages.keys() == {"postprocess", "wholePathRecorded"}
    assert "postprocess differs in" in stages["postprocess"]


def test_random_networks_compile_and_agree(toolchain: Toolchain, tmp_path: Path) -> None:
    """Every kind of input and every task, names that are no identifiers: one run of each compiler for all."""
    seeds, callers = range(24), tmp_path / "callers"
    callers.mkdir()
    for seed in seeds:
        maker = Maker(seed)
        signature, described = maker.network()

        def made_up(_: object, made: Callable[[], object] = lambda: maker.outputs(signature)) -> object:
            return made()

        facts = written(
            tmp_path / str(seed), "android", signature, described, made_up, name=f"wren {seed}", target="android"
        )
        (callers / f"Wren{seed}Caller.java").write_text(caller(facts), "utf8")
    assert toolchain.lint(tmp_path) == ""
    classes = tmp_path / "classes"
    toolchain.compile([*(part for seed in seeds for part in parts(tmp_path / str(seed))), STUBS], classes)
    toolchain.compile_java(sorted(callers.iterdir()), classes)
    wrong = {}
    for seed in seeds:
        tests = (f"edgekit.wren{seed}.GoldenTest", f"callers.Wren{seed}Caller")
        found = toolchain.test([classes, *resources(tmp_path / str(seed))], *tests)
        # These outputs were made up: there is no file that gives them.
        if own := {test: told for test, told in found.items() if not test.startswith(("model(", "wholePath("))}:
            wrong[seed] = own
    assert wrong == {}
