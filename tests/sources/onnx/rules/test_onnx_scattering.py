"""Rows that are added at places which the network computes, as in networks on graphs."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.sources.onnx.prepare import prepare
from tests.sources.onnx.onnx_cases import build

FORMS = {
    "a row each": ((6, 4), (9, 1), (9, 4)),
    "an element each": ((5, 3), (20, 2), (20,)),
    "planes": ((4, 3, 2), (2, 5, 1), (2, 5, 3, 2)),
    "two of three axes": ((4, 3, 2), (7, 2), (7, 2)),
    "a product": ((300, 64), (64, 1), (64, 64)),
}
"""Shapes of what is added to, of the places and of what is added."""


@pytest.mark.parametrize("name", sorted(FORMS))
def test_rows_are_added_where_the_network_says(name: str) -> None:
    data, places, updates = FORMS[name]
    shown = ",".join(map(str, data)), ",".join(map(str, places)), ",".join(map(str, updates))
    model = build(
        f"float[{shown[0]}] x, int64[{shown[1]}] at, float[{shown[2]}] u",
        'y = ScatterND<reduction="add">(x, at, u)',
        opset=18,
    )
    floats = prepare(model).proto()
    assert "ScatterND" not in {node.op_type for node in floats.graph.node}
    random = np.random.default_rng(5)
    sizes = np.array(data[: places[-1]])
    feed = {
        "x": random.standard_normal(data).astype(np.float32),
        "at": random.integers(-sizes, sizes, places),  # many meet, and some count from the end
        "u": random.standard_normal(updates).astype(np.float32),
    }
    np.testing.assert_allclose(_run(floats, feed), _run(model, feed), atol=1e-5)
    if name != "a product":
        feed["u"].flat[::7] = np.inf
        feed["u"].flat[1] = np.nan
        np.testing.assert_allclose(_run(floats, feed), _run(model, feed), atol=1e-5)


def _run(model: onnx.ModelProto, feed: dict[str, Any]) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)[
        0
    ]
