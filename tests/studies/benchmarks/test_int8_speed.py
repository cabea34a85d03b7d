from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.studies.benchmarks import int8_speed


def test_an_interval_holds_the_ratio() -> None:
    theirs = list(1 + np.random.default_rng(0).random(30) * 0.1)
    ratio, low, high = int8_speed.interval([time * 0.8 for time in theirs], theirs)
    assert (ratio, low, high) == pytest.approx((0.8, 0.8, 0.8))
    noisy = [time * 0.8 * (1 + 0.05 * (-1) ** i) for i, time in enumerate(theirs)]
    ratio, low, high = int8_speed.interval(noisy, theirs)
    assert 0.75 < low <= ratio <= high < 0.85
    assert low < high


def test_blocks_are_fresh_processes_and_paired(tmp_path: Path) -> None:
    file = networks.classifier(tmp_path / "net.tflite")
    times = int8_speed.interleaved({"a": file, "b": file}, blocks=1)
    assert {name: len(found) for name, found in times.items()} == {"a": 1, "b": 1}
    assert all(0 < found[0] < 100 for found in times.values())


def test_the_table() -> None:
    ratio = int8_speed.Ratio("net.h5", "TFLiteConverter", 0.1, 0.2, 0.5, 0.4, 0.6)
    assert int8_speed.markdown([ratio]).splitlines()[-1] == (
        "| net.h5 | TFLiteConverter | 0.100 | 0.200 | 0.500 | 0.400 – 0.600 |"
    )


def test_a_tool_that_makes_no_file_is_named() -> None:
    rows = [
        int8_speed.Ratio(model, other, 0.1, 0.2, 0.5, 0.4, 0.6)
        for model, other in (
            ("a.onnx", int8_speed.ONNX2TF),
            ("a.onnx", "TFLiteConverter"),
            ("b.onnx", "TFLiteConverter"),
        )
    ]
    last = "onnx2tf -oiqt fails on b.onnx: there is no file to compare with."
    assert int8_speed.markdown(rows).splitlines()[-1] == last
    assert last not in int8_speed.markdown(rows[:2])
