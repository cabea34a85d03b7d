"""Identifiers: whatever people call a network, every language takes what becomes of it."""

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundles.naming import LONGEST, RESERVED, name, names, tells_nothing


@pytest.mark.parametrize(
    ("text", "snake"),
    [
        ("digits", "digits"),
        ("EfficientNet-Lite0 (v2)", "efficient_net_lite0_v2"),
        ("serving_default_x:0", "serving_default_x_0"),
        ("café", "cafe"),
        ("数字", "input"),
        ("", "input"),
        ("3d", "input_3d"),
        ("class", "class_input"),
        ("in", "in_input"),
        ("Result", "result_input"),
        ("picture", "picture_input"),
    ],
)
def test_names(text: str, snake: str) -> None:
    assert name(text, "input").snake == snake


@pytest.mark.parametrize(
    "text", ["model", "saved_model", "SavedModel", "best-2", "model_v3", "Model.final", "", "数字"]
)
def test_names_that_say_nothing(text: str) -> None:
    assert tells_nothing(text)


@pytest.mark.parametrize("text", ["digits", "model_digits", "yolov8n_best", "net10t"])
def test_names_that_say_something(text: str) -> None:
    assert not tells_nothing(text)


def test_ways_of_writing() -> None:
    one = name("my net 2", "model")
    assert (one.camel, one.pascal, one.upper, one.flat) == ("myNet2", "MyNet2", "MY_NET_2", "mynet2")


def test_two_of_one_name() -> None:
    assert [one.snake for one in names(["x", "X", "x!", "数", "字"], "input")] == [
        "x",
        "x_2",
        "x_3",
        "input",
        "input_2",
    ]
    assert [one.snake for one in names(["ab", "a_b"], "input")] == ["ab", "a_b_2"]


@given(st.lists(st.text(max_size=60), max_size=6), st.sampled_from(["input", "output", "model"]))
def test_any_names(texts: list[str], role: str) -> None:
    made = names(texts, role)
    assert len({one.flat for one in made}) == len(texts)
    for one in made:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", one.snake)
        assert one.flat not in RESERVED
        assert not keyword.iskeyword(one.snake)
        assert one.pascal.isidentifier()
        assert one.camel.isidentifier()
        assert len(one.flat) <= LONGEST + 2 * len(role) + 3
