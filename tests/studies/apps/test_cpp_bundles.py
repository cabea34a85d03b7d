"""Bundles in C++: compiled without a warning, run on golden vectors, and each fault named by the stage that it is in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.nouns.description import ClassificationOutput, Description, EmbeddingOutput
from edgekit.nouns.model import Signature, TensorSpec
from tests import networks
from tests.bundles.made import Maker, detector
from tests.bundles.test_state import on_litert
from tests.bundles.written import written
from tests.stateful import summing
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
    for command in (
        ["shapes/draw.py"],
        ["-m", "edgekit", "build", "shapes", "--precision", "int8", "--sample-app", *targets],
    ):
        subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, check=True)
    return folder / "dist" / "model"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # exponentials of random numbers
def test_random_networks_compile_and_agree(library: tflite_library.Library, tmp_path: Path) -> None:
    for seed in range(CASES):
        maker = Maker(seed)
        signature, described = maker.network()
        bundled(tmp_path / str(seed), signature, described, maker)
    run = replayed(tmp_path, [str(seed) for seed in range(CASES)], library)
    assert run.returncode == 0, run.stderr


def bundled(folder: Path, signature: Signature, described: Description, maker: Maker) -> None:
    """A bundle whose network's outputs are made up, and beside it what tests it on an engine that replays them."""
    facts = written(
        folder, "linux", signature, described, lambda _: maker.outputs(signature), name=f"case {folder.name}"
    )
    ns = facts.model.snake
    outputs = (f'{ns}::Bytes(files.Of<std::uint8_t>("{tensor.name.snake}.raw"))' for tensor in facts.outputs)
    folder.with_suffix(".case").write_text(CASE.format(seed=folder.name, ns=ns, outputs=", ".join(outputs)))


