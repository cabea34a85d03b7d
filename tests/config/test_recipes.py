"""Recipes as users write them."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.config import recipes
from edgekit.errors import InputError
from edgekit.nouns.model import FLOATS, Precision
from edgekit.nouns.recipe import PassSettings, Qat, name_of, shown

BUILT_IN = {
    "ptq", "qat", "prune-channels30", "prune-channels50", "prune-channels50-qat", "prune50", "dynamic-prune50-qat",
    "sparse24-qat", "cluster-qat", "distill-half",
}  # fmt: skip


def written(folder: Path, *passes: str) -> str:
    file = folder / "own.toml"
    file.write_text("\n".join(f"[[passes]]\n{lines}" for lines in passes))
    return str(file)


def complaint(name: str, **how: object) -> InputError:
    with pytest.raises(InputError) as caught:
        recipes.recipe(name, **how)
    return caught.value


def test_all_that_is_promised_is_built_in() -> None:
    assert set(recipes.recipe_names()) == BUILT_IN


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_built_in_recipe_reads_and_travels(name: str) -> None:
    found = recipes.recipe(name)
    assert found.name == name
    assert found.description.endswith(".")
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
    assert recipes.recipe(str(recipes.recipe_file(name))) == found


def test_the_passes_of_a_recipe_are_in_its_name() -> None:
    """What is called qat ends with it, and nothing else trains integers."""
    for name in BUILT_IN:
        last = [name_of(one) for one in recipes.recipe(name).passes][-1:]
        assert (last == ["qat"]) == name.endswith("qat")


@pytest.mark.parametrize(
    ("lines", "place", "fix"),
    [
        ('pass = "quat"', "passes[0].pass", "did you mean qat?"),
        ("epochs = 3", "passes[0]", "add pass ="),
        ('pass = "qat"\nepoch = 3', "passes[0].epoch", "did you mean epochs?"),
        ('pass = "qat"\nepochs = -1', "passes[0].epochs", "expected a whole number >= 1"),
        ('pass = "qat"\nepochs = 1.5', "passes[0].epochs", "expected a whole number"),
        ('pass = "qat"\nlearning_rate = 0', "passes[0].learning_rate", "> 0"),
        ('pass = "prune"\nsparsity = 1', "passes[0].sparsity", "< 1"),
        ('pass = "prune-channels"\nof = "mac"', "passes[0].of", "did you mean macs?"),
        ('pass = "qat"\naugmentation = "flip"', "passes[0].augmentation", "a list in brackets"),
    ],
)
def test_a_wrong_recipe_names_the_key_and_the_remedy(tmp_path: Path, lines: str, place: str, fix: str) -> None:
    error = complaint(written(tmp_path, lines))
    assert error.place.endswith(place)
    assert fix in error.fix


@pytest.mark.parametrize("text", ['passes = "qat"', 'passes = ["qat"]', "passes = [1]", 'name = "other"', "x = 1"])
def test_a_recipe_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    assert str(file) in complaint(str(file)).place


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    assert complaint("prune-chanels50").fix == "did you mean prune-channels50?"
    assert "choose one of: " in complaint("zzz").fix
    assert "no recipe" in complaint("../recipes/qat").problem


@given(st.permutations(["prune-channels", "prune", "cluster", "qat"]))
def test_only_one_order_makes_sense(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    place = written(tmp_path_factory.mktemp("recipe"), *(f'pass = "{name}"' for name in names))
    if names == ["prune-channels", "prune", "cluster", "qat"]:
        assert [name_of(one) for one in recipes.recipe(place).passes] == names
    else:
        error = complaint(place)
        before, after = error.fix.removeprefix("put ").split(" before ")
        assert names.index(after) < names.index(before)


def test_integers_are_trained_once(tmp_path: Path) -> None:
    assert complaint(written(tmp_path, 'pass = "qat"', 'pass = "qat"')).fix == "leave out the first"


def test_settings_go_before_a_recipe_s_own() -> None:
    (found,) = recipes.recipe("qat", {"qat": {"epochs": 2, "optimizer": "sgd"}}).passes
    assert (found.epochs, found.optimizer) == (2, "sgd")
    (student,) = recipes.recipe("distill-half", overrides={"distill": {"epochs": 2}}).passes
    assert (student.epochs, student.student) == (2, None)
    assert complaint("qat", overrides={"qat": {"epoch": 2}}).fix == "did you mean epochs?"
    assert complaint("qat", overrides={"prune": {"epochs": 2}}).fix == "it has qat"
    assert complaint("ptq", overrides={"qat": {"epochs": 2}}).fix == "it has no passes"
    assert complaint("qat", overrides={"qat": {"pass": "prune"}}).fix == 'expected "qat"'


def test_options_stand_for_a_recipe_in_the_right_order() -> None:
    found = recipes.shortcut(prune_channels=0.5, prune=0.25, qat=True)
    assert found.name == "prune-channels-prune-qat"
    assert [name_of(one) for one in found.passes] == ["prune-channels", "prune", "qat"]
    assert recipes.shortcut(qat=True).passes == (Qat(),)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_shortcut_trains_the_integers_of_the_files_that_are_wanted(precision: Any) -> None:
    (found,) = recipes.shortcut(qat=True, precision=precision).passes
    assert isinstance(found, Qat)
    assert found.precision == ("int8" if precision in FLOATS else precision)
    (said,) = recipes.shortcut(qat=True, precision=precision, overrides={"qat": {"precision": "int4"}}).passes
    assert said == Qat(precision="int4")


def test_every_pass_has_a_place_in_the_order() -> None:
    assert {name_of(kind()) for kind in PassSettings.__args__} == set(recipes.ORDER)


def test_a_pass_is_shown_without_python_s_own_signs() -> None:
    assert shown(Qat(augmentation=("flip", "crop"), epochs=2)) == "qat (epochs 2, augmentation flip+crop)"
    assert shown(Qat(augmentation=())) == "qat (augmentation none)"


@pytest.mark.parametrize("before", ["finetune", "prune-channels", "distill"])
def test_a_student_of_its_own_comes_first(before: str, tmp_path: Path) -> None:
    """What stands before it would be thrown away."""
    student = 'pass = "distill"\nstudent = "small.keras"'
    error = complaint(written(tmp_path, f'pass = "{before}"', student))
    assert "small.keras" in error.problem
    assert error.fix == f"put it first, or leave out {before}"
    own = written(tmp_path, student, 'pass = "finetune"', 'pass = "distill"')
    assert [name_of(one) for one in recipes.recipe(own).passes] == ["distill", "finetune", "distill"]
