"""Constant indices that only view a vector become reshapes and transpositions, as PyTorch's exporter needs them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from edgekit.engine.worker import Worker
from edgekit.sources.onnx.network import Network, rewrite
from edgekit.sources.onnx.rules import indexing
from edgekit.waist import graph
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful

POOLED = "t = ReduceMean<axes=[2,3], keepdims=1>(x) v = Reshape(t, flat) y = Gather(v, i)"


@pytest.mark.parametrize(
    "indices",
    [
        np.arange(8).reshape(1, 8, 1, 1),
        np.arange(8).reshape(2, 4),
        np.arange(8).reshape(2, 4).T,
        np.arange(8).reshape(2, 2, 2).transpose(2, 0, 1),
        np.arange(8).reshape(4, 2).T - 8,
    ],
    ids=["same", "reshaped", "turned", "three axes", "from the end"],
)
def test_a_view_needs_no_gather(indices: np.ndarray, worker: Worker, tmp_path: Path) -> None:
    network = build("float[1,8,4,4] x", POOLED, flat=i64(-1), i=indices.astype(np.int64))
    waist = assert_faithful(worker, save(tmp_path, network), tmp_path)
    names = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert not [name for name in names if name.startswith("GATHER")]


@pytest.mark.parametrize(
    "indices", [i64(1, 0, 2, 3, 4, 5, 6, 7), i64(7, 6, 5, 4, 3, 2, 1, 0), i64(0, 0, 2, 3, 4, 5, 6, 6)]
)
def test_any_other_order_stays_a_gather(indices: np.ndarray, worker: Worker, tmp_path: Path) -> None:
    network = build("float[1,8,4,4] x", POOLED, flat=i64(-1), i=indices)
    waist = assert_faithful(worker, save(tmp_path, network), tmp_path)
    names = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert "GATHER" in names


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_every_turned_view_is_found(sizes: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(sizes))))
    indices = np.arange(int(np.prod(sizes))).reshape(sizes).transpose(order)
    network = build(f"float[{indices.size}] x", "y = Gather(x, i)", i=indices.astype(np.int64))
    known = Network.of(network)
    rewrite(known, {"Gather": indexing.strided_view})
    assert {node.op_type for node in known.nodes} <= {"Reshape", "Transpose"}
    x = np.random.default_rng(0).standard_normal(indices.size).astype(np.float32)
    (found,) = ReferenceEvaluator(known.proto()).run(None, {"x": x})
    np.testing.assert_array_equal(found, x[indices])
