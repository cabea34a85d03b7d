"""Every attribute of an operator that is rewritten: many forms of it in one network, each an output of its own."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine.worker import Worker
from tests.sources.onnx.onnx_cases import save
from tests.sources.onnx.onnx_proof import computed, convert, draw, expected, sqnr_db

Form = tuple[str, list[str], dict[str, object]]
"""Operator, names of its inputs, attributes."""


def _assert_faithful(
    forms: list[Form],
    inputs: dict[str, tuple[int, ...]],
    constants: dict[str, object],
    worker: Worker,
    folder: Path,
    opset: int = 17,
) -> None:
    """All forms at once agree with ONNX Runtime at 100 dB, or exactly where they give integers."""
    nodes = [helper.make_node(kind, names, [f"y{i}"], **attrs) for i, (kind, names, attrs) in enumerate(forms)]
    dtype = TensorProto.INT64 if forms[0][0].startswith("Arg") else TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(f"y{i}", dtype, None) for i in range(len(forms))]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "forms", given, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = save(folder, model)
    waist = convert(worker, path, folder / "waist")
    samples = draw(waist)
    reference, got = expected(worker, path, folder, samples), computed(waist, folder / "waist", samples)
    apart = {i: forms[i] for i in range(len(forms)) if sqnr_db(reference[f"y{i}"], got[f"y{i}"]) < 100}
    assert apart == {}


def test_fourier_transforms_of_any_length(worker: Worker, tmp_path: Path) -> None:
    lengths: dict[str, object] = {"short": np.int64(6), "long": np.int64(13)}
    forms: list[Form] = [
        ("DFT", [x, length], {"axis": axis, "inverse": inverse, "onesided": onesided})
        for x, length, axis, inverse, onesided in product(
            ("real", "complex"), ("", "short", "long"), (1, 2), (0, 1), (0, 1)
        )
        if not onesided or (x == "real" and not inverse)
    ]
    _assert_faithful(forms, {"real": (2, 8, 9, 1), "complex": (2, 8, 9, 2)}, lengths, worker, tmp_path)


def test_padding_in_every_mode_and_over_any_axes(worker: Worker, tmp_path: Path) -> None:
    constants: dict[str, object] = {
        "all": np.asarray([0, 1, 2, 1, 0, 0, 3, 2]), "less": np.asarray([0, 0, -1, -2, 0, 0, 2, -1]), "two": np.asarray([2, 1, 0, 3]),
        "axes": np.asarray([3, -2]), "value": np.float32(-3),
    }  # fmt: skip
    forms: list[Form] = [("Pad", ["x", "all"], {"mode": mode}) for mode in ("constant", "reflect", "edge", "wrap")]
    forms += [("Pad", ["x", "less"], {"mode": mode}) for mode in ("constant", "reflect", "edge")]
    forms += [("Pad", ["x", "two", "", "axes"], {"mode": mode}) for mode in ("constant", "reflect", "edge", "wrap")]
    forms.append(("Pad", ["x", "two", "value", "axes"], {}))
    _assert_faithful(forms, {"x": (1, 4, 5, 6)}, constants, worker, tmp_path, opset=19)


def test_the_last_of_equal_places(worker: Worker, tmp_path: Path) -> None:
    """Constants repeat in every row, so that first and last differ."""
    table = np.tile(np.asarray([[1.0, 0.0, 1.0, 0.0]], np.float32), (2, 3, 1))
    model_inputs = {"x": (2, 3, 4)}
    settings = product((0, 1), (0, 1), (0, 1, -1))
    forms: list[Form] = []
    for kind in ("ArgMax", "ArgMin"):
        forms += [(kind, ["t"], {"keepdims": k, "select_last_index": last, "axis": a}) for k, last, a in settings]
        settings = product((0, 1), (0, 1), (0, 1, -1))
    nodes = [helper.make_node("Mul", ["x", "zero"], ["z"]), helper.make_node("Add", ["z", "table"], ["t"])]
    nodes += [helper.make_node(kind, names, [f"y{i}"], **attrs) for i, (kind, names, attrs) in enumerate(forms)]
    graph = helper.make_graph(
        nodes, "last",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in model_inputs.items()],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.INT64, None) for i in range(len(forms))],
        [numpy_helper.from_array(np.float32(0) * table[:1, :1, :1], "zero"), numpy_helper.from_array(table, "table")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = save(tmp_path, model)
    waist = convert(worker, path, tmp_path / "waist")
    samples = draw(waist)
    reference, got = expected(worker, path, tmp_path, samples), computed(waist, tmp_path / "waist", samples)
    for name, values in reference.items():
        np.testing.assert_array_equal(values, got[name])


def test_sampling_by_a_grid_in_every_mode_and_padding(worker: Worker, tmp_path: Path) -> None:
    forms: list[Form] = [
        ("GridSample", ["x", "grid"], {"mode": mode, "padding_mode": padding, "align_corners": aligned})
        for mode, padding, aligned in product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (0, 1))
    ]
    _assert_faithful(forms, {"x": (1, 3, 6, 8), "grid": (1, 4, 5, 2)}, {}, worker, tmp_path, opset=16)


@pytest.mark.parametrize("heads", [4, 2, 1])
def test_attention_of_onnx_in_its_forms(heads: int, worker: Worker, tmp_path: Path) -> None:
    mask = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    forms: list[Form] = [
        ("Attention", ["q", "k", "v"], {}), ("Attention", ["q", "k", "v"], {"is_causal": 1}),
        ("Attention", ["q", "k", "v"], {"softcap": 2.0}), ("Attention", ["q", "k", "v"], {"scale": 0.1}),
        ("Attention", ["q", "k", "v", "mask"], {}), ("Attention", ["q", "k", "v", "lower"], {}),
        ("Attention", ["q", "k", "v", "mask"], {"is_causal": 1, "softcap": 3.0}),
    ]  # fmt: skip
    constants: dict[str, object] = {"mask": mask, "lower": np.tril(np.ones((6, 6), bool))}
    inputs = {"q": (1, 4, 6, 8), "k": (1, heads, 6, 8), "v": (1, heads, 6, 8)}
    _assert_faithful(forms, inputs, constants, worker, tmp_path, opset=23)


def test_scattering_with_a_reduction(worker: Worker, tmp_path: Path) -> None:
    """Places that are met once or several times, counted from either end, single values or slices."""
    random = np.random.default_rng(0)
    constants: dict[str, object] = {
        "rows": np.asarray([[0, 1], [0, 4], [0, 1], [0, -1]]), "some": random.standard_normal((4, 4, 5)).astype(np.float32),
        "points": np.asarray([[[0, 1, 2, 3], [0, 1, 2, 3]], [[0, 5, 0, 0], [0, 1, -1, 0]]]),
        "two": random.standard_normal((2, 2)).astype(np.float32), "along": random.integers(-4, 4, (1, 6, 3, 5)),
        "three": random.standard_normal((1, 6, 3, 5)).astype(np.float32),
    }  # fmt: skip
    forms: list[Form] = []
    for reduction in ("add", "mul", "max", "min"):
        forms += [
            ("ScatterND", ["x", *names], {"reduction": reduction}) for names in (("rows", "some"), ("points", "two"))
        ]
        forms.append(("ScatterElements", ["x", "along", "three"], {"axis": -2, "reduction": reduction}))
    _assert_faithful(forms, {"x": (1, 6, 4, 5)}, constants, worker, tmp_path, opset=18)


def test_layers_over_time(worker: Worker, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    constants: dict[str, object] = {
        f"w{group}": random.standard_normal((12, 8 // group, 3)).astype(np.float32) for group in (2, 4)
    } | {f"t{group}": random.standard_normal((8, 8 // group, 5)).astype(np.float32) for group in (1, 2)}
    convolutions: list[dict[str, object]] = [
        {"group": 2, "dilations": [3], "pads": [1, 4]}, {"group": 4, "strides": [3], "auto_pad": "SAME_LOWER"},
        {"group": 4, "strides": [2], "auto_pad": "SAME_UPPER"}, {"group": 2},
    ]  # fmt: skip
    transposed: list[dict[str, object]] = [
        {"strides": [2], "output_shape": [34]}, {"strides": [2], "output_shape": [35], "auto_pad": "SAME_UPPER"},
        {"strides": [3], "output_shape": [49], "auto_pad": "SAME_LOWER"}, {"strides": [2], "output_padding": [1], "group": 2},
    ]  # fmt: skip
    pooling: list[dict[str, object]] = [
        {"kernel_shape": [3], "strides": [2], "p": 2}, {"kernel_shape": [2], "pads": [1, 0], "p": 1},
    ]  # fmt: skip
    forms: list[Form] = [("Conv", ["x", f"w{attrs['group']}"], attrs) for attrs in convolutions]
    forms += [("ConvTranspose", ["x", f"t{attrs.get('group', 1)}"], attrs) for attrs in transposed]
    forms += [("LpPool", ["x"], attrs) for attrs in pooling]
    forms += [("Elu", ["x"], {"alpha": alpha}) for alpha in (0.5, 2.0, -1.0)]
    _assert_faithful(forms, {"x": (1, 8, 17)}, constants, worker, tmp_path)


def test_windows_and_diagonals(worker: Worker, tmp_path: Path) -> None:
    constants: dict[str, object] = {"t": np.random.default_rng(0).standard_normal((4, 4, 4, 4)).astype(np.float32)}
    forms: list[Form] = [
        ("AveragePool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        ("AveragePool", ["x"], {
            "kernel_shape": [2, 2], "dilations": [2, 1], "strides": [2, 1], "pads": [1, 0, 1, 0], "count_include_pad": 1,
        }),
        *(("ConvTranspose", ["x", "t"], {"strides": [2, 2], "output_shape": sizes}) for sizes in ([8, 8], [9, 8])),
        *(("Einsum", ["x"], {"equation": equation}) for equation in ("aabb->ab", "abcb->ac", "aaaa->a", "abbc")),
        ("Einsum", ["x", "t"], {"equation": "abcc,dcee->abde"}),
    ]  # fmt: skip
    _assert_faithful(forms, {"x": (4, 4, 4, 4)}, constants, worker, tmp_path, opset=19)
