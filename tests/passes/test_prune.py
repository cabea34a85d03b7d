"""Unstructured pruning: exactly as many zeros as asked, where the pattern says, also after training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.engine import registry
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.recipe import Cluster, Prune, name_of
from edgekit.waist import cost, graph
from tests.channels.generated import Layers
from tests.lazy import Lazy
from tests.training import digits

prune = Lazy("edgekit.passes.prune")
masking = Lazy("edgekit.training.masking")


def kernels(path: Path) -> list[Any]:
    """All weights of more than one axis, in the file's layout."""
    tree = graph.load(path)
    found = (graph.constant(tree, 0, i) for i in range(len(tree.subgraphs[0].tensors)))
    return [values for values in found if values is not None and values.dtype == np.float32 and values.ndim > 1]


def pruned(folder: Path, waist: Path, asked: Prune, **given: Any) -> tuple[Any, list[Any]]:
    out = folder / "out"
    out.mkdir()
    passed = prune.PrunePass().apply(digits.task(folder, waist, asked, **given), out)
    return passed, kernels(out / passed.file)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=3),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 99),
)
def test_masks_have_exactly_as_many_zeros_as_asked(shapes: Any, share: float, each: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = [random.integers(-2, 3, (4 * a, b)).astype(np.float32) for a, b in shapes]  # with ties and zeros
    ones = [1.0] * len(found)
    masks = masking.choose(found, share, pattern="unstructured", each=each, factors=ones)
    zeros = [int((~mask).sum()) for mask in masks]
    if each:
        assert zeros == [round(share * kernel.size) for kernel in found]
    else:
        assert sum(zeros) == round(share * sum(kernel.size for kernel in found))
        gone, kept = (np.concatenate([abs(k[m == w]) for k, m in zip(found, masks, strict=True)]) for w in (0, 1))
        assert not gone.size or not kept.size or gone.max() <= kept.min()
    blocks = masking.choose(found, share, pattern="block", each=each, factors=ones)
    for mask in blocks:
        grouped = mask.reshape(-1, 4, mask.shape[1])
        assert np.all(grouped.all(1) | ~grouped.any(1))
    assert each or sum((~mask).sum() for mask in blocks) == 4 * round(share * sum(k.size // 4 for k in found))


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=3),
    st.floats(0, 1),
    st.sampled_from([2.0**-20, 0.125, 64.0]),
    st.integers(0, 99),
)
def test_a_layer_s_scale_decides_nothing(shapes: Any, share: float, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = [random.standard_normal((4 * a, b)).astype(np.float32) for a, b in shapes]
    scaled = [found[0] * np.float32(scale), *found[1:]]
    for pattern in ("unstructured", "block"):
        one, other = (masking.choose(kernels, share, pattern=pattern, each=False) for kernels in (found, scaled))
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
        assert sum(int((~mask).sum()) for mask in one) == pytest.approx(share * sum(k.size for k in found), abs=4)


def test_more_zeros_than_two_of_four_are_refused(network: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pruned(tmp_path, network, Prune(epochs=0, pattern="2:4", sparsity=0.6))
    assert caught.value.place == "prune.sparsity"


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.integers(0, 99))
def test_two_of_four_are_zero_along_the_input_channels(rows: int, groups: int, share: float, seed: int) -> None:
    kernel = np.random.default_rng(seed).standard_normal((rows, 4 * groups)).astype(np.float32)
    mask = masking.two_of_four(kernel, share)
    assert ((~mask).reshape(-1, 4).sum(-1) <= 2).all()
    assert (~masking.two_of_four(kernel)).reshape(-1, 4).sum(-1).tolist() == [2] * (rows * groups)
    least = np.sort(np.abs(kernel).reshape(-1, 4))[:, :2]
    np.testing.assert_array_equal(np.sort(np.abs(kernel[~masking.two_of_four(kernel)])), np.sort(least.ravel()))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.network(tmp_path_factory.mktemp("network") / "net.tflite")


@pytest.mark.parametrize(
    "asked",
    [
        Prune(epochs=3, sparsity=0.7, dynamic=True, scope="sensitivity", learning_rate=5e-3),
        pytest.param(
            Prune(epochs=3, sparsity=0.5, pattern="2:4", learning_rate=5e-3, normalization="on"),
            marks=pytest.mark.study,
        ),
        Prune(epochs=0, sparsity=0.6, pattern="block", scope="layer"),
    ],
)
def test_zeros_stay_through_training(network: Path, tmp_path: Path, asked: Prune) -> None:
    passed, found = pruned(tmp_path, network, asked, labels=True)
    taken = [kernel for kernel in found if masking.fits(kernel.shape, asked.pattern)]
    zeros = sum(int((kernel == 0).sum()) for kernel in taken)
    size = sum(kernel.size for kernel in taken)
    assert zeros == pytest.approx(asked.sparsity * size, abs=4 * len(taken))
    assert passed.figures["sparsity"] == zeros / size
    compressed = [cost.gzip_bytes(file.read_bytes()) for file in (tmp_path / "out" / passed.file, network)]
    assert compressed[0] < 0.9 * compressed[1]
    assert not any(np.signbit(kernel[kernel == 0]).any() for kernel in taken)
    assert "XNNPACK" in passed.notes[0]
    if asked.pattern == "2:4":
        assert all((kernel.reshape(-1, 4) == 0).sum(-1).min() == 2 for kernel in taken)
        assert "left whole" in passed.notes[1]  # the first convolution reads one channel
    if asked.pattern == "block":
        assert [int((k == 0).sum()) for k in taken] == [4 * round(0.6 * k.size / 4) for k in taken]


def test_the_ramp_ends_with_what_was_asked() -> None:
    rising = prune.shares(Prune(sparsity=0.8, epochs=10), 6)
    assert rising == sorted(rising)
    assert rising[-1] == 0.8
    assert 0 < rising[0] < 0.5
    assert prune.shares(Prune(sparsity=0.8, ramp="constant"), 3) == [0.8] * 3


def test_weights_return_only_if_pruning_is_dynamic(network: Path, tmp_path: Path) -> None:
    lifting, tf = Lazy("edgekit.trainable.lifting"), Lazy("tensorflow")
    for dynamic in (False, True):
        lifted = lifting.lift(network)
        weight = next(w for w in lifted.weights if w.name == "dense")
        pruning = prune.Pruning([weight], [1.0], Prune(sparsity=0.5, ramp="constant", dynamic=dynamic, epochs=9))
        pruning.choose(0)
        gone = weight.variable.numpy() == 0
        weight.variable.assign_add(tf.where(gone, 10.0, 0.0))
        pruning._keep(None)
        assert np.all(weight.variable.numpy()[gone] == 0)
        pruning.choose(1)
        assert bool(np.any(weight.variable.numpy()[gone])) == dynamic
        assert int((weight.variable.numpy() == 0).sum()) == round(0.5 * gone.size)


@pytest.mark.parametrize("scope", ["global", "layer", "sensitivity"])
@pytest.mark.parametrize("pattern", ["block", "2:4"])
def test_a_pattern_that_fits_nowhere_is_refused(pattern: str, scope: str, tmp_path: Path) -> None:
    layers = Layers(1, 8, 8, 1)
    path = layers.save(tmp_path / "odd.tflite", layers.conv(layers.conv(layers.x, 3), 5))
    with pytest.raises(Unsupported, match=f"pattern {pattern} fits") as raised:
        pruned(tmp_path, path, Prune(pattern=pattern, scope=scope, epochs=0))
    assert "unstructured" in str(raised.value.fix)


@pytest.mark.parametrize("asked", [Prune(epochs=0), Cluster(epochs=0)])
def test_a_network_without_weights_has_none_to_change(asked: Any, tmp_path: Path) -> None:
    layers = Layers(1, 8, 8, 1)
    path = layers.save(tmp_path / "none.tflite", layers.one("RELU", layers.x))
    (tmp_path / "out").mkdir()
    with pytest.raises(Unsupported, match="has no kernels"):
        registry.leaf("passes", name_of(asked)).apply(digits.task(tmp_path, path, asked), tmp_path / "out")


def test_weights_do_not_return_by_steps_that_all_take_alike(network: Path) -> None:
    """As Adam's are, whatever the gradients: nothing holds back a weight that is set to zero."""
    lifting, tf = Lazy("edgekit.trainable.lifting"), Lazy("tensorflow")
    weight = next(w for w in lifting.lift(network).weights if w.name == "dense")
    pruning = prune.Pruning([weight], [1.0], Prune(sparsity=0.5, ramp="constant", dynamic=True, epochs=9))
    pruning.choose(0)
    gone = weight.variable.numpy() == 0
    for step in range(300):  # those that are kept go back and forth, the others on and on
        alike = tf.where(gone, 3e-4, 3e-4 * (-1) ** step)
        weight.variable.assign_add(alike)
        pruning._keep(None)
    pruning.choose(1)
    back = np.count_nonzero(weight.variable.numpy()[gone]) / gone.sum()
    assert back < 0.15, "with whole steps most come back"
