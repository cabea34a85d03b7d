"""Bounds of divisions hold where they are asked for: at zero."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import graph, guards, run
from tests import networks


def normalizing(path: Path, limit: float, *, read_twice: bool = False) -> Path:
    """x · min(1/√Σx², limit), as TensorFlow's converter writes ``l2_normalize``."""
    net = networks.Network()
    x = net.input("x", (1, 4))
    square = net.operator("MUL", [x, x], (1, 4), kind="MulOptions")
    axis = net.constant("axis", np.array([1], np.int32))
    total = net.operator("SUM", [square, axis], (1, 1), kind="ReducerOptions", keepDims=True)
    root = net.operator("RSQRT", [total], (1, 1))
    bound = net.operator("MINIMUM", [root, net.constant("limit", np.float32(limit))], (1, 1), kind="MaximumMinimumOptions")  # fmt: skip
    outputs = [net.operator("MUL", [x, bound], (1, 4), kind="MulOptions")]
    return net.save(path, *outputs, *([root] if read_twice else []))


def rows() -> np.ndarray:
    random = np.random.default_rng(0)
    scales = np.asarray([0, 1, 1e-3, 1e-7, 1e-12, 1e6], np.float32)
    return (scales[:, None, None] * random.standard_normal((6, 1, 4))).astype(np.float32)


@pytest.mark.parametrize("limit", [1e6, 1e3, 0.5, 1e12])
def test_a_bounded_root_is_finite_at_zero_and_the_same_elsewhere(limit: float, tmp_path: Path) -> None:
    path = normalizing(tmp_path / "net.tflite", limit)
    x = rows()
    with np.errstate(divide="ignore"):
        right = x * np.minimum(1 / np.sqrt(np.sum(x.astype(np.float64) ** 2, axis=-1, keepdims=True)), limit)
    model = graph.load(path)
    assert guards.bound_roots(model) == 1
    assert guards.bound_roots(model) == 0
    path.write_bytes(graph.pack(model))
    (got,) = run.run(path, {"x": x}).values()
    assert [operator.name for operator in graph.read(path)[0].operators] == ["MUL", "SUM", "MAXIMUM", "RSQRT", "MUL"]
    np.testing.assert_allclose(got, right, rtol=1e-5)
    assert not got[0].any()


def test_a_root_that_is_read_elsewhere_stays(tmp_path: Path) -> None:
    model = graph.load(normalizing(tmp_path / "net.tflite", 1e6, read_twice=True))
    assert guards.bound_roots(model) == 0
