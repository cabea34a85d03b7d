"""Every setting of every pass: what lies outside of its bounds is refused by name, and what changes nothing is told."""

import math
import typing
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from edgekit.cli.options import pass_settings
from edgekit.config import recipes
from edgekit.errors import InputError
from edgekit.nouns.recipe import (
    Cluster,
    Distill,
    FineTune,
    PassSettings,
    Prune,
    PruneChannels,
    Qat,
    Recipe,
    idle,
    name_of,
)  # fmt: skip
from edgekit.nouns.training import Training

PASSES: tuple[PassSettings, ...] = tuple(kind() for kind in get_args(PassSettings))

TINY = 1e-9

BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (0, 100_000), "batch_size": (1, 4096), "learning_rate": (TINY, math.inf), "rates": (1, 12),
    "momentum": (0, 1 - TINY), "warmup": (0, 1), "weight_decay": (0, math.inf), "l1": (0, math.inf),
    "dropout": (0, 1 - TINY), "label_smoothing": (0, 1 - TINY), "clip_norm": (0, math.inf), "holdout": (0, 1 - TINY),
    "patience": (0, 100_000), "temperature": (TINY, 100), "alpha": (0, 1), "width": (TINY, 1 - TINY),
    "remove": (TINY, 1 - TINY), "floor": (0, 1), "multiple": (0, 256), "rounds": (1, 100), "sparsity": (TINY, 1 - TINY),
    "clusters": (2, 256),
}  # fmt: skip
"""By setting the least and the most that it may be."""

NOTHING_ELSE = (FineTune, Distill, Qat)
"""Passes that do nothing but train."""


def bounds(settings: PassSettings, key: str) -> tuple[float, float]:
    least, most = BOUNDS[key]
    return (1, most) if key == "epochs" and isinstance(settings, NOTHING_ELSE) else (least, most)


def plain(settings: PassSettings, key: str) -> Any:
    """The kind of a setting, without its bounds."""
    return get_type_hints(type(settings))[key]


EVERY = [(settings, key) for settings in PASSES for key in settings.__struct_fields__]
NUMBERS = [(settings, key) for settings, key in EVERY if plain(settings, key) in {int, float}]


def said(settings: PassSettings, key: str, value: Any) -> PassSettings:
    """A pass with a setting, as ``--set`` gives it."""
    name = name_of(settings)
    given = pass_settings("--set", [f"{name}.{key}={value}"])
    return recipes.overridden(Recipe(name="own", passes=(settings,)), given).passes[0]


def refused(settings: PassSettings, key: str, value: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        said(settings, key, value)
    assert key in caught.value.place
    assert f"--set {name_of(settings)}" in caught.value.place
    assert caught.value.fix
    return caught.value


def labelled(case: Any) -> str:
    return name_of(case) if isinstance(case, msgspec.Struct) else str(case)


@pytest.mark.parametrize(("settings", "key"), NUMBERS, ids=labelled)
def test_numbers_outside_of_their_bounds_are_refused(settings: PassSettings, key: str) -> None:
    least, most = bounds(settings, key)
    whole = plain(settings, key) is int
    for value in (least, *([most] if math.isfinite(most) else [1e6])):
        assert getattr(said(settings, key, int(value) if whole else value), key) == value
    refused(settings, key, int(least) - 1 if whole else least - 2 * TINY)
    for value in (-1, "nan", "inf", "-inf", "some", "true", *([int(most) + 1] if math.isfinite(most) else [])):
        refused(settings, key, value)
    if whole:
        refused(settings, key, least + 0.5)
    if whole and math.isfinite(most):
        refused(settings, key, 10**30)


@pytest.mark.parametrize(("settings", "key"), [case for case in EVERY if case not in NUMBERS], ids=labelled)
def test_words_that_a_setting_does_not_know_are_refused(settings: PassSettings, key: str) -> None:
    kind = plain(settings, key)
    if typing.get_origin(kind) is typing.Literal:
        assert all(getattr(said(settings, key, choice), key) == choice for choice in get_args(kind))
        assert any(choice in refused(settings, key, "none-such").fix for choice in get_args(kind))
    elif kind is bool:
        refused(settings, key, 0)
        refused(settings, key, "yes")
    else:  # names of files, of tensors and of augmentations are for those to judge who read them
        assert kind in {tuple[str, ...], str | None}


@pytest.mark.parametrize("settings", PASSES, ids=labelled)
def test_no_epochs_are_refused_where_a_pass_does_nothing_else(settings: PassSettings) -> None:
    if isinstance(settings, NOTHING_ELSE):
        assert "leave it out" in refused(settings, "epochs", 0).fix
    else:
        assert said(settings, "epochs", 0).epochs == 0


OTHERS: dict[str, Any] = {
    "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.5, "rates": 3, "momentum": 0.5, "schedule": "constant",
    "warmup": 0.5, "weight_decay": 0.1, "l1": 0.1, "dropout": 0.5, "label_smoothing": 0.1, "clip_norm": 3.0,
    "patience": 3, "loss": "mse", "temperature": 9.0, "alpha": 0.1, "augmentation": ("flip",), "normalization": "on",
    "from_scratch": True, "features": ("a=b",),
}  # fmt: skip
"""What is not usual, by every setting of a training that needs epochs."""


@pytest.mark.parametrize("kind", [Prune, Cluster, PruneChannels])
def test_settings_of_a_training_that_is_none_are_told(kind: type[PassSettings]) -> None:
    assert {*OTHERS} == {*Training.__struct_fields__} - {"epochs", "holdout"}
    for key, value in OTHERS.items():
        (told,) = idle(kind(epochs=0, **{key: value}))
        assert told.startswith(f"{key} changes nothing")
        assert not idle(kind(epochs=9, **{key: value}))
    assert not idle(kind(epochs=0, holdout=0.5))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Prune(epochs=0, dynamic=True), "dynamic"),
        (Prune(epochs=0, ramp="constant"), "ramp"),
        (Qat(epochs=5, patience=5), "patience"),
        (Distill(student="small.onnx", width=0.25), "width"),
    ],
)
def test_what_another_setting_makes_idle_is_told(settings: PassSettings, key: str) -> None:
    (told,) = idle(settings)
    assert told.startswith(key)


@pytest.mark.parametrize("settings", [*PASSES, Qat(epochs=6, patience=5), Distill(width=0.25)], ids=labelled)
def test_what_counts_is_not_told(settings: PassSettings) -> None:
    assert not idle(settings)


@pytest.mark.parametrize("name", recipes.recipe_names())
def test_recipes_that_are_built_in_set_nothing_in_vain(name: str) -> None:
    assert not any(idle(settings) for settings in recipes.recipe(name).passes)
