"""Ranges that are searched for, tensor by tensor, by what the outputs lose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.backends.tflite import range_search
from tests import networks
from tests.backends.integers import Quantized

ENDS = st.tuples(st.floats(-100, 0), st.floats(0.01, 100))


def two_branches(path: Path, kind: str) -> Path:
    """An input whose outliers a RELU6 cuts off, beside one whose outliers are what counts: ``kind`` joins them."""
    net = networks.Network()
    made = []
    for name in ("cut", "counts"):
        x = net.input(name, (1, 16))
        if name == "cut":
            x = net.operator("RELU6", [x], (1, 16))
        held = [net.constant(f"k_{name}", networks.weights(8, 16)), net.constant(f"b_{name}", np.ones(8, np.float32))]
        made.append(net.operator("FULLY_CONNECTED", [x, *held], (1, 8), kind="FullyConnectedOptions"))
    if kind == "ADD":
        return net.save(path, net.operator("ADD", made, (1, 8), kind="AddOptions"))
    return net.save(path, *made)


def drawn(seed: int, count: int) -> dict[str, Any]:
    """Normal values, one of twenty much larger."""
    random = np.random.default_rng(seed)
    spread = {name: random.standard_normal((count, 16)).astype(np.float32) for name in ("cut", "counts")}
    rare = {name: np.where(random.random((count, 16)) < 0.05, 60, 1).astype(np.float32) for name in spread}
    return {f"source_{name}": (2 * values * rare[name])[:, None] for name, values in spread.items()}


@pytest.mark.study
@pytest.mark.slow
def test_each_tensor_gets_the_range_that_serves_the_outputs(tmp_path: Path) -> None:
    waist, fresh = two_branches(tmp_path / "waist.tflite", "apart"), drawn(7, 200)
    levels = {}
    for way in ("auto", "searched"):
        made = Quantized(waist, drawn(0, 160), tmp_path / way, settings={"ranges": way, "weights": "nearest"})
        levels[way] = min(made.sqnr_db(fresh).values())
        again = made.artifact.read_bytes()
    assert levels["searched"] > levels["auto"] + 3
    assert "searched ranges" in made.made.notes[0]
    order = np.random.default_rng(1).permutation(160)
    mixed = {name: values[order] for name, values in drawn(0, 160).items()}
    made = Quantized(waist, mixed, tmp_path / "order", settings={"ranges": "searched", "weights": "nearest"})
    assert made.artifact.read_bytes() == again


def test_too_few_samples_are_not_searched_with(tmp_path: Path) -> None:
    waist = two_branches(tmp_path / "waist.tflite", "ADD")
    made = Quantized(waist, drawn(0, 4), tmp_path / "few", settings={"ranges": "searched"})
    assert any("ranges were not searched for: too few samples" in note for note in made.made.notes)


@given(ENDS, st.lists(ENDS, max_size=4), st.booleans())
def test_what_is_tried_in_place_of_a_range_differs_from_it(
    current: tuple[float, float], others: list[tuple[float, float]], centred: bool
) -> None:
    tried = list(range_search._proposals(current, others, centred=centred))
    assert len(set(tried)) == len(tried)
    assert current not in tried
    for low, high in tried:
        assert low <= 0 <= high
        if centred and (low, high) not in others:
            assert low * current[1] == np.float64(high * current[0]) or abs(low * current[1] - high * current[0]) < 1e-6
