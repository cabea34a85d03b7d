"""Augmentation: shapes stay, seeds decide, padding is spared, and labels are mixed as samples are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.nouns.recipe import FineTune
from tests.lazy import Lazy
from tests.training import digits
from tests.training.test_fitting import Stopped, killed_in, trained

augmentation = Lazy("edgekit.training.augmentation")
feeding = Lazy("edgekit.training.feeding")
tf, tf_keras = Lazy("tensorflow"), Lazy("tf_keras")

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((6, 8, 8, 3)).astype(np.float32)
SERIES = RANDOM.standard_normal((6, 40, 2)).astype(np.float32)
TOKENS = np.concatenate([RANDOM.integers(1, 50, (64, 20)), np.zeros((64, 4), int)], 1).astype(np.int32)


def changed(name: str, values: Any, seed: int = 0, labels: Any = None, classes: int | None = None) -> Any:
    inputs = [tf_keras.Input(values.shape[1:], dtype=str(values.dtype))]
    made = augmentation.Augmentation([name], inputs, classes)
    given = feeding.Batch((tf.constant(values),), (), () if labels is None else (tf.constant(labels),))
    batches = tf.data.Dataset.from_tensors(given).map(lambda batch: made(batch, tf.constant([seed, 5], tf.int64)))
    (batch,) = batches
    return batch


@pytest.mark.parametrize(
    ("name", "values"),
    [(name, IMAGES) for name in ("flip", "crop", "rotate", "scale", "colour", "cutout", "mixup")]
    + [(name, SERIES) for name in ("jitter", "scale", "time-warp", "shift", "mask", "spec-augment", "mixup")]
    + [(name, TOKENS) for name in ("drop", "swap", "span-mask=99")],
)
def test_a_seed_decides_what_becomes_of_samples(name: str, values: Any) -> None:
    one, same, other = (np.asarray(changed(name, values, seed).given[0]) for seed in (1, 1, 2))
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
    [("spin", "images is called spin"), ("swap", "images is called swap"), ("synonyms=none.txt", "is called synonyms")],
)
def test_what_is_nothing_for_an_input_is_refused(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        changed(name, IMAGES)
    assert "cutout" in caught.value.fix
    with pytest.raises(InputError, match="needs the id"):
        changed("span-mask", TOKENS)


@pytest.mark.parametrize(
    ("shape", "dtype", "labelled", "found"),
    [
        ((32, 32, 3), "float32", False, ("flip", "crop")),
        ((32, 32, 3), "float32", True, ()),
        ((28, 28, 1), "float32", False, ()),
        ((49, 10, 1), "float32", False, ()),
        ((40, 3), "float32", False, ()),
        ((32, 32, 3), "int32", False, ()),
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
