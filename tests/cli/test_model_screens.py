"""What a user sees of real builds, and of models and samples that are wrong; golden files in tests/golden/models."""

import importlib.util
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgekit import cli
from tests import networks
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("kept_workers")

GOLDEN = ROOT / "tests" / "golden" / "models"
DIGITS = ROOT / "docs" / "examples" / "digits"
CALIBRATION = ROOT / "calibration_data" / "digits.npz"


def dense(path: Path, *, shape: list[Any], weights: Any = None, names: tuple[str, str] = ("y", "z")) -> None:
    """x → MatMul → Relu, of opset 13."""
    values = np.ones((4, 3), np.float32) if weights is None else weights
    nodes = [helper.make_node("MatMul", ["x", "w"], [names[0]]), helper.make_node("Relu", [names[0]], [names[1]])]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [shape[0], 3])],
        [numpy_helper.from_array(values, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def newer(path: Path) -> None:
    """The dense network as of an opset that does not exist yet."""
    dense(path, shape=[1, 4])
    model = onnx.load(path)
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())


def alien(path: Path) -> None:
    """An operator of a domain that nobody knows."""
    node = helper.make_node("Teleport", ["x"], ["y"], domain="com.example")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([node], "alien", [x], [y])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.example", 1)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def configured(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The digits model with another configuration."""
    with zipfile.ZipFile(DIGITS / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)


def to_lambda(config: dict[str, Any]) -> None:
    layer = config["config"]["layers"][1]
    layer.update({"module": "keras.layers", "class_name": "Lambda", "registered_name": None})
    layer["config"] = {"name": "twice", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}


def to_own_layer(config: dict[str, Any]) -> None:
    layer = config["config"]["layers"][1]
    layer.update({"module": "mypackage", "class_name": "Own", "registered_name": "mypackage>Own"})


def nan_weights(path: Path) -> None:
    shutil.copy(DIGITS / "model.keras", path)
    content = {}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    weights = path.with_suffix(".weights")
    weights.write_bytes(content["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        found: list[Any] = []
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.size else None)
        found[0][...] = np.nan
    content["model.weights.h5"] = weights.read_bytes()
    weights.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def weights_only(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"dense"])
        file.create_group("dense").create_dataset("kernel", data=np.ones((2, 2), np.float32))


def truncated(path: Path) -> None:
    path.write_bytes((DIGITS / "model.keras").read_bytes()[:5000])


def integers(path: Path) -> None:
    """x [1, 640] → FULLY_CONNECTED → [1, 64], all in int8, as a quantizer writes it."""
    net = networks.Network()
    x, kernel, bias = (
        net.input("x", (1, 640), "int8"),
        net.constant("k", np.ones((64, 640), np.int8)),
        net.constant("b", np.ones(64, np.int32)),
    )
    y = net.operator(
        "FULLY_CONNECTED", [x, kernel, bias], (1, 64), name="y", dtype="int8", kind="FullyConnectedOptions"
    )
    for tensor, scale in ((x, 0.5), (kernel, 0.1), (bias, 0.05), (y, 1.0)):
        net.subgraph.tensors[tensor].quantization = schema.QuantizationParametersT()
        net.subgraph.tensors[tensor].quantization.scale = [scale]
        net.subgraph.tensors[tensor].quantization.zeroPoint = [0]
    net.save(path, y)


def truncated_hdf5(path: Path) -> None:
    with zipfile.ZipFile(DIGITS / "model.keras") as archive:
        path.write_bytes(archive.read("model.weights.h5")[:2000])


def truncated_folder(path: Path) -> None:
    """How every SavedModel begins: schema version 1, then a graph of 5410 bytes, which are not there."""
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xa2\x2a\x0a\x1f")


def gaps(path: Path) -> None:
    """Images of which two have a missing pixel."""
    images = np.zeros((100, 8, 8, 1), np.float32)
    images[[3, 50], 2, 2] = np.nan
    np.savez(path, images)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad models and samples, as the current one."""
    desk = tmp_path / "desk"
    desk.mkdir()
    shutil.copy(DIGITS / "model.keras", desk)
    shutil.copy(CALIBRATION, desk / "digits.npz")
    shutil.copy(ROOT / "calibration_data" / "digits_test.npz", desk / "test.npz")
    integers(desk / "int8.tflite")
    dense(desk / "good.onnx", shape=[1, 4])
    dense(desk / "open.onnx", shape=["batch", "length"])
    dense(desk / "nan.onnx", shape=[1, 4], weights=np.full((4, 3), np.nan, np.float32))
    dense(desk / "zero.onnx", shape=[1, 0], weights=np.ones((0, 3), np.float32))
    dense(desk / "duplicate.onnx", shape=[1, 4], names=("y", "y"))
    (desk / "truncated.onnx").write_bytes((desk / "good.onnx").read_bytes()[:60])
    alien(desk / "alien.onnx")
    newer(desk / "newer.onnx")
    configured(desk / "lambda.keras", to_lambda)
    configured(desk / "own.keras", to_own_layer)
    nan_weights(desk / "nan.keras")
    weights_only(desk / "weights.h5")
    truncated(desk / "truncated.keras")
    truncated_hdf5(desk / "truncated.h5")
    truncated_folder(desk / "truncated")
    gaps(desk / "gaps.npz")
    np.savez(desk / "narrow.npz", np.zeros((100, 4, 4, 1), np.float32))
    np.savez(desk / "other.npz", left=np.zeros((9, 8, 8, 1), np.float32), right=np.zeros((9, 2), np.float32))
    (desk / "pictures").mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(desk / "pictures" / f"{i}.png")
    np.savez(desk / "words.npz", np.array(["a", "b"]))
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
    return desk


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def screen(desk: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    code = cli.run(arguments)
    out, err = capfd.readouterr()
    text = f"$ edgekit {' '.join(arguments)}\n{err}{out}exit code {code}\n"
    text = text.replace(str(desk), "DESK").replace(str(desk.parent / "cache"), "CACHE")
    text = re.sub(r"/\d+\.log", "/PID.log", text)
    text = re.sub(r"(ONNX Runtime|knows is|opset_version=)( ?)\d[\d.]*\d", r"\1\2N", text)  # as it is installed
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def compare(name: str, seen: str, request: pytest.FixtureRequest) -> None:
    assert "Traceback" not in seen
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")


def android(model: str, *more: str) -> list[str]:
    return ["build", model, "-t", "android", *more]


REFUSED = {
    "dynamic": (2, android("open.onnx", "--precision", "float16")),
    "nan_onnx": (2, android("nan.onnx", "--precision", "float16")),
    "nan_keras": (2, android("nan.keras", "--precision", "float16")),
    "zero_dimension": (2, android("zero.onnx", "--precision", "float16")),
    "duplicate_names": (2, android("duplicate.onnx", "--precision", "float16")),
    "truncated_onnx": (2, android("truncated.onnx", "--precision", "float16")),
    "truncated_hdf5": (2, android("truncated.h5", "--precision", "float16")),
    "truncated_savedmodel": (2, android("truncated", "--precision", "float16")),
    "truncated_keras": (2, android("truncated.keras", "--precision", "float16")),
    "newer_opset": (2, android("newer.onnx", "--precision", "float16")),
    "unknown_domain": (4, android("alien.onnx", "--precision", "float16")),
    "lambda": (2, android("lambda.keras", "--precision", "float16")),
    "own_layer": (2, android("own.keras", "--precision", "float16")),
    "weights_only": (2, android("weights.h5", "--precision", "float16")),
    "samples_shape": (2, android("model.keras", "--calibration", "narrow.npz")),
    "samples_names": (2, android("model.keras", "--calibration", "other.npz")),
    "samples_dtype": (2, android("model.keras", "--calibration", "words.npz")),
    "samples_nan": (2, android("model.keras", "--calibration", "gaps.npz")),
    "samples_missing": (2, android("model.keras", "--calibration", "none.npz")),
    "quantized_already": (4, android("int8.tflite", "--precision", "float16")),
    "no_labels": (2, android("model.keras", "--calibration", "digits.npz", "--eval", "digits.npz", "--metric", "top1")),
    "no_compiler": (3, ["build", "model.keras", "-t", "edgetpu", "--calibration", "digits.npz", "--require-compiled"]),
}
"""Refusals: name → exit code and command line."""


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_problem_place_and_fix(
    name: str, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    code, arguments = REFUSED[name]
    before = contents(desk)
    seen = screen(desk, arguments, capfd)
    assert seen.endswith(f"exit code {code}\n")
    assert "fix: " in seen
    assert contents(desk) == before  # nothing half-written, nothing modified
    compare(name, seen, request)


ACCEPTED = {
    "built": android(
        "model.keras", "--calibration", "digits.npz", "--eval", "test.npz", "--metric", "top1", "--max-drop", "0.01"
    ),
    "pictures": android("model.keras", "--calibration", "pictures", "--precision", "int8"),
    "inspected": ["inspect", "model.keras"],
    "inspected_int8": ["inspect", "int8.tflite"],
    "checked_int8": ["check", "int8.tflite", "-t", "edgetpu"],
    "checked": ["check", "model.keras", "-t", "android", "-t", "edgetpu"],
    "float_onnx": android("open.onnx", "--shape", "x=1,4", "--precision", "float32"),
}
"""Screens of what works: name → command line."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_works(name: str, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    seen = screen(desk, ACCEPTED[name], capfd)
    assert seen.endswith("exit code 0\n")
    compare(name, re.sub(r"\d+\.\d dB", "N dB", seen), request)


def test_a_missing_extra_is_exit_3_with_the_pip_line(
    desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnx2tf" else find(name, *rest)
    )
    seen = screen(desk, android("good.onnx", "--precision", "float16"), capfd)
    assert seen.endswith("exit code 3\n")
    compare("missing_extra", seen, request)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["deeploy_mlperf_ic", "superres_prepost_op18_customops"])
def test_invalid_models_of_others_are_refused(
    model: str, shared: Path, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    shutil.copy(shared / "models" / "onnx_invalid" / f"{model}.onnx", desk / "invalid.onnx")
    seen = screen(desk, android("invalid.onnx", "--precision", "float16"), capfd)
    assert re.search(r"exit code [24]\n$", seen)
    assert not (desk / "dist").exists()
    compare(model, seen, request)


def test_there_is_no_golden_without_its_command() -> None:
    others = {"missing_extra", "deeploy_mlperf_ic", "superres_prepost_op18_customops"}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*REFUSED, *ACCEPTED, *others}
