"""Operators that a user wants float, in every precision with integers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends import tflite
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Precision
from edgekit.waist import graph, named
from tests import networks
from tests.backends.integers import normal


@pytest.fixture(scope="module")
def waist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dense layers with a softmax."""
    net = networks.Network()
    value = net.input("x", (1, 8))
    for layer in range(3):
        constants = [net.constant(f"k{layer}", networks.weights(8, 8)), net.constant(f"b{layer}", np.ones(8, "f"))]
        value = net.operator(
            "FULLY_CONNECTED", [value, *constants], (1, 8), name=f"dense{layer}", kind="FullyConnectedOptions"
        )
    value = net.operator("SOFTMAX", [value], (1, 8), name="shares", kind="SoftmaxOptions", beta=1.0)
    return net.save(tmp_path_factory.mktemp("named") / "net.tflite", value)


def floats(waist: Path, folder: Path, precision: Precision, **settings: Any) -> set[str]:
    """What the operators make whose weights or inputs and outputs are float32 in the file."""
    job = networks.job(waist, precision, calibration=normal(waist), settings=settings)
    tflite.TFLiteBackend().build(job, "m.tflite", folder)
    main = graph.read(folder / "m.tflite")[0]
    return {
        main.tensors[operator.outputs[0]].name
        for operator in main.operators
        if operator.name in {"FULLY_CONNECTED", "SOFTMAX"}
        and main.tensors[operator.inputs[-2 if operator.name == "FULLY_CONNECTED" else 0]].dtype == "float32"
    }


@pytest.mark.parametrize("wanted", [1, "dense1"])
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_one_operator_stays_float(waist: Path, tmp_path: Path, precision: Precision, wanted: int | str) -> None:
    assert floats(waist, tmp_path, precision) == set()
    assert floats(waist, tmp_path, precision, float_operators=[wanted]) == {"dense1"}


@pytest.mark.parametrize("wanted", [("dense0", 2), (0, "dense2", "SOFTMAX")])
def test_several_stay_float(waist: Path, tmp_path: Path, wanted: tuple[int | str, ...]) -> None:
    expected = {"dense0", "dense2", *(["shares"] if "SOFTMAX" in wanted else [])}
    assert floats(waist, tmp_path, "int8", float_operators=wanted) == expected


@pytest.mark.parametrize("precision", ["dynamic-int8", "int4"])
def test_weights_that_stay_float(waist: Path, tmp_path: Path, precision: Precision) -> None:
    assert {f"dense{n}" for n in range(3)} & floats(waist, tmp_path, precision) == set()
    found = floats(waist, tmp_path, precision, float_operators=["dense0", 2])
    assert found & {f"dense{n}" for n in range(3)} == {"dense0", "dense2"}


def test_all_of_a_kind(waist: Path, tmp_path: Path) -> None:
    found = floats(waist, tmp_path, "int8", float_operators=["FULLY_CONNECTED"])
    assert {"dense0", "dense1", "dense2"} <= found


@pytest.mark.parametrize(
    ("wanted", "fix"),
    [("dense9", "did you mean dense"), ("SOFTMX", "did you mean SOFTMAX"), (4, "a place from 0 to 3"), (-1, "place")],
)
def test_an_operator_that_is_not_there(waist: Path, wanted: int | str, fix: str) -> None:
    with pytest.raises(InputError, match="has no operator") as caught:
        named.outputs(graph.read(waist)[0], [wanted], "float_operators")
    assert fix in caught.value.fix
    assert caught.value.place == f"float_operators = {wanted}"


def test_a_target_of_integers_alone(waist: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="integers alone"):
        floats(waist, tmp_path, "int8", float_operators=["dense1"], full_integer=True)
