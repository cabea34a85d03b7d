"""A class that has no name is called by its number, in each language that runs, and a bundle's own test sees to it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundles.facts import BundleFacts
from edgekit.nouns.description import ClassificationOutput, Description, DetectionOutput, KeypointsOutput
from edgekit.nouns.model import Signature, TensorSpec
from tests.bundles.test_python_bundles import REPLAY, tried
from tests.bundles.written import written

CLASSES = [1.0, 0.0, 7.0, -1.0]
"""What the network says of its boxes; two of these classes have names."""

OUTPUTS = {
    "boxes": np.tile(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (1, 4, 1)),
    "kinds": np.array([CLASSES], np.float32),
    "confidence": np.array([[0.9, 0.8, 0.7, 0.6]], np.float32),
    "plain": np.array([[0.1, 0.7, 0.2]], np.float32),
    "joints": np.zeros((1, 2, 2), np.float32),
}

TOLD = {"boxes": ["car", "tree", "7", "-1"], "plain": ["1", "2", "0"], "joints": ["0", "1"]}

DESCRIBED = Description(
    outputs=(
        DetectionOutput(
            name="boxes", classes="kinds", scores="confidence", labels=("tree", "car"), suppression="none", score_threshold=0.5
        ),
        ClassificationOutput(name="plain"),
        KeypointsOutput(name="joints"),
    )
)  # fmt: skip


def bundle(folder: Path, kind: str) -> BundleFacts:
    def spec(name: str, shape: tuple[int, ...]) -> TensorSpec:
        return TensorSpec(
            name=name, source_name=name, shape=shape, source_shape=shape, dtype="float32", source_dtype="float32"
        )

    signature = Signature(
        inputs=(spec("x", (1, 3)),), outputs=tuple(spec(name, values.shape) for name, values in OUTPUTS.items())
    )
    return written(folder, kind, signature, DESCRIBED, lambda _: list(OUTPUTS.values()))


FAULTS = {
    "empty": "else str(index)|else ''",
    "the last one's": "if 0 <= index < len(labels)|if index < len(labels) and labels",
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_in_python(fault: str | None, tmp_path: Path) -> None:
    facts = bundle(tmp_path, "edgetpu")
    code = tmp_path / "python" / facts.model.snake
    outputs: list[Any] = [(tensor.name.snake, tensor.dtype, tensor.shape) for tensor in facts.outputs]
    (code / "engine.py").write_text(REPLAY.format(outputs=outputs))
    if fault is not None:
        before, after = FAULTS[fault].split("|")
        text = (code / "results.py").read_text()
        assert text.count(before) == 1
        (code / "results.py").write_text(text.replace(before, after))
    run = tried(tmp_path / "python")
    assert run.returncode == (fault is not None), run.stderr
    assert ("boxes: labels" in run.stderr) is (fault is not None)
    assert ("plain: labels" in run.stderr) is (fault == "empty")


ENGINE = """#pragma once
#include <stdexcept>

#include "engine.hpp"

namespace wren {
/// In the place of the one that needs TensorFlow Lite, which post-processing does not.
class TfLiteEngine : public Engine {
 public:
  TfLiteEngine(const std::string& path, int) { throw std::runtime_error(path); }
  Tensors Run(const Tensors& inputs) override { return inputs; }
  Kernels Family() const override { return Kernels::kFast; }
  std::string Accelerator() const override { return "none"; }
};
}  // namespace wren
"""

PROGRAM = """#include <iostream>
#include "wren/model.hpp"

int main() {
  wren::Real real;
  GIVEN
  const wren::Outputs found = wren::Model::Postprocess(real);
  for (const auto& one : found.boxes) std::cout << "boxes " << one.label << "\\n";
  for (const auto& one : found.plain) std::cout << "plain " << one.label << "\\n";
  for (const auto& one : found.joints) std::cout << "joints " << one.label << "\\n";
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_in_cpp(tmp_path: Path) -> None:
    bundle(tmp_path, "linux")
    (tmp_path / "include/wren/tflite_engine.hpp").write_text(ENGINE)
    given = (f"real.{name} = {{{', '.join(f'{x}F' for x in held.ravel())}}};" for name, held in OUTPUTS.items())
    (tmp_path / "main.cpp").write_text(PROGRAM.replace("GIVEN", "\n  ".join(given)))
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Iinclude"]
    subprocess.run(["g++", *flags, "main.cpp", "-o", "main"], cwd=tmp_path, check=True)
    run = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [f"{name} {label}" for name, labels in TOLD.items() for label in labels]
