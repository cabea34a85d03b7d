"""What a file is told to lack of its precision's name."""

from collections import Counter
from pathlib import Path

import pytest

from edgekit.backends.tflite import TFLiteBackend
from edgekit.nouns.model import CALIBRATED, Precision
from edgekit.waist import graph, holding
from tests import networks


@pytest.mark.parametrize("precision", ["float16", "dynamic-int8", "int8", "int16x8", "int4"])
def test_ordinary_files_hold_what_they_say(precision: Precision, tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "waist.tflite")
    calibration = networks.samples(networks.signature(waist), 16) if precision in CALIBRATED else None
    made = TFLiteBackend().build(networks.job(waist, precision, calibration=calibration), "m.tflite", tmp_path)
    assert not made.warnings


@pytest.mark.parametrize(("precision", "others"), [("int4", "int8"), ("dynamic-int8", "float32")])
def test_most_weights_stored_otherwise_are_told(precision: Precision, others: str) -> None:
    wanted = holding.STORED[precision]
    (told,) = holding.of_weights(precision, Counter({wanted: 40, others: 60}))
    assert told == f"only 40% of its weights are stored as {wanted} ({others} 60%)"
    (told,) = holding.of_weights(precision, Counter({others: 60}))
    assert told == f"none of its weights is stored as {wanted} ({others} 100%)"
    assert not list(holding.of_weights(precision, Counter({wanted: 60, others: 40})))
    assert not list(holding.of_weights(precision, Counter()))


def plain(path: Path) -> Path:
    net = networks.Network()
    return net.save(path, net.operator("EXP", [net.input("x", (1, 4))], (1, 4), kind="ExpOptions"))


def test_layers_that_stay_float_in_a_file_of_integers_are_told(tmp_path: Path) -> None:
    model = graph.load(networks.classifier(tmp_path / "float.tflite"))
    (told,) = holding.told("int8", model)
    assert told == "100% of the multiply-accumulates stay float32: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED"
    (told,) = holding.told("int8", graph.load(plain(tmp_path / "plain.tflite")))
    assert told == "none of its operators computes in integers"
