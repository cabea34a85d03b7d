"""How large results are, whatever a file declares of them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph, run, sizes
from tests import networks

CASES: dict[str, tuple[list[Any], tuple[int, ...], dict[str, Any]]] = {
    "TILE": ([[1, 2, 3, 1]], (1, 6, 12, 2), {}),
    "FILL": ([[3, 5, 2]], (3, 5, 2), {}),
    "BROADCAST_TO": ([[2, 3, 4, 2]], (2, 3, 4, 2), {}),
    "PAD": ([[[0, 0], [1, 2], [3, 0], [0, 0]]], (1, 6, 7, 2), {}),
    "MIRROR_PAD": ([[[0, 0], [1, 2], [2, 0], [0, 0]]], (1, 6, 6, 2), {"kind": "MirrorPadOptions", "mode": 0}),
    "RESIZE_BILINEAR": ([[7, 9]], (1, 7, 9, 2), {"kind": "ResizeBilinearOptions"}),
    "RESIZE_NEAREST_NEIGHBOR": ([[5, 4]], (1, 5, 4, 2), {"kind": "ResizeNearestNeighborOptions"}),
}


@pytest.mark.parametrize("behind", [(), ("ABS",), ("LOGISTIC", "NEG")])
@pytest.mark.parametrize("kind", CASES)
def test_results_are_as_large_as_litert_makes_them(kind: str, behind: tuple[str, ...], tmp_path: Path) -> None:
    constants, expected, options = CASES[kind]
    net = networks.Network()
    x = net.input("x", (1, 3, 4, 2))
    size = net.constant("s", np.array(constants[0], np.int32))
    inputs = [size, net.constant("one", np.float32(1))] if kind == "FILL" else [x, size]
    y = net.operator(kind, inputs, (1,), **options)
    net.model.operatorCodes[0].version = 2 if kind == "BROADCAST_TO" else 1
    for builtin in behind:
        y = net.operator(builtin, [y], (1,))
    z = net.operator("ADD", [y, net.constant("a", np.float32(1))], (1,), name="z", kind="AddOptions")
    path = net.save(tmp_path / "m.tflite", z)
    found = list(sizes.results(graph.load(path), graph.read(path)))
    assert [shape for _, _, shape, _ in found] == [expected] * (2 + len(behind))
    made = run.run(path, {"x": np.zeros((1, 1, 3, 4, 2), np.float32)})
    assert made["z"].shape == (1, *expected)


def test_a_join_is_as_large_as_both_sides_together(tmp_path: Path) -> None:
    net = networks.Network()
    a, b = net.input("a", (1, 500, 1)), net.input("b", (1, 1, 300))
    path = net.save(tmp_path / "m.tflite", net.operator("MUL", [a, b], (1,), name="y", kind="MulOptions"))
    assert list(sizes.results(graph.load(path), graph.read(path))) == [("MUL", "y", (1, 500, 300), 4)]


@pytest.mark.parametrize(
    ("shape", "fits"), [((3, 4), True), ((12,), True), ((3, 5), False), ((0,), False), ((), False)]
)
def test_constants_that_do_not_fill_their_shape_are_found(shape: tuple[int, ...], fits: bool, tmp_path: Path) -> None:
    net = networks.Network()
    k = net.constant("k", np.zeros((3, 4), np.float32))
    net.subgraph.tensors[k].shape = np.array(shape, np.int32)
    path = net.save(tmp_path / "m.tflite", net.operator("ADD", [net.input("x", (1, 4)), k], (3, 4), kind="AddOptions"))
    found = sizes.misfit(graph.load(path), 0, graph.read(path)[0])
    assert (found is None) == fits


@pytest.mark.parametrize(
    ("scales", "zero_points", "axis", "fits"),
    [
        (3, 3, 0, True), (3, 0, 0, True), (4, 4, 1, True), (1, 1, 0, True), (1, 1, 7, True), (0, 0, 0, True),
        (3, 3, 1, False), (4, 4, 0, False), (3, 3, 2, False), (3, 3, -1, False), (3, 2, 0, False), (1, 3, 0, False),
    ],
)  # fmt: skip
def test_scales_that_do_not_fit_their_axis_are_found(
    scales: int, zero_points: int, axis: int, fits: bool, tmp_path: Path
) -> None:
    net = networks.Network()
    k = net.constant("k", np.zeros((3, 4), np.int8))
    quantization = net.subgraph.tensors[k].quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [0.1] * scales, [0] * zero_points
    quantization.quantizedDimension = axis
    path = net.save(tmp_path / "m.tflite", net.operator("DEQUANTIZE", [k], (3, 4)))
    assert (sizes.misscaled(graph.read(path)[0]) is None) == fits


@pytest.mark.parametrize("kind", ["DEQUANTIZE", "ABS", "SOFTMAX"])
def test_an_operator_that_gives_nothing_is_found(kind: str, tmp_path: Path) -> None:
    net = networks.Network()
    y = net.operator(kind, [net.input("x", (1, 4))], (1, 4))
    assert sizes.resultless(graph.read(net.save(tmp_path / "m.tflite", y))[0]) is None
    net.subgraph.operators[0].outputs = []
    found = sizes.resultless(graph.read(net.save(tmp_path / "m.tflite", y))[0])
    assert found is not None
    assert found.name == kind


def test_results_inside_of_loops_count(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    net.subgraph.outputs = [x]
    net.model.subgraphs.append(body := copy.deepcopy(net.subgraph))
    y = net.operator("ABS", [x], (1, 2**31 - 1), name="inside")
    net.model.subgraphs[0], net.model.subgraphs[1] = body, net.subgraph
    net.subgraph.outputs = [y]
    (tmp_path / "m.tflite").write_bytes(graph.pack(net.model))
    found = list(sizes.results(graph.load(tmp_path / "m.tflite"), graph.read(tmp_path / "m.tflite")))
    assert found == [("ABS", "inside", (1, 2**31 - 1), 4)]


def test_a_constant_of_a_dtype_that_nobody_knows_has_no_values(tmp_path: Path) -> None:
    net = networks.Network()
    size = net.constant("s", np.array([1, 1], np.int32))
    y = net.operator("TILE", [net.input("x", (1, 4)), size], (1, 4))
    for odd in (-1, 99, 127):
        net.subgraph.tensors[size].type = odd
        path = net.save(tmp_path / "m.tflite", y)
        assert [shape for _, _, shape, _ in sizes.results(graph.load(path), graph.read(path))] == [(1, 4)]
