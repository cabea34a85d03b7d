"""Sparse constants are spread out to what they stand for."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.model import SourceOptions
from edgekit.sources.tflite import TfliteSource
from edgekit.waist import graph, run, sparse
from edgekit.waist.tensors import Array
from tests import networks

DTYPES = ["float32", "float16", "int8"]


def sparsified(net: networks.Network, tensor: int, values: Array, order: tuple[int, ...]) -> None:
    """Store a constant with its last axis of traversal compressed: segments and indices of what is not zero."""
    turned = values.transpose(order)
    rows = turned.reshape(-1, turned.shape[-1])
    metadata = []
    for size in turned.shape[:-1]:
        dense = schema.DimensionMetadataT()
        dense.format, dense.denseSize = schema.DimensionType.DENSE, size
        metadata.append(dense)
    last, segments, indices = schema.DimensionMetadataT(), schema.Int32VectorT(), schema.Int32VectorT()
    segments.values = np.cumsum([0, *np.count_nonzero(rows, axis=1)]).astype(np.int32)
    indices.values = np.nonzero(rows)[1].astype(np.int32)
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType = last.arrayIndicesType = schema.SparseIndexVector.Int32Vector
    last.arraySegments, last.arrayIndices = segments, indices
    held = net.subgraph.tensors[tensor]
    held.sparsity = schema.SparsityParametersT()
    held.sparsity.traversalOrder = np.array(order, np.int32)
    held.sparsity.dimMetadata = [*metadata, last]
    net.model.buffers[held.buffer].data = np.frombuffer(rows[rows != 0].tobytes(), np.uint8)


def thinned(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Numbers of which two in three are zero."""
    random = np.random.default_rng(seed)
    values = random.integers(-99, 99, shape) * (random.random(shape) < 1 / 3)
    values.flat[0] = 7
    return (values / (1 if dtype == "int8" else 64)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [*permutations(range(2)), (0, 1, 2, 3), (3, 0, 1, 2), (1, 3, 2, 0)])
def test_what_a_sparse_constant_stands_for(order: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    values = thinned((5, 3, 2, 8)[: len(order)], dtype)
    net = networks.Network()
    stored = net.constant("w", values)
    sparsified(net, stored, values, order)
    weights = net.operator("DENSIFY", [stored], values.shape, dtype=dtype)
    x = net.input("x", values.shape, dtype=dtype)
    path = net.save(tmp_path / "net.tflite", net.operator("MAXIMUM", [x, weights], values.shape, dtype=dtype))
    model = graph.load(path)
    assert sparse.spread(model) == 1
    main = graph.describe(model)[0]
    assert [operator.name for operator in main.operators] == ["MAXIMUM"]
    spread = graph.constant(model, 0, main.operators[0].inputs[1])
    assert spread is not None
    np.testing.assert_array_equal(spread, values)
    assert sparse.spread(model) == 0


def test_a_network_of_sparse_halves_is_read_as_floats(tmp_path: Path) -> None:
    """As MediaPipe's detectors are: DENSIFY, then DEQUANTIZE, in front of every layer."""
    net = networks.Network()
    values = thinned((6, 8), "float16")
    stored = net.constant("w", values)
    sparsified(net, stored, values, (0, 1))
    halves = net.operator("DENSIFY", [stored], (6, 8), dtype="float16")
    weights = net.operator("DEQUANTIZE", [halves], (6, 8))
    x, bias = net.input("x", (1, 8)), net.constant("b", np.ones(6, np.float32))
    layer = net.operator("FULLY_CONNECTED", [x, weights, bias], (1, 6), kind="FullyConnectedOptions")
    path = net.save(tmp_path / "net.tflite", layer)
    made = TfliteSource().to_waist(path, SourceOptions(), tmp_path / "out")
    assert "weights stored as sparse and float16 were decoded to float32" in made.notes
    file = tmp_path / "out" / made.file
    assert [operator.name for operator in graph.read(file)[0].operators] == ["FULLY_CONNECTED"]
    given = np.random.default_rng(1).standard_normal((4, 1, 8)).astype(np.float32)
    (found,) = run.run(file, {"x": given}).values()
    np.testing.assert_allclose(found[:, 0], given[:, 0] @ values.astype(np.float32).T + 1, rtol=1e-5, atol=1e-5)
