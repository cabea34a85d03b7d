"""What counts of a layer's result behind an activation, and what a repair gains by it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.channels import cutting, repair, targets
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.waist import graph, run
from tests.channels.generated import Layers, network
from tests.networks import RELU

RELU6 = 3
BOUNDS = [*targets.FUSED.values(), *targets.ALONE.values()]


@given(st.sampled_from(BOUNDS), st.integers(0, 999))
def test_what_is_nearest_passes_as_what_is_wanted_does(bounds: tuple[float, float], seed: int) -> None:
    wanted, now, other = 4 * np.random.default_rng(seed).standard_normal((3, 1, 20, 4)).astype(np.float32)
    found = targets.nearest(*bounds)(wanted, now)
    assert np.array_equal(np.clip(found, *bounds), np.clip(wanted, *bounds))
    as_good = np.clip(other, *bounds) == np.clip(wanted, *bounds)
    assert np.all(np.abs(found - now)[as_good] <= np.abs(other - now)[as_good])
    assert np.all(np.abs(found - now) <= np.abs(wanted - now))


def _around(net: Layers, x: int, activation: int) -> int:
    """A way around two layers; the sum is held between bounds."""
    x = net.conv(x, 12)
    made = net.two("ADD", x, net.conv(net.conv(x, 16), 12, activation=0))
    net.net.subgraph.operators[-1].builtinOptions.fusedActivationFunction = activation
    return net.conv(made, 4, 1, activation=0)


FORMS = {
    "fused": lambda net, x: net.conv(net.conv(net.conv(x, 16), 12), 4, 1, activation=0),
    "fused, two bounds": lambda net, x: net.conv(net.conv(net.conv(x, 16), 12, activation=RELU6), 4, 1, activation=0),
    "alone": lambda net, x: net.conv(net.one("RELU", net.conv(net.conv(x, 16), 12, activation=0)), 4, 1, activation=0),
    "depthwise": lambda net, x: net.conv(net.depthwise(net.conv(net.conv(x, 12), 12)), 4, 1, activation=0),
    "behind a sum": lambda net, x: _around(net, x, RELU),
    "behind a sum, two bounds": lambda net, x: _around(net, x, RELU6),
}


def _samples(found: Dependencies) -> dict[int, np.ndarray]:
    (index,) = found.graph.inputs
    values = np.random.default_rng(0).standard_normal((64, *found.graph.tensors[index].shape))
    return {index: np.cumsum(values, axis=2).astype(np.float32) / 2}


def _passed(found: Dependencies, tree: object, at: int, folder: Path) -> np.ndarray:
    """What an operator's result is, by all samples."""
    folder.mkdir(exist_ok=True)
    net = graph.parse(graph.pack(tree), folder)
    net.subgraphs[0].outputs = np.array(found.graph.operators[at].outputs, np.int32)
    net.signatureDefs = []
    (folder / "network.tflite").write_bytes(graph.pack(net))
    made = run.run(folder / "network.tflite", {"x": next(iter(_samples(found).values()))})
    return next(iter(made.values()))


@pytest.mark.parametrize("form", FORMS)
def test_what_passes_an_activation_comes_nearer(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of what comes behind the activation of the repaired layer, with and without heeding it."""
    found = network(FORMS[form], tmp_path, 1, 6, 6, 3)
    family = next(f for f in found.families if f.origins[0][0] == (1 if "sum" in form else 0))
    gone = set(family.channels[::2])
    behind = len(found.graph.operators) - 2  # the last layer makes the outputs
    wanted = _passed(found, found.tree, behind, tmp_path / "whole")
    errors = []
    for rounds in (0, 6):
        monkeypatch.setattr(repair, "ROUNDS", rounds)
        tree = cutting.cut(found, gone)
        assert repair.repair(Rest(found, gone), tree, _samples(found))
        errors.append(float(np.square(_passed(found, tree, behind, tmp_path / f"cut{rounds}") - wanted).mean()))
    assert errors[1] < errors[0], form


@pytest.mark.parametrize("activation", [0, RELU])
def test_all_counts_of_what_several_read_or_comes_out(activation: int, tmp_path: Path) -> None:
    """In front of an activation that is not the only reader, and behind none."""

    def build(net: Layers, x: int) -> int:
        x = net.conv(net.conv(x, 8), 8, activation=activation)
        return net.two("ADD", net.one("RELU", x), x)

    found = network(build, tmp_path, 1, 4, 4, 3)
    bounded = targets.behind(found, found.graph.operators[1], added=False)
    assert (bounded is not None) == (activation == RELU)
