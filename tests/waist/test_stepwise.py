"""Networks run operator by operator."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.channels.walking import ActivationWalk
from edgekit.waist import graph, run
from edgekit.waist.stepwise import Stepwise
from tests.networks import Network, weights


def network(path: Path, *, first: bool) -> Path:
    """An operator that reads constants alone, read beside the input: before it, or after it."""
    net = Network()
    x = net.input("x", (1, 12))
    made = net.operator("NEG", [net.constant("kept", weights(1, 12))], (1, 12))
    made = net.operator("ABS", [made], (1, 12))
    pair = [made, x] if first else [x, made]
    return net.save(path, net.operator("MUL", pair, (1, 12), kind="MulOptions"))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_what_is_made_of_constants_is_there_for_every_sample(tmp_path: Path, first: bool, count: int) -> None:
    path = network(tmp_path / "net.tflite", first=first)
    x = np.random.default_rng(0).standard_normal((count, 1, 12)).astype(np.float32)
    expected = np.stack([next(iter(row.values())) for row in run.each(path, {"x": x})])
    walk = ActivationWalk(graph.load(path), {0: x})
    for operator in walk.through("walking"):
        assert all(len(values) == count for values in walk.values.values()), operator
        if operator.name == "MUL":
            np.testing.assert_array_equal(walk.linear(operator.index), expected)
    stepwise = Stepwise(graph.load(path))
    made = stepwise.run(stepwise.graph.operators[0], {0: x})
    np.testing.assert_array_equal(made[stepwise.graph.operators[0].outputs[0]], np.tile(-weights(1, 12), (count, 1, 1)))
