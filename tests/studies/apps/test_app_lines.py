"""The lines of "Load the file in an app", taken from the page: compiled, and run where this machine has the runtime."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from tests.studies.apps import maven, tflite_library

ROOT = Path(__file__).resolve().parents[3]
SHAPES = ROOT / "docs" / "examples" / "shapes"
PAGE = (ROOT / "docs" / "how-to" / "load-in-an-app.md").read_text(encoding="utf8")

CPP = """#include <cstdio>
{includes}
int main() {{
  std::vector<uint8_t> rgb(32 * 32 * 3);
  if (std::fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) return 1;
  {lines}
  std::printf("%d %d %d %.5f", output[0], output[1], output[2], circle);
}}
"""

KOTLIN = """import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import org.tensorflow.lite.Interpreter

fun classify(context: Context, photo: Bitmap): FloatArray {{
{lines}
return scores
}}
"""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.+?)```", PAGE, flags=re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact folder that the page speaks of, built anew, and a picture in it."""
    folder = tmp_path_factory.mktemp("shapes")
    shutil.copytree(SHAPES, folder / "shapes")
    env = os.environ | {"EDGEKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    for command in (["shapes/draw.py"], ["-m", "edgekit", "build", "shapes", "--precision", "int8"]):
        subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, check=True)
    artifact = folder / "dist" / "model" / "android"
    shutil.copy(folder / "shapes/images/test/circle/000.png", artifact / "photo.png")
    return artifact


def test_cpp_computes_what_python_does(built: Path, tmp_path: Path) -> None:
    """On the picture and on noise: to one step, since the library is two versions older than Python's."""
    library, headers = tflite_library.fetched(tmp_path)
    lines = block("cpp").splitlines()
    includes = [line for line in lines if line.startswith("#")]
    (tmp_path / "app.cpp").write_text(
        CPP.format(includes="\n".join(includes), lines="\n".join(line for line in lines if line not in includes))
    )
    flags = ["-std=c++17", "-Wall", "-Werror", "-isystem", headers, f"-Wl,-rpath,{library.parent}"]
    subprocess.run(["g++", *flags, "app.cpp", library, "-o", "app"], cwd=tmp_path, check=True)

    interpreter = Interpreter(str(built / "model_int8.tflite"))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = given["quantization"]
    photo = np.asarray(Image.open(built / "photo.png").convert("RGB"))
    noise = np.random.default_rng(3).integers(0, 256, (5, 32, 32, 3), np.uint8)
    for rgb in (photo, *noise):
        run = subprocess.run(
            [tmp_path / "app"], cwd=built, input=rgb.tobytes(), stdout=subprocess.PIPE, timeout=60, check=True
        )
        *stored, circle = map(float, run.stdout.split())
        interpreter.set_tensor(taken["index"], (rgb.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        expected = interpreter.get_tensor(given["index"])[0].astype(int)
        assert np.abs(expected - stored).max() <= 1
        assert circle == pytest.approx((stored[0] - zero_point) * scale, abs=1e-3)
    assert np.ptp(expected) > 10


def test_kotlin_compiles(tmp_path: Path) -> None:
    """Against the classes of Android 14 and of TFLite for Android."""
    compiler = maven.with_dependencies("org.jetbrains.kotlin:kotlin-compiler-embeddable:2.1.0", tmp_path)
    library = next(path for path in compiler.split(os.pathsep) if "kotlin-stdlib" in path)
    classes = [library, str(maven.alone("org.robolectric:android-all:14-robolectric-10818077:jar", tmp_path))]
    for name in ("tensorflow-lite", "tensorflow-lite-api"):  # the Interpreter is split over both
        archive = maven.alone(f"org.tensorflow:{name}:2.16.1:aar", tmp_path)
        classes.append(str(maven.unpacked(archive) / "classes.jar"))
    (tmp_path / "App.kt").write_text(KOTLIN.format(lines=block("kotlin")))
    options = ["-no-stdlib", "-no-reflect", "-Werror", "-d", "compiled", "-classpath", os.pathsep.join(classes)]
    run = subprocess.run(
        ["java", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *options, "App.kt"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "compiled" / "AppKt.class").is_file()


def test_swift_parses() -> None:
    """By a grammar of Swift: names and types are not looked at, as no Swift compiler is to be had here."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    assert not parser.parse(block("swift").encode()).root_node.has_error
    assert parser.parse(b"let broken = [1, 2").root_node.has_error
