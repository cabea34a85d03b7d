"""How large results are, whatever a file declares of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    found = list(sizes.results(graph.load(path), graph.read(path)[0]))
    assert [shape for _, _, shape, _ in found] == [expected] * (2 + len(behind))
    made = run.run(path, {"x": np.zeros((1, 1, 3, 4, 2), np.float32)})
    assert made["z"].shape == (1, *expected)


def test_a_join_is_as_large_as_both_sides_together(tmp_path: Path) -> None:
    net = networks.Network()
    a, b = net.input("a", (1, 500, 1)), net.input("b", (1, 1, 300))
    path = net.save(tmp_path / "m.tflite", net.operator("MUL", [a, b], (1,), name="y", kind="MulOptions"))
    assert list(sizes.results(graph.load(path), graph.read(path)[0])) == [("MUL", "y", (1, 500, 300), 4)]


@pytest.mark.parametrize(
    ("shape", "fits"), [((3, 4), True), ((12,), True), ((3, 5), False), ((0,), False), ((), False)]
)
def test_constants_that_do_not_fill_their_shape_are_found(shape: tuple[int, ...], fits: bool, tmp_path: Path) -> None:
    net = networks.Network()
    k = net.constant("k", np.zeros((3, 4), np.float32))
    net.subgraph.tensors[k].shape = np.array(shape, np.int32)
    path = net.save(tmp_path / "m.tflite", net.operator("ADD", [net.input("x", (1, 4)), k], (3, 4), kind="AddOptions"))
    found = sizes.misfit(graph.load(path), graph.read(path)[0])
    assert (found is None) == fits
