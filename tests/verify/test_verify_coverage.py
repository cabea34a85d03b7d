"""Coverage: shares of operators and of multiply-accumulates."""

from pathlib import Path

import pytest

from edgekit.nouns.building import Built, Placement
from edgekit.verify import coverage
from edgekit.waist import cost, graph
from tests import networks


def _built(path: Path, on: dict[int, str]) -> Built:
    main = graph.read(path)[0]
    places = tuple(
        Placement(index=o.index, operator=o.name, name="", runs_on=on.get(o.index, "CPU")) for o in main.operators
    )
    return Built(files=(path.name,), signature=networks.signature(path), placements=places)


def test_the_share_is_of_operators_and_of_what_they_multiply(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    main = graph.read(path)[0]
    first = cost.macs(main, main.operators[0])
    found = coverage.of(_built(path, {0: "Edge TPU"}), tmp_path, "Edge TPU", 0.9)
    assert found is not None
    assert found.operators == pytest.approx(1 / len(main.operators))
    assert found.macs == pytest.approx(first / sum(cost.macs(main, operator) for operator in main.operators))
    assert found.share == found.macs
    assert found.least == 0.9


def test_an_accelerator_that_takes_nothing_is_one_all_the_same(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    nothing = coverage.of(_built(path, {}), tmp_path, "Edge TPU", None)
    assert nothing is not None
    assert nothing.share == 0
    assert coverage.of(_built(path, {}), tmp_path, None, 0.9) is None
    found = coverage.of(_built(path, {1: "?", 2: "NPU"}), tmp_path, None, None)
    assert found is not None
    assert found.device == "NPU"


def test_without_products_operators_count(tmp_path: Path) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "net.tflite", net.operator("ABS", [net.input("x", (1, 4))], (1, 4)))
    found = coverage.of(_built(path, {0: "Edge TPU"}), tmp_path, "Edge TPU", None)
    assert found is not None
    assert (found.macs, found.share) == (None, 1.0)
