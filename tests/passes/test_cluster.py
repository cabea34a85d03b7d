"""Clustering: as many values as asked, zeros among them, also after training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.errors import InputError
from edgekit.nouns.recipe import Cluster
from edgekit.waist import cost, edit, graph
from tests.lazy import Lazy
from tests.passes.test_prune import kernels
from tests.training import digits

cluster = Lazy("edgekit.passes.cluster")


@settings(max_examples=40)
@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(-9, 9, width=32)), st.integers(1, 8))
def test_k_means_gives_each_value_its_nearest_centroid(values: Any, clusters: int) -> None:
    centroids, members = cluster.k_means(values, clusters, np.random.default_rng(0))
    assert len(centroids) <= clusters
    assert np.all(np.diff(centroids) >= 0)
    away = np.abs(values[:, None].astype(np.float64) - centroids)
    np.testing.assert_allclose(away[np.arange(len(values)), members], away.min(1), atol=1e-5)
    if len(np.unique(values)) <= clusters:
        np.testing.assert_allclose(centroids[members], values, atol=1e-6)


def test_a_normalization_that_would_undo_it_is_refused(tmp_path: Path) -> None:
    path = digits.network(tmp_path / "net.tflite")
    asked = digits.task(tmp_path, path, Cluster(normalization="on"))
    with pytest.raises(InputError, match="undo that weights share values"):
        cluster.ClusterPass().apply(asked, tmp_path)


def test_weights_share_values_and_zeros_stay(tmp_path: Path) -> None:
    path, out = digits.network(tmp_path / "net.tflite"), tmp_path / "out"
    tree = graph.load(path)
    names = {tensor.name.decode(): index for index, tensor in enumerate(tree.subgraphs[0].tensors)}
    sparse = graph.constant(tree, 0, names["dense"]).copy()
    sparse[:, ::2] = 0
    edit.set_constant(tree, names["dense"], sparse)
    path.write_bytes(graph.pack(tree))
    out.mkdir()
    asked = Cluster(epochs=2, clusters=8, learning_rate=5e-3)
    passed = cluster.ClusterPass().apply(digits.task(tmp_path, path, asked, labels=True), out)
    found, before = kernels(out / passed.file), kernels(path)
    assert all(len(np.unique(kernel)) <= 8 for kernel in found)
    assert any(not np.isin(np.unique(a), np.unique(b)).all() for a, b in zip(found, before, strict=True))  # trained
    assert np.array_equal(found[2] == 0, sparse == 0)
    assert cost.gzip_bytes((out / passed.file).read_bytes()) < 0.5 * cost.gzip_bytes(path.read_bytes())
    assert passed.epochs[-1].loss < passed.epochs[0].loss
