"""Augmentation: shapes stay, seeds decide, padding is spared, and labels are mixed as samples are."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.nouns.recipe import FineTune
from tests import networks
from tests.lazy import Lazy
from tests.training import digits
from tests.training.test_fitting import Stopped, killed_in, trained

augmentation = Lazy("edgekit.training.augmentation")
fitting = Lazy("edgekit.training.fitting")
feeding = Lazy("edgekit.training.feeding")
tf, tf_keras = Lazy("tensorflow"), Lazy("tf_keras")

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((6, 8, 8, 3)).astype(np.float32)
SERIES = RANDOM.standard_normal((6, 40, 2)).astype(np.float32)
TOKENS = np.concatenate([RANDOM.integers(1, 50, (64, 20)), np.zeros((64, 4), int)], 1).astype(np.int32)


def changing(name: str, values: Any, labels: Any = None, classes: int | None = None) -> Any:
    """From a seed to a batch that is changed, in a graph."""
    inputs = [tf_keras.Input(values.shape[1:], dtype=str(values.dtype))]
    made = tf.function(augmentation.Augmentation([name], inputs, classes), autograph=False)
    given = feeding.Batch((tf.constant(values),), (), () if labels is None else (tf.constant(labels),))
    return lambda seed: made(given, tf.constant([seed, 5], tf.int64))


def changed(name: str, values: Any, labels: Any = None, classes: int | None = None) -> Any:
    return changing(name, values, labels, classes)(0)


@pytest.mark.parametrize(
    ("name", "values"),
    [(name, IMAGES) for name in ("flip", "crop", "rotate", "scale", "colour", "cutout", "mixup")]
    + [(name, SERIES) for name in ("jitter", "scale", "time-warp", "shift", "mask", "spec-augment", "mixup")]
    + [(name, TOKENS) for name in ("drop", "swap", "span-mask=99")],
)
def test_a_seed_decides_what_becomes_of_samples(name: str, values: Any) -> None:
    change = changing(name, values)
    one, same, other = (np.asarray(change(seed).given[0]) for seed in (1, 1, 2))
    assert one.shape == values.shape
    assert one.dtype == values.dtype
    assert np.isfinite(one).all()
    assert np.array_equal(one, same)
    assert not np.array_equal(one, values)
    assert not np.array_equal(one, other)
    if name not in {"jitter", "span-mask=99"}:
        assert abs(one.mean() - values.mean()) < max(0.3, 0.1 * abs(values.mean()))
    if values is TOKENS:
        assert np.array_equal(one[:, 0], values[:, 0])
        assert not one[:, 20:].any()
        assert 0.02 < (one != values)[:, :20].mean() < 0.3
    if name == "swap":
        assert np.array_equal(np.sort(one), np.sort(values))


def test_synonyms_stand_in_for_one_another(tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    table.write_text("3 4 5\n\n10 11\n")
    made = np.asarray(changed(f"synonyms={table}", TOKENS).given[0])
    moved = {(int(a), int(b)) for a, b in zip(TOKENS.ravel(), made.ravel(), strict=True) if a != b}
    assert moved
    assert moved <= {(3, 4), (4, 5), (5, 3), (10, 11), (11, 10)}


def test_mixup_mixes_labels_as_it_mixes_samples() -> None:
    batch = changed("mixup", IMAGES, labels=np.arange(6, dtype=np.float32), classes=6)
    shares = np.asarray(batch.labels[0])
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(batch.given[0]), np.tensordot(shares, IMAGES, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("spin", "images is called 'spin'"),
        ("swap", "images is called 'swap'"),
        ("synonyms=none.txt", "is called 'synonyms'"),
        ("", "images is called ''"),
        ("flip=vertical", "flip takes no value"),
        ("mixup=0.2", "mixup takes no value"),
    ],
)
def test_what_is_nothing_for_an_input_is_refused(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        changed(name, IMAGES)
    assert "cutout" in caught.value.fix or caught.value.fix == f"write {name.partition('=')[0]}"


@pytest.mark.parametrize("value", ["", "=", "=x", "=-1", "=99999999999", "=1.5"])
@pytest.mark.parametrize("name", ["span-mask", "drop"])
def test_what_stands_in_for_a_token_is_an_id(name: str, value: str) -> None:
    if name + value in {"drop", "drop="}:
        assert np.asarray(changed(name + value, TOKENS).given[0]).dtype == TOKENS.dtype
        return
    with pytest.raises(InputError, match="needs the id"):
        changed(name + value, TOKENS)


@pytest.mark.parametrize("line", ["3 x", "3 -4", "7 99999999999", "1.5 2"])
def test_a_table_of_synonyms_holds_ids(line: str, tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    table.write_text(f"1 2\n{line}\n")
    with pytest.raises(InputError, match="something else than ids"):
        changed(f"synonyms={table}", TOKENS)


def at_once(name: str, values: Any) -> Any:
    """What becomes of a batch, computed without a dataset, which takes longer to trace."""
    made = augmentation.Augmentation([name], [tf_keras.Input(values.shape[1:], dtype=str(values.dtype))], None)
    return np.asarray(made(feeding.Batch((tf.constant(values),), (), ()), tf.constant([1, 5], tf.int64)).given[0])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8, 3), "uint8"), ((8, 8, 1), "int8"), ((40, 2), "int16"), ((20, 8, 1), "uint16"), ((3, 8, 8, 3), "uint8")],
)
def test_pictures_and_series_of_integers_are_changed_as_those_of_floats(shape: tuple[int, ...], dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(max(limits.min, -300), min(limits.max, 300), (6, *shape)).astype(dtype)
    kind = augmentation.kind_of(shape, tf.as_dtype(dtype))
    assert kind == augmentation.kind_of(shape, tf.float32)
    for name in (*augmentation.KINDS[kind], "mixup"):
        made, like = at_once(name, values), at_once(name, values.astype(np.float32))
        assert made.dtype == values.dtype
        assert np.array_equal(made, np.clip(np.rint(like), limits.min, limits.max).astype(dtype))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("shape", [(5, 7), (12, 12), (1, 12, 12), (8, 8, 3)])
def test_ids_and_masks_of_several_dimensions_stay(shape: tuple[int, ...], dtype: str) -> None:
    """Characters of words, or who attends to whom: there is nothing between two of them."""
    names = {name for names in augmentation.KINDS.values() for name in names} | {"mixup"}
    beside = tf_keras.Input((8, 8, 3))
    table = tf_keras.Input(shape, dtype=dtype)
    for name in names:
        with pytest.raises(InputError, match="No augmentation of"):
            augmentation.Augmentation([f"{name}=3" if name == "span-mask" else name], [table], None)
    with pytest.raises(InputError, match="mixup"):
        augmentation.Augmentation(["mixup"], [beside, table], None)
    values = tf.cast(tf.reshape(tf.range(2 * int(np.prod(shape))), (2, *shape)), dtype)
    given = feeding.Batch((tf.constant(IMAGES[:2]), values), (), ())
    made = augmentation.Augmentation(["colour"], [beside, table], None)
    image, same = made(given, tf.constant([1, 5], tf.int64)).given
    assert not np.array_equal(image, IMAGES[:2])
    assert np.array_equal(same, values)


@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (1, 1, 3)])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_the_smallest_inputs_are_changed_or_refused(shape: tuple[int, ...], dtype: str) -> None:
    values = np.ones((4, *shape)).astype(dtype)
    known = augmentation.KINDS[augmentation.kind_of(shape, tf.as_dtype(dtype))]
    for name in {name for names in augmentation.KINDS.values() for name in names} - {"synonyms"}:
        told = f"{name}=3" if name == "span-mask" else name
        if name not in known:
            with pytest.raises(InputError, match="No augmentation of"):
                at_once(told, values)
            continue
        made = at_once(told, values)
        assert (made.shape, made.dtype) == (values.shape, values.dtype)


def test_labels_are_mixed_only_where_samples_are() -> None:
    with pytest.raises(InputError, match="No augmentation of token ids is called 'mixup'"):
        changed("mixup", TOKENS, labels=np.zeros(len(TOKENS), np.float32), classes=3)


def texts(path: Path) -> Path:
    """Ids [1, 12] of 20 tokens → scores [1, 4]."""
    net = networks.Network()
    made = [net.constant("table", networks.weights(20, 8, seed=3)), net.input("ids", (1, 12), "int32")]
    x = net.operator("GATHER", made, (1, 12, 8), kind="GatherOptions", axis=0)
    flat = net.constant("flat", np.array([1, 96], np.int32))
    x = net.operator("RESHAPE", [x, flat], (1, 96), kind="ReshapeOptions", newShape=[1, 96])
    dense = [x, net.constant("k", networks.weights(4, 96)), net.constant("b", np.zeros(4, np.float32))]
    return net.save(path, net.operator("FULLY_CONNECTED", dense, (1, 4), kind="FullyConnectedOptions"))


@pytest.mark.parametrize("name", ["drop=20", "span-mask=1000"])
def test_an_id_that_the_network_has_not_is_told(name: str, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(1, 20, (96, 1, 12)).astype(np.int32)
    asked = FineTune(epochs=1, augmentation=(name,))
    with pytest.raises(InputError, match=rf"cannot take what .*{name.partition('=')[2]} is not in \[0, 20\)"):
        trained(tmp_path, texts(tmp_path / "net.tflite"), asked, samples={"source_ids": ids})


OUTSIDE = "{{node gather}} indices[0,1] = 30 is not in [0, 20)\n\t [[more]]"


@pytest.mark.parametrize(
    ("names", "message", "blamed"),
    [
        (("drop=20",), OUTSIDE, "drop=20"),
        (("swap", "span-mask=30"), OUTSIDE, "span-mask=30"),
        (("swap",), OUTSIDE, ""),  # it brings in no id
        (("flip", "mixup"), OUTSIDE, ""),
        ((), OUTSIDE, ""),
        (("drop=20",), "Incompatible shapes: [2,3] vs. [2,4]", ""),
        (("flip", "crop"), "Incompatible shapes: [2,3] vs. [2,4]", ""),
    ],
)
def test_only_ids_outside_a_table_are_blamed_on_what_stands_in_for_tokens(
    names: tuple[str, ...], message: str, blamed: str
) -> None:
    def step(_: Any) -> None:
        raise tf.errors.InvalidArgumentError(None, None, message)

    loop = SimpleNamespace(_step=step, _changes=names)
    with pytest.raises(InputError if blamed else tf.errors.InvalidArgumentError) as caught:
        fitting.Loop._done(loop, feeding.Batch((), (), ()))
    if blamed:
        assert caught.value.place == f"augmentation {blamed}"
        assert "samples: indices[0,1] = 30 is not in [0, 20)." in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "labelled", "found"),
    [
        ((32, 32, 3), "float32", False, ("flip", "crop")),
        ((32, 32, 3), "float32", True, ()),
        ((28, 28, 1), "float32", False, ()),
        ((49, 10, 1), "float32", False, ()),
        ((40, 3), "float32", False, ()),
        ((32, 32, 3), "uint8", False, ("flip", "crop")),
        ((32,), "int32", False, ()),
        ((32, 32, 3), "bool", False, ()),
    ],
)
def test_pictures_in_colour_are_flipped_and_shifted_if_only_the_teacher_teaches(
    shape: tuple[int, ...], dtype: str, labelled: bool, found: tuple[str, ...]
) -> None:
    inputs = [tf_keras.Input(shape, dtype=dtype)]
    assert augmentation.chosen(("auto",), inputs, labelled=labelled) == found
    assert augmentation.chosen(("mixup", "auto"), inputs, labelled=labelled) == ("mixup", *found)
    assert augmentation.chosen((), inputs, labelled=labelled) == ()


@pytest.mark.study
def test_a_killed_run_draws_the_same(tmp_path: Path) -> None:
    network = digits.network(tmp_path / "net.tflite", width=4)
    asked = FineTune(
        epochs=2, learning_rate=5e-3, dropout=0.3, augmentation=("crop", "mixup"), normalization="on", from_scratch=True
    )
    files = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "killed":
            with pytest.raises(Stopped), killed_in(2):
                trained(folder, network, asked, labels=True)
        passed, content = trained(folder, network, asked, labels=True)
        files.append(content)
        assert passed.epochs[-1].loss < passed.epochs[0].loss
    assert files[0] == files[1]
