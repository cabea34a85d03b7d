"""Bundles in C++: compiled without a warning, run on golden vectors, and each fault named by the stage that it is in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.made import Maker
from tests.bundles.written import written
from tests.studies.apps import tflite_library

ROOT = Path(__file__).resolve().parents[3]
SHAPES = ROOT / "docs" / "examples" / "shapes"

FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-ffp-contract=off"]

CASES = 24

INCLUDES = [
    "algorithm",
    "array",
    "cmath",
    "cstddef",
    "cstdint",
    "cstring",
    "exception",
    "fstream",
    "functional",
    "iostream",
    "iterator",
    "limits",
    "map",
    "memory",
    "numeric",
    "stdexcept",
    "string",
    "string_view",
    "type_traits",
    "utility",
    "vector",
    "dlfcn.h",
    "tensorflow/lite/c/c_api.h",
    "tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h",
]

CASE = """namespace test_{seed} {{
#include "{seed}/tests/golden_test.cpp"
class Replay : public {ns}::Engine {{
 public:
  {ns}::Tensors Run(const {ns}::Tensors&) override {{
    const Files files("{seed}/golden", Samples().at(sample_++));
    return {{ {outputs} }};
  }}
  {ns}::Kernels Family() const override {{ return {ns}::Kernels::kFast; }}
  std::string Accelerator() const override {{ return "golden vectors"; }}
 private:
  std::size_t sample_ = 0;
}};
int Test() {{
  Report report;
  {ns}::Model stages(std::make_unique<Replay>());
  {ns}::Model whole(std::make_unique<Replay>());
  TestStages(&report, "{seed}/golden", &stages);
  TestWholePath(&report, "{seed}/golden", &whole);
  return report.Finish();
}}
}}
"""
"""All networks in one file: one run of the compiler, each in a namespace of its own, on an engine that replays."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tflite_library.Library:
    return tflite_library.fetched(tmp_path_factory.mktemp("maven"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a real build for all targets with C++."""
    folder = tmp_path_factory.mktemp("shapes")
    shutil.copytree(SHAPES, folder / "shapes")
    with (folder / "shapes/edgekit.toml").open("a") as file:
        file.write(
            '\n[[output]]\ntask = "classification"\nlabels = ["circle", "square", "triangle"]\nactivation = "softmax"\n'
        )
    env = os.environ | {"EDGEKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    targets = [part for name in ("linux-arm64", "openvino-cpu", "edgetpu") for part in ("-t", name)]
    for command in (["shapes/draw.py"], ["-m", "edgekit", "build", "shapes", "--precision", "int8", *targets]):
        subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, check=True)
    return folder / "dist" / "model"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # exponentials of random numbers
def test_random_networks_compile_and_agree(library: tflite_library.Library, tmp_path: Path) -> None:
    cases = []
    for seed in range(CASES):
        maker = Maker(seed)
        signature, described = maker.network()
        facts = written(
            tmp_path / str(seed), "linux", signature, described, lambda _, m=maker, s=signature: m.outputs(s),
            name=f"case {seed}",
        )  # fmt: skip
        ns = facts.model.snake
        outputs = (f'{ns}::Bytes(files.Of<std::uint8_t>("{tensor.name.snake}.raw"))' for tensor in facts.outputs)
        cases.append(CASE.format(seed=seed, ns=ns, outputs=", ".join(outputs)))
    calls = "".join(f"  failed += test_{seed}::Test();\n" for seed in range(CASES))
    includes = "".join(f"#include <{name}>\n" for name in INCLUDES)
    (tmp_path / "all.cpp").write_text(
        f"{includes}#define main unused_main\n{''.join(cases)}#undef main\nint main() {{\n  int failed = 0;\n{calls}  return failed;\n}}\n"
    )
    folders = [f"-I{seed}/include" for seed in range(CASES)]
    command = ["g++", *FLAGS, "-Wno-unused-function", "-isystem", library.headers, *folders, "all.cpp", library.file]
    made = subprocess.run(
        [*command, f"-Wl,-rpath,{library.file.parent}", "-ldl", "-o", "all"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[:4000]
    run = subprocess.run(["./all"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def cmake(folder: Path, build: Path, library: tflite_library.Library) -> None:
    """As the README says, with warnings as errors."""
    import openvino  # noqa: PLC0415  large

    given = {
        "TFLITE_LIBRARY": library.file, "TFLITE_INCLUDE_DIR": library.headers,
        "OpenVINO_DIR": f"{openvino.__path__[0]}/cmake", "CMAKE_CXX_FLAGS": "-Wall -Wextra -Werror",
    }  # fmt: skip
    options = [f"-D{key}={value}" for key, value in given.items()]
    for command in (["cmake", "-S", folder, "-B", build, *options], ["cmake", "--build", build]):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("target", ["linux-arm64", "openvino-cpu", "edgetpu"])
def test_a_real_bundle_agrees_to_the_bit(
    target: str, bundles: Path, library: tflite_library.Library, tmp_path: Path
) -> None:
    folder = bundles / target / "integration"
    cmake(folder if target == "linux-arm64" else folder / "cpp", tmp_path, library)
    run = subprocess.run(["ctest", "--verbose"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    for stage in ("preprocess", "quantize", "model", "dequantize"):
        assert f"agrees  {stage}, largest difference 0\n" in run.stdout
    assert "agrees  whole path" in run.stdout
    if target != "linux-arm64":
        tests = [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
        subprocess.run(tests, cwd=folder / "python", capture_output=True, check=True)


FAULTS = {
    "channel order": (r"Channels::kRgb", "Channels::kBgr", "preprocess"),
    "mean": (r"\{127\.5F, 127\.5F, 127\.5F\},  // offsets", "{126.5F, 127.5F, 127.5F},", "preprocess"),
    "resize": (r"Resize::kBilinearAntialias", "Resize::kBilinear", "preprocess"),
    "zero point in": (r"(Quantized<.*), (-?\d+)\);", r"\1, \2 + 1);", "quantize"),
    "zero point out": (r"(Dequantized\(.*), (-?\d+)\);", r"\1, \2 + 1);", "dequantize"),
    "activation": (r"Activation::kSoftmax", "Activation::kSigmoid", "postprocess"),
}
"""What people do wrong, and the stage whose test has to fail, alone but for the whole path."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, bundles: Path, library: tflite_library.Library, tmp_path: Path) -> None:
    before, after, stage = FAULTS[fault]
    folder = shutil.copytree(bundles / "linux-arm64/integration", tmp_path / "bundle")
    code = folder / "include/model/model.hpp"
    text, count = re.subn(before, after, code.read_text("utf8"))
    assert count
    code.write_text(text, "utf8")
    command = ["g++", *FLAGS, "-isystem", library.headers, "-Iinclude", "tests/golden_test.cpp", library.file]
    subprocess.run([*command, f"-Wl,-rpath,{library.file.parent}", "-o", "golden_test"], cwd=folder, check=True)
    run = subprocess.run(
        ["./golden_test", "model/model_int8.tflite", "golden"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    failed = {line.split(":")[0] for line in run.stderr.splitlines() if line.startswith("FAILED")}
    assert failed - {"FAILED whole path"} == {f"FAILED {stage}"}
    assert f"DIFFERS {stage}" in run.stdout


PROGRAM = """#include <iostream>
#include "model/model.hpp"

int main() {
  model::Picture image{40, 50, std::vector<std::uint8_t>(40 * 50 * 3, 200)};
  LINES
  std::cout << found.scores_output.front().label << "\\n";
}
"""


@pytest.mark.parametrize("target", ["linux-arm64", "openvino-cpu"])
def test_the_readme_is_enough(target: str, bundles: Path, library: tflite_library.Library, tmp_path: Path) -> None:
    """A fresh program, with the lines that the README gives to paste."""
    folder = shutil.copytree(bundles / target / "integration", tmp_path / "app" / "model")
    page = (folder / "README.md").read_text("utf8")
    build, code = (re.findall(rf"```{kind}\n(.+?)```", page, flags=re.DOTALL)[0] for kind in ("cmake", "cpp"))
    made = re.search(r"found\.(\w+)`", page)
    assert made is not None
    lines = code.split("\n", 1)[1].replace('"model/', f'"{folder}/model/')
    program = PROGRAM.replace("LINES", lines).replace("scores_output", made[1])
    (tmp_path / "app/main.cpp").write_text(program)
    (tmp_path / "app/CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(my_app LANGUAGES CXX)\nadd_executable(my_app main.cpp)\n{build}"
    )
    cmake(tmp_path / "app", tmp_path / "build", library)
    run = subprocess.run([tmp_path / "build/my_app"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() in {"circle", "square", "triangle"}


def test_formatted_as_clang_format_does(bundles: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("there is no uv to fetch clang-format")
    files = [str(file) for file in bundles.rglob("*.[hc]pp")]
    assert len(files) > 20
    command = ["uv", "tool", "run", "clang-format@21.1.2", "--dry-run", "-Werror", *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[:3000]
