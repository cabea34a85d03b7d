"""Layouts at the boundary: recorded by construction, and a wrong one is caught though dimensions are equal."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.model import Signature, SourceOptions
from edgekit.waist import graph
from tests.sources.onnx.onnx_cases import CASES, build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, computed, convert, draw, expected, sqnr_db

CUBE = build("float[1,8,8,8] x", "y = Conv<pads=[1,1,1,1]>(x, w)", w=(8, 8, 3, 3))


def test_images_enter_and_leave_with_their_channels_last(worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, CUBE), tmp_path)
    (x,), (y,) = waist.signature.inputs, waist.signature.outputs
    assert x.permutation == y.permutation == (0, 2, 3, 1)
    assert (x.layout, x.source_layout) == (y.layout, y.source_layout) == ("NHWC", "NCHW")
    operators = graph.read(tmp_path / "waist" / waist.file)[0].operators
    assert [o.name for o in operators if o.name == "TRANSPOSE"] == []


def test_keep_layout_keeps_the_source_shape_and_values(worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, CASES["conv"]), tmp_path, SourceOptions(keep_layout=True))
    for spec in (*waist.signature.inputs, *waist.signature.outputs):
        assert spec.permutation is None
        assert spec.shape == spec.source_shape


@pytest.mark.parametrize("wrong", [None, (0, 3, 2, 1), (0, 2, 1, 3), (0, 3, 1, 2)])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_wrong_permutation_of_equal_dimensions_is_caught(
    wrong: tuple[int, ...] | None, side: str, worker: Worker, tmp_path: Path
) -> None:
    path = save(tmp_path, CUBE)
    waist = convert(worker, path, tmp_path / "waist")
    spec = msgspec.structs.replace(getattr(waist.signature, side)[0], permutation=wrong)
    planted = msgspec.structs.replace(waist, signature=msgspec.structs.replace(waist.signature, **{side: (spec,)}))
    samples = draw(waist)
    reference = expected(worker, path, tmp_path, samples)
    assert sqnr_db(reference["y"], computed(waist, tmp_path / "waist", samples)["y"]) >= 60
    assert sqnr_db(reference["y"], computed(planted, tmp_path / "waist", samples)["y"]) < 20


def test_an_output_that_others_read_keeps_its_layout(worker: Worker, tmp_path: Path) -> None:
    model = build(
        "float[1,8,8,8] x",
        "a = Conv<pads=[1,1,1,1]>(x, w) r = Reshape(a, s) y = Softmax<axis=1>(r)",
        "float[] a, float[] y", w=(8, 8, 3, 3), s=i64(1, 512),
    )  # fmt: skip
    assert_faithful(worker, save(tmp_path, model), tmp_path)


def test_an_input_that_is_read_in_two_layouts_keeps_its_own(worker: Worker, tmp_path: Path) -> None:
    model = build(
        "float[1,8,8,8] x",
        "a = Conv<pads=[1,1,1,1]>(x, w) r = Reshape(x, s) t = Transpose<perm=[0,2,1]>(r) q = Reshape(t, u) y = Add(a, q)",
        w=(8, 8, 3, 3), s=i64(1, 8, 64), u=i64(1, 8, 8, 8),
    )  # fmt: skip
    assert_faithful(worker, save(tmp_path, model), tmp_path)


def test_names_and_order_are_those_of_the_source(worker: Worker, tmp_path: Path) -> None:
    model = build(
        "float[1,3,4,4] second, float[1,3,4,4] first",
        "b = Conv(second, w) a = Conv(first, w) z = Relu(a)",
        "float[] z, float[] b", w=(2, 3, 3, 3),
    )  # fmt: skip
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    assert [spec.source_name for spec in waist.signature.inputs] == ["second", "first"]
    assert [spec.source_name for spec in waist.signature.outputs] == ["z", "b"]
    main = graph.read(tmp_path / "waist" / waist.file)[0]
    assert [main.tensors[i].name for i in main.inputs] == [spec.name for spec in waist.signature.inputs]
    assert [main.tensors[i].name for i in main.outputs] == [spec.name for spec in waist.signature.outputs]


def test_the_signature_tells_the_file_and_the_source_apart(worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, CASES["half_precision"]), tmp_path)
    (x,) = waist.signature.inputs
    assert (x.source_dtype, x.dtype) == ("float16", "float32")
    assert isinstance(waist.signature, Signature)
    assert np.prod(x.shape) == np.prod(x.source_shape)
