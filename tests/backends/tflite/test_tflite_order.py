"""The order in which a user's calibration samples stand changes nothing of the file."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.backends import tflite
from edgekit.backends.tflite import integer
from edgekit.nouns.model import Precision
from edgekit.waist.ordering import by_content
from tests import networks
from tests.backends.integers import normal

pytestmark = pytest.mark.study


def test_the_order_of_contents() -> None:
    random = np.random.default_rng(0)
    inputs = {"a": random.standard_normal((20, 3)), "b": random.integers(0, 9, (20, 2))}
    inputs["a"][7], inputs["b"][7] = inputs["a"][3], inputs["b"][3]  # the same sample twice
    turned = random.permutation(20)
    first = by_content(inputs)
    second = turned[by_content({name: values[turned] for name, values in inputs.items()})]
    for values in inputs.values():
        np.testing.assert_array_equal(values[first], values[second])
    big = {name: values.astype(values.dtype.newbyteorder(">")) for name, values in inputs.items()}
    np.testing.assert_array_equal(by_content(big), first)


@pytest.mark.parametrize(("precision", "count"), [("int8", 40), ("int8", 150), ("int16x8", 40)])
def test_a_permutation_gives_the_same_file(tmp_path: Path, precision: Precision, count: int) -> None:
    waist = networks.classifier(tmp_path / "net.tflite", logits=3)
    samples = normal(waist, count)
    contents = set()
    for seed in range(3):
        order = np.arange(count) if not seed else np.random.default_rng(seed).permutation(count)
        given = {name: values[order] for name, values in samples.items()}
        tflite.TFLiteBackend().build(
            networks.job(waist, precision, calibration=given, settings={"weights": "auto"}), "m.tflite", tmp_path
        )
        contents.add((tmp_path / "m.tflite").read_bytes())
    assert len(contents) == 1


def test_a_permutation_of_which_a_large_network_sees_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer.effort, "OBSERVED_MACS", 0.0)
    test_a_permutation_gives_the_same_file(tmp_path, "int8", 60)