def replayed(folder: Path, cases: list[str], library: tflite_library.Library) -> subprocess.CompletedProcess[str]:
    """Compile several such bundles in one run, and test them."""
    includes = "".join(f"#include <{name}>\n" for name in INCLUDES)
    code = "".join((folder / f"{case}.case").read_text() for case in cases)
    calls = "".join(f'  failed += test_{case}::Test();\n  std::cerr << "NEXT\\n";\n' for case in cases)
    (folder / "all.cpp").write_text(
        f"{includes}#define main unused_main\n{code}#undef main\nint main() {{\n  int failed = 0;\n{calls}  return failed;\n}}\n"
    )
    folders = [f"-I{case}/include" for case in cases]
    command = ["g++", *FLAGS, "-Wno-unused-function", "-isystem", library.headers, *folders, "all.cpp", library.file]
    made = subprocess.run(
        [*command, f"-Wl,-rpath,{library.file.parent}", "-ldl", "-o", "all"], cwd=folder, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[:4000]
    return subprocess.run(["./all"], cwd=folder, capture_output=True, text=True, check=False)


BOX_FAULTS = {
    "": ("", ""),
    "corner": ("BoxFormat::kCxcywh", "BoxFormat::kXywh"),
    "x_for_y": ("BoxFormat::kCxcywh", "BoxFormat::kCycxhw"),
    "score_threshold": ("0.1F,  // score", "0.11F,  // score"),
    "iou_threshold": ("0.5F,  // IoU", "0.55F,  // IoU"),
    "most_boxes": ("15,  // most", "14,  // most"),
    "labels_exchanged": ('"tree",\n      "car",', '"car",\n      "tree",'),
    "label_missing": ('      "tree",\n', ""),
}
"""What people do wrong on a network that finds boxes; all of it is in post-processing."""


def test_wrong_boxes_are_named(library: tflite_library.Library, tmp_path: Path) -> None:
    """All in one run of the compiler, each in a namespace of its own."""
    cases = [fault or "none" for fault in BOX_FAULTS]
    for case, (before, after) in zip(cases, BOX_FAULTS.values(), strict=True):
        signature, described = detector()
        bundled(tmp_path / case, signature, described, Maker(1))
        (code,) = (tmp_path / case / "include").rglob("model.hpp")
        text = code.read_text("utf8")
        assert not before or text.count(before) == 1
        code.write_text(text.replace(before, after) if before else text, "utf8")
    run = replayed(tmp_path, cases, library)
    for case, part in zip(cases, run.stderr.split("NEXT\n")[:-1], strict=True):
        failed = {line.split(":")[0] for line in part.splitlines() if line.startswith("FAILED")}
        stages = failed - {"FAILED whole path"}  # samples of a build seldom come near a threshold
        assert stages == (set() if case == "none" else {"FAILED postprocess"}), (case, part)
        assert ("labels" in case) <= ("found, labels" in part)


class Drifting(Maker):
    """Outputs whose numbers are nearly all the same: adding them up in float32, each sum is rounded to the same side."""

    def outputs(self, signature: Signature) -> list[Any]:
        made = [np.full(spec.shape, -2.3, np.float32) for spec in signature.outputs]
        for values in made:
            values[0, 0] = 0
        return made


def test_long_sums_agree(library: tflite_library.Library, tmp_path: Path) -> None:
    """Of thousands of classes, and of the length of a long vector."""
    specs = [
        TensorSpec(
            name=name,
            source_name=name,
            shape=(1, 5000),
            source_shape=(1, 5000),
            dtype="float32",
            source_dtype="float32",
        )
        for name in ("image", "classes", "vector")
    ]
    rows = ClassificationOutput(name="classes", activation="softmax"), EmbeddingOutput(name="vector", normalize=True)
    signature = Signature(inputs=tuple(specs[:1]), outputs=tuple(specs[1:]))
    bundled(tmp_path / "sums", signature, Description(outputs=rows), Drifting(1))
    run = replayed(tmp_path, ["sums"], library)
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
    code = folder / "include/classifier/model.hpp"
    text, count = re.subn(before, after, code.read_text("utf8"))
    assert count
    code.write_text(text, "utf8")
    command = ["g++", *FLAGS, "-isystem", library.headers, "-Iinclude", "tests/golden_test.cpp", library.file]
    subprocess.run([*command, f"-Wl,-rpath,{library.file.parent}", "-o", "golden_test"], cwd=folder, check=True)
    run = subprocess.run(
        ["./golden_test", "model/classifier_int8.tflite", "golden"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    failed = {line.split(":")[0] for line in run.stderr.splitlines() if line.startswith("FAILED")}
    assert failed - {"FAILED whole path"} == {f"FAILED {stage}"}
    assert f"DIFFERS {stage}" in run.stdout


@pytest.mark.parametrize("carried", [True, False])
def test_a_state_that_is_not_carried_is_named(
    *, carried: bool, library: tflite_library.Library, tmp_path: Path
) -> None:
    path = summing(tmp_path / "model.tflite")
    facts = written(tmp_path, "linux", networks.signature(path), Description(), on_litert(path))
    if not carried:
        code = tmp_path / "include" / facts.model.snake / "tflite_engine.hpp"
        text, invoke = code.read_text("utf8"), "    Require(TfLiteInterpreterInvoke("
        assert text.count(invoke) == 1
        reset = "TfLiteInterpreterResetVariableTensors(interpreter_.get());\n"
        text = text.replace(invoke, f"    {reset}{invoke}").replace("\nnamespace", f"\n{DECLARED}\nnamespace", 1)
        code.write_text(text, "utf8")
    command = ["g++", *FLAGS, "-isystem", library.headers, "-Iinclude", "tests/golden_test.cpp", library.file]
    subprocess.run([*command, f"-Wl,-rpath,{library.file.parent}", "-o", "golden_test"], cwd=tmp_path, check=True)
    run = subprocess.run(
        ["./golden_test", "model.tflite", "golden"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    failed = {line.split(":")[0] for line in run.stderr.splitlines() if line.startswith("FAILED")}
    assert failed == (set() if carried else {"FAILED model"}), run.stderr
    assert run.returncode == (not carried)


DECLARED = 'extern "C" TfLiteStatus TfLiteInterpreterResetVariableTensors(TfLiteInterpreter*);'
"""Of `c_api_experimental.h`, which the library exports, and its headers here lack."""


PROGRAM = """#include <iostream>
#include "classifier/model.hpp"

int main() {
  classifier::Picture image{40, 50, std::vector<std::uint8_t>(40 * 50 * 3, 200)};
  LINES
  std::cout << found.scores_output.front().label << "\\n" << model.Accelerator() << "\\n";
}
"""

PYTHON_PROGRAM = """import numpy as np
image = np.full((40, 50, 3), 200, np.uint8)
LINES
print(found.scores_output[0].label)
print(model.accelerator)
"""

LABELS = {"circle", "square", "triangle"}

DELEGATE = """#include <cstdio>
#include "tensorflow/lite/c/common.h"

namespace {
TfLiteStatus Prepare(TfLiteContext*, TfLiteDelegate*) { std::puts("prepared"); return kTfLiteOk; }
}  // namespace

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(char**, char**, size_t, void (*)(const char*)) {
  std::puts("created");
  static TfLiteDelegate delegate{};
  delegate.Prepare = Prepare;
  return &delegate;
}

extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate*) { std::puts("destroyed"); std::fflush(stdout); }
"""
"""In the place of libedgetpu: a delegate that leaves all operators to the CPU, and says what is done with it."""


def lines_of(page: str, language: str, folder: Path) -> str:
    """What a README gives to paste, with the place of the network's file."""
    found = re.findall(rf"```{language}\n(.+?)```", page, flags=re.DOTALL)
    lines = found[0].split("\n", 1)[1] if language == "cpp" else found[0]
    return str(lines).replace('"model/', f'"{folder}/model/')


def fresh_program(folder: Path) -> str:
    """A program in C++ with the lines of a bundle's README, in the folder above; the page."""
    page = (folder / "README.md").read_text("utf8")
    made = re.search(r"found\.(\w+)`", page)
    assert made is not None
    program = PROGRAM.replace("LINES", lines_of(page, "cpp", folder)).replace("scores_output", made[1])
    (folder.parent / "main.cpp").write_text(program)
    build = re.findall(r"```cmake\n(.+?)```", page, flags=re.DOTALL)[0]
    (folder.parent / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(my_app LANGUAGES CXX)\nadd_executable(my_app main.cpp)\n{build}"
    )
    return page


@pytest.mark.parametrize("target", ["linux-arm64", "openvino-cpu"])
def test_the_readme_is_enough(target: str, bundles: Path, library: tflite_library.Library, tmp_path: Path) -> None:
    """A fresh program, with the lines that the README gives to paste."""
    folder = shutil.copytree(bundles / target / "integration", tmp_path / "app" / "classifier")
    page = fresh_program(folder)
    cmake(tmp_path / "app", tmp_path / "build", library)
    run = subprocess.run([tmp_path / "build/my_app"], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0] in LABELS
    if target == "openvino-cpu":
        run = python_program(folder, page, {})
        assert run.stdout.splitlines()[0] in LABELS


def python_program(folder: Path, page: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A fresh program in Python beside the bundle's package, with the lines of its README."""
    shutil.copytree(folder / "python/classifier", folder.parent / "classifier_app/classifier")
    made = re.search(r"found\.(\w+)`", page)
    assert made is not None
    program = PYTHON_PROGRAM.replace("LINES", lines_of(page, "python", folder)).replace("scores_output", made[1])
    (folder.parent / "classifier_app/app.py").write_text(program)
    command = [sys.executable, folder.parent / "classifier_app/app.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | env)


def test_the_readme_is_enough_for_an_edge_tpu(bundles: Path, library: tflite_library.Library, tmp_path: Path) -> None:
    """With a delegate of our own in the place of libedgetpu, and a file that says that it is compiled."""
    folder = shutil.copytree(bundles / "edgetpu/integration", tmp_path / "app" / "classifier")
    plain = (folder / "model/classifier_int8.tflite").read_bytes()
    (folder / "model/classifier_int8_edgetpu.tflite").write_bytes(plain + b"edgetpu-custom-op")
    (tmp_path / "delegate.cpp").write_text(DELEGATE)
    command = ["g++", "-shared", "-fPIC", "-isystem", library.headers, "delegate.cpp", "-o", "libedgetpu.so.1"]
    subprocess.run(command, cwd=tmp_path, check=True)
    page = fresh_program(folder)
    cmake(tmp_path / "app", tmp_path / "build", library)
    env = {"LD_LIBRARY_PATH": str(tmp_path)}
    app = tmp_path / "build/my_app"
    run = subprocess.run([app], capture_output=True, text=True, check=True, env=os.environ | env)
    created, prepared, label, accelerator, destroyed = run.stdout.splitlines()
    assert (created, prepared, destroyed) == ("created", "prepared", "destroyed")
    assert label in LABELS
    assert accelerator.startswith("Edge TPU")
    alone = subprocess.run([app], capture_output=True, text=True, check=False)
    assert "libedgetpu.so.1 cannot be loaded" in alone.stderr
    run = python_program(folder, page, env)
    assert {"created", "prepared", "Edge TPU"} < set(run.stdout.splitlines())
    assert LABELS & set(run.stdout.splitlines())


@pytest.mark.parametrize("target", ["linux-arm64", "openvino-cpu", "edgetpu"])
def test_sample_apps_run(target: str, bundles: Path, library: tflite_library.Library, tmp_path: Path) -> None:
    """On a golden sample, and on a picture."""
    folder = bundles / target / "integration/sample-app"
    cmake(folder, tmp_path / "build", library)
    (tmp_path / "photo.ppm").write_bytes(b"P6 3 2 255\n" + bytes(range(18)))
    for given in ([], [tmp_path / "photo.ppm"], [tmp_path / "none.ppm"]):
        run = subprocess.run([tmp_path / "build/classifier_app", *given], capture_output=True, text=True, check=False)
        assert run.returncode == ("none" in str(given)), run.stderr
        assert any(label in run.stdout for label in LABELS) is (run.returncode == 0)
    if target != "linux-arm64":
        run = subprocess.run([sys.executable, folder / "app.py"], capture_output=True, text=True, check=True)
        assert any(label in run.stdout for label in LABELS)


def test_formatted_as_clang_format_does(bundles: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("there is no uv to fetch clang-format")
    files = [str(file) for file in bundles.rglob("*.[hc]pp")]
    assert len(files) > 20
    command = ["uv", "tool", "run", "clang-format@21.1.2", "--dry-run", "-Werror", *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[:3000]


CHECKS = (
    "-*,bugprone-*,clang-analyzer-*,concurrency-*,misc-unused-*,modernize-*,performance-*,portability-*"
    # Fixed-point arithmetic and rounding are Pillow's; the others are matters of taste.
    ",-bugprone-signed-bitwise,-bugprone-incorrect-roundings,-bugprone-easily-swappable-parameters"
    ",-modernize-use-trailing-return-type,-performance-enum-size,-portability-avoid-pragma-once"
)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_clang_tidy_has_nothing_to_say(library: tflite_library.Library, tmp_path: Path) -> None:
    """Of three networks that have every kind of input and task between them, one for each engine."""
    import openvino  # noqa: PLC0415  large

    if shutil.which("uv") is None:
        pytest.skip("there is no uv to fetch clang-tidy")
    for kind, seed in {"linux": 21, "edgetpu": 12, "openvino": 11}.items():
        maker = Maker(seed)
        signature, described = maker.network()
        written(
            tmp_path / kind, kind, signature, described, lambda _, m=maker, s=signature: m.outputs(s), name=f"case {seed}"
        )  # fmt: skip
    files = [*tmp_path.rglob("golden_test.cpp"), *tmp_path.rglob("main.cpp")]
    assert len(files) == 6
    system = [library.headers, Path(openvino.__path__[0]) / "include"]
    flags = ["-std=c++17", '-DBUNDLE=".."', *(f"-I{folder}" for folder in tmp_path.rglob("include"))]
    command = ["uv", "tool", "run", "clang-tidy@23.1.4", "--quiet", f"--checks={CHECKS}", "--warnings-as-errors=*"]
    run = subprocess.run(
        [*command, f"--header-filter={tmp_path}.*", *files, "--", *flags, *(f"-isystem{folder}" for folder in system)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:]
