"""What a user says about quantization reaches each quantized variant, whichever way it is said."""

from pathlib import Path
from typing import Any, get_args

import click
import pytest

from edgekit import config
from edgekit.backends.tflite import layerwise
from edgekit.backends.tflite.range_search import SEARCHED
from edgekit.backends.tflite.ranges import METHODS
from edgekit.cli import options
from edgekit.config import Project
from edgekit.errors import InputError
from edgekit.nouns.model import FLOATS
from edgekit.nouns.quantization import Quantization
from edgekit.verbs.planning import plan


def said(*values: str) -> dict[str, Any]:
    """What ``--set`` makes of its values."""
    option = click.Option(["--set", "quantization"], multiple=True)
    return options.quantization(click.Context(click.Command("build")), option, values)


def words(key: str) -> set[str]:
    """What a key may be."""
    return {word for kind in get_args(Quantization.__annotations__[key]) for word in get_args(kind)}


def test_words_are_those_that_the_backend_knows() -> None:
    assert words("ranges") == {"auto", SEARCHED, *METHODS}
    assert words("weights") == {"auto", *layerwise.WAYS}


def test_only_what_was_said_is_a_setting() -> None:
    assert Quantization().settings == {}
    assert Quantization(per_channel=False, float_operators=(3, "a")).settings == {
        "per_channel": False,
        "float_operators": (3, "a"),
    }


def test_set() -> None:
    assert said() == {}
    assert said("weights=learned", "per_channel=False") == {"weights": "learned", "per_channel": False}
    assert said("float_operators=3, SOFTMAX,a/b;c=d") == {"float_operators": (3, "SOFTMAX", "a/b;c=d")}
    assert said("float_operators=7") == {"float_operators": (7,)}


@pytest.mark.parametrize(
    ("value", "problem", "fix"),
    [
        ("weigths=learned", "unknown key `weigths`", "did you mean weights?"),
        ("weights=lerned", '`weights` is "lerned"', "did you mean learned?"),
        ("ranges=12", '`ranges` is "12"', "auto, minmax"),
        ("per_channel=maybe", '`per_channel` is "maybe"', "true or false"),
        ("weights", "a key and its value", "weights=learned"),
        ("=learned", "a key and its value", "weights=learned"),
        ("weights=", "a key and its value", "weights=learned"),
    ],
)
def test_set_that_is_wrong(value: str, problem: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        said(value)
    assert problem in caught.value.problem
    assert fix in caught.value.fix
    assert "--set" in caught.value.place


def test_a_table_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text(
        'targets = ["android"]\n[quantization]\nranges = "minmax"\nfloat_operators = [3, "SOFTMAX"]\n'
    )
    found = config.project(tmp_path)
    assert found.quantization == Quantization(ranges="minmax", float_operators=(3, "SOFTMAX"))
    (tmp_path / "edgekit.toml").write_text("[quantization]\nfloat_operators = [true]\n")
    with pytest.raises(InputError, match=r"quantization\.float_operators\[0\]"):
        config.project(tmp_path)


def test_it_goes_before_the_settings_of_each_quantized_variant(tmp_path: Path) -> None:
    project = Project(targets=("android", "edgetpu"), quantization=Quantization(weights="nearest"))
    planned = plan(project, tmp_path / "model.onnx")
    assert planned.recipe.quantization == project.quantization
    bare = plan(Project(targets=project.targets), tmp_path / "model.onnx")
    pairs = list(zip(planned.variants, bare.variants, strict=True))
    assert {variant.precision for variant, _ in pairs} > {"float16"}
    for variant, before in pairs:
        added = {} if variant.precision in FLOATS else {"weights": "nearest"}
        assert variant.settings == before.settings | added
