"""Android bundles on a JVM: Kotlin's compiler, Android's and TFLite's classes, and TFLite for this machine as the engine.

LiteRT's library is on no registry that these tests reach: what uses it is compiled against `stubs`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.nouns.model import Cost
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


@dataclass(frozen=True)
class Compiled:
    """Bundles by what is wrong with them ("": nothing), and the classes of all of them."""

    bundles: dict[str, Path]
    classes: Path


@pytest.fixture(scope="module")
def compiled(toolchain: Toolchain, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The real bundle, and one for each fault in a package of its own: Kotlin's compiler is slow to start."""
    folder = tmp_path_factory.mktemp("compiled")
    bundles = {"": shapes}
    for number, fault in enumerate(FAULTS):
        bundles[fault] = moved(shapes, folder / f"shapes{number}")
        plant(bundles[fault], fault)
    for number, (fault, changes) in enumerate(BOX_FAULTS.items()):
        bundles[fault] = detecting(folder / f"boxes{number}", changes)
    toolchain.compile([*(part for bundle in bundles.values() for part in parts(bundle)), STUBS], folder / "classes")
    return Compiled(bundles, folder / "classes")


def moved(bundle: Path, to: Path) -> Path:
    """A copy whose code is in a package of its folder's name."""
    shutil.copytree(bundle, to)
    for file in to.rglob("*.kt"):
        file.write_text(re.sub(r"\bedgekit\.shapes\b", f"edgekit.{to.name}", file.read_text("utf8")), "utf8")
    for folder in list(to.rglob("kotlin/edgekit/shapes")):
        folder.rename(folder.with_name(to.name))
    return to


def failing(toolchain: Toolchain, compiled: Compiled, fault: str) -> dict[str, str]:
    """The tests of a bundle that fail, by their names alone."""
    bundle = compiled.bundles[fault]
    package = next((bundle / "src/main/kotlin/edgekit").iterdir()).name
    found = toolchain.test([compiled.classes, *resources(bundle)], f"edgekit.{package}.GoldenTest")
    return {test.partition("(")[0]: message for test, message in found.items()}


def test_the_whole_path_of_a_real_build(toolchain: Toolchain, shapes: Path, compiled: Compiled) -> None:
    assert failing(toolchain, compiled, "") == {}
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


def test_the_readme_s_lines_for_java(toolchain: Toolchain, shapes: Path, compiled: Compiled, tmp_path: Path) -> None:
    found = re.search(r"```java\n(.+?)```", (shapes / "README.md").read_text("utf8"), flags=re.DOTALL)
    assert found is not None
    lines = found[1].replace("ShapesResult result =", "return")
    (tmp_path / "App.java").write_text(JAVA.replace("LINES", lines))
    toolchain.compile_java([tmp_path / "App.java"], compiled.classes)


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


def plant(bundle: Path, fault: str) -> None:
    """Make a fault in a bundle."""
    file, pattern, put, _ = FAULTS[fault]
    source = next((bundle / "src" / "main").rglob(file))
    text, count = re.subn(pattern, put, source.read_text())
    assert count, source.read_text()
    source.write_text(text + NEAREST * (fault == "resize mode"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault: str, toolchain: Toolchain, compiled: Compiled) -> None:
    found, stage = failing(toolchain, compiled, fault), FAULTS[fault][-1]
    assert {test for test in found if not test.startswith("whole")} == {stage}, found
    assert f"{stage} differs in" in found[stage]
    # A softmax behind it takes the same from all scores away again.
    assert ("wholePathRecorded" in found) is (fault != "zero point of the output")


CENTRES = (r"\((\w) - (\w) \* 0\.5f\)", r"(\1)"), (r"\((\w) \+ (\w) \* 0\.5f\)", r"(\1 + \2)")
"""Boxes by their centre, read as if by their upper left corner."""

NO_FAULT = "none, in boxes"

BOX_FAULTS: dict[str, tuple[tuple[str, str], ...]] = {
    NO_FAULT: (),
    "corner for centre": CENTRES,
    "score threshold": ((r">= 0\.1f", ">= 0.11f"),),
    "IoU threshold": ((r"> 0\.5f", "> 0.45f"),),
    "most boxes": ((r"== 15\)", "== 16)"),),
    "labels exchanged": ((r"\Atree\ncar", "car\ntree"),),
    "a label missing": ((r"\Atree\n", ""),),
    "y for x": ((r"\(a ([-+]) c", r"(B \1 D"), (r"\(b ([-+]) d", r"(a \1 c"), (r"\(B ([-+]) D", r"(b \1 d")),
}


def detecting(folder: Path, changes: tuple[tuple[str, str], ...]) -> Path:
    """The bundle of a network that finds boxes, whose outputs are made up, with changes of its post-processing."""
    signature, described = detector()
    maker = Maker(1)

    def outputs(_: object) -> object:
        return maker.outputs(signature)

    written(folder, "android", signature, described, outputs, name=folder.name, target="android")
    for pattern, put in changes:
        source = next((folder / "src/main").rglob("*_labels.txt" if "tree" in pattern else "Postprocessing.kt"))
        text, count = re.subn(pattern, put, source.read_text("utf8"))
        assert count in {1, 2}
        source.write_text(text, "utf8")
    return folder


@pytest.mark.parametrize("fault", BOX_FAULTS)
def test_wrong_boxes_are_named(fault: str, toolchain: Toolchain, compiled: Compiled) -> None:
    found = failing(toolchain, compiled, fault)
    # No file gives these outputs.
    stages = {test: told for test, told in found.items() if test not in {"model", "wholePath"}}
    if fault == NO_FAULT:
        assert stages == {}
        return
    assert stages.keys() - {"wholePathRecorded"} == {"postprocess"}  # a build's samples seldom come near a threshold
    assert "postprocess differs in" in stages["postprocess"]
    assert ("label" in fault) <= ("postprocess differs in found, labels" in stages["postprocess"])


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 24), marks=pytest.mark.long)], ids=["few", "many"])
def test_random_networks_compile_and_agree(seeds: range, toolchain: Toolchain, tmp_path: Path) -> None:
    """Every kind of input and every task, names that are no identifiers: one run of each compiler for all."""
    callers = tmp_path / "callers"
    callers.mkdir()
    for seed in seeds:
        maker = Maker(seed)
        signature, described = maker.network()

        def made_up(_: object, made: Callable[[], object] = lambda: maker.outputs(signature)) -> object:
            return made()

        kinds = {"ADD": 1} if seed % 2 else {"SVDF": 1}  # every second one holds a state
        cost = Cost(bytes=0, parameters=0, macs=0, peak_activation_bytes=0, operators=kinds)
        facts = written(
            tmp_path / str(seed), "android", signature, described, made_up, name=f"wren {seed}", target="android", cost=cost
        )  # fmt: skip
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
