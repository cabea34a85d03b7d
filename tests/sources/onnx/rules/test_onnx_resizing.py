"""Resize in every mode, coordinate transformation and rounding; as TFLite's operator where that is the same."""

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.engine.worker import Worker
from edgekit.waist import graph
from tests.sources.onnx.onnx_cases import build, f32, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, computed, convert, draw, expected, sqnr_db

COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
EXTENTS = [f32(1, 1, 2, 2), f32(1, 1, 1.5, 1.5), f32(1, 1, 0.5, 0.5), f32(1, 1, 1.3, 0.7), i64(1, 3, 1, 1), i64(1, 3, 13, 5)]  # fmt: skip


def _resizes(settings: list[dict[str, object]], shape: tuple[int, ...] = (1, 3, 6, 8)) -> onnx.ModelProto:
    """One network in which every setting resizes the input to every extent, each an output of its own."""
    nodes, outputs, constants = [], [], []
    for number, (attributes, extent) in enumerate(product(settings, EXTENTS)):
        constants.append(numpy_helper.from_array(extent, f"s{number}"))
        inputs = ["x", "", f"s{number}"] if extent.dtype == np.float32 else ["x", "", "", f"s{number}"]
        nodes.append(helper.make_node("Resize", inputs, [f"y{number}"], **attributes))
        outputs.append(helper.make_tensor_value_info(f"y{number}", onnx.TensorProto.FLOAT, None))
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(shape))
    made = helper.make_graph(nodes, "resizes", [x], outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def _assert_exact(worker: Worker, model: onnx.ModelProto, folder: Path, least_db: float) -> None:
    path = save(folder, model)
    waist = convert(worker, path, folder / "waist")
    samples = draw(waist)
    reference, got = expected(worker, path, folder, samples), computed(waist, folder / "waist", samples)
    assert {name: sqnr_db(reference[name], got[name]) for name in reference if sqnr_db(reference[name], got[name]) < least_db} == {}  # fmt: skip


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest_is_exact(coordinates: str, worker: Worker, tmp_path: Path) -> None:
    settings: list[dict[str, object]] = [
        {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
        for rounding in ROUNDINGS
    ]
    _assert_exact(worker, _resizes(settings), tmp_path, np.inf)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_interpolation_is_exact(mode: str, worker: Worker, tmp_path: Path) -> None:
    settings: list[dict[str, object]] = [
        {"mode": mode, "coordinate_transformation_mode": coordinates, "antialias": antialias}
        for coordinates in COORDINATES
        for antialias in (0, 1)
    ]
    if mode == "cubic":
        settings.append({"mode": mode, "exclude_outside": 1, "cubic_coeff_a": -0.5})
    _assert_exact(worker, _resizes(settings), tmp_path, 100)


NATIVE = {
    "linear": ("half_pixel", "align_corners", "asymmetric"),
    "nearest": ("asymmetric",),
}


@pytest.mark.parametrize("mode", sorted(NATIVE))
def test_what_tflite_has_stays_its_operator(mode: str, worker: Worker, tmp_path: Path) -> None:
    made = [
        f'{"abc"[i]} = Resize<mode="{mode}", coordinate_transformation_mode="{name}", nearest_mode="floor">(t, , s)'
        for i, name in enumerate(NATIVE[mode])
    ]
    outputs = ", ".join(f"float[] {'abc'[i]}" for i in range(len(made)))
    body = "t = Conv(x, w) " + " ".join(made)
    model = build("float[1,3,6,8] x", body, outputs, s=f32(1, 1, 2, 2), w=(4, 3, 3, 3))
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    names = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert sum(name.startswith("RESIZE") for name in names) == len(made)


CROP = 'y = Resize<mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize">(x, r, , s)'
OTHERS: dict[str, onnx.ModelProto] = {
    "axes in any order": build("float[1,3,6,8] x", "y = Resize<axes=[3,2]>(x, , s)", opset=18, s=f32(1.5, 2)),
    "one axis": build("float[1,3,6,8] x", 'y = Resize<mode="linear", axes=[3]>(x, , , s)', opset=18, s=i64(5)),
    "channels too": build("float[1,2,4,5] x", "y = Resize(x, , s)", s=f32(1, 2, 2, 2)),
    "rank 2": build("float[6,8] x", 'y = Resize<mode="linear">(x, , s)', s=f32(1.5, 2)),
    "rank 3": build("float[1,3,8] x", 'y = Resize<mode="linear">(x, , , s)', s=i64(1, 3, 3)),
    "rank 5": build("float[1,2,4,5,6] x", 'y = Resize<mode="linear">(x, , s)', s=f32(1, 1, 2, 1.5, 2)),
    "crop": build("float[1,3,6,8] x", CROP.format(mode="linear"), s=i64(1, 3, 5, 5), r=f32(0, 0, 0.2, 0.3, 1, 1, 0.7, 0.9)),
    "crop outside": build("float[1,3,6,8] x", CROP.format(mode="nearest"), s=i64(1, 3, 5, 5), r=f32(0, 0, -0.2, 0.3, 1, 1, 0.7, 1.3)),
    "crop to a value": build("float[1,3,6,8] x", CROP.format(mode="linear").replace(">", ", extrapolation_value=-2.0>"), s=i64(1, 3, 5, 5), r=f32(0, 0, -0.2, 0.3, 1, 1, 0.7, 1.3)),
    "between convolutions": build("float[1,3,6,8] x", 't = Conv(x, w) r = Resize<mode="linear", antialias=1>(t, , , s) y = Conv(r, v)', opset=18, s=i64(1, 4, 3, 4), w=(4, 3, 3, 3), v=(2, 4, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_shapes_are_exact(name: str, worker: Worker, tmp_path: Path) -> None:
    _assert_exact(worker, OTHERS[name], tmp_path, 100)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["resize_nearest_x1.5", "resize_antialias", "prelu_full_slope"])
def test_reported_networks_are_exact(name: str, worker: Worker, tmp_path: Path, shared: Path) -> None:
    model = onnx.load(shared / "models" / "reported" / f"{name}.onnx")
    _assert_exact(worker, model, tmp_path, 100)
