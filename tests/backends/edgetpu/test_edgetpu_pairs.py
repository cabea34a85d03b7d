"""The forecast against Google's own compiler, on models with their compiled twins.

Print the tables: ``uv run pytest -s -k agrees tests/backends/edgetpu/test_edgetpu_pairs.py``. Every
pair ``X.tflite`` and ``X_edgetpu.tflite`` in the shared folder is measured and printed, and must reach
`FLOOR`; those that the rules were studied on must be perfect.
"""

import sys
from pathlib import Path

import pytest

from edgekit.backends.edgetpu import compiled
from edgekit.backends.edgetpu.compiled import Score
from edgekit.backends.edgetpu.forecast import EDGE_TPU, forecast
from edgekit.waist import graph

STUDIED = {
    "deeplabv3_mnv2_dm05_pascal_quant": (64, 8),
    "keras_lstm_mnist_ptq": (6, 0),
    "mobilenet_v1_0.25_128_quant": (31, 0),
    "posenet_mobilenet_v1_075_353_481_16_quant_decoder": (37, 1),
    "split_concat": (3, 0),
}
"""Operators that the compiler mapped, and those that it left to the CPU."""


FLOOR = 0.9
"""The least precision and recall of a forecast, for any pair."""


def scores(original: Path) -> dict[str, Score]:
    twin = original.with_name(f"{original.stem}_edgetpu.tflite")
    predicted = frozenset(p.index for p in forecast(original).placements if p.runs_on == EDGE_TPU)
    return compiled.score(graph.read(original)[0], graph.read(twin)[0], predicted)


@pytest.mark.shared
def test_the_forecast_agrees_with_the_compiler(shared: Path) -> None:
    together: dict[str, Score] = {}
    totals: dict[str, Score] = {}
    for twin in sorted((shared / "models" / "edgetpu").glob("*_edgetpu.tflite")):
        name = twin.stem.removesuffix("_edgetpu")
        found = scores(twin.with_name(f"{name}.tflite"))
        totals[name] = total = sum(found.values(), Score())
        sys.stdout.write(f"{name}: precision {total.precision:.3f}, recall {total.recall:.3f}\n")
        for operator, row in found.items():
            together[operator] = together.get(operator, Score()) + row
    sys.stdout.write(f"\n{compiled.table(together)}\n")
    assert set(totals) >= set(STUDIED)
    assert {name for name, total in totals.items() if min(total.precision, total.recall) < FLOOR} == set()


@pytest.mark.shared
@pytest.mark.parametrize("name", STUDIED)
def test_the_studied_pairs_are_perfect(shared: Path, name: str) -> None:
    found = scores(shared / "models" / "edgetpu" / f"{name}.tflite")
    total = sum(found.values(), Score())
    assert (total.mapped_as_predicted, total.left_as_predicted) == STUDIED[name]
    assert total.precision == total.recall == 1.0, compiled.table(found)


@pytest.mark.shared
def test_the_reason_of_the_break_is_named(shared: Path) -> None:
    made = forecast(shared / "models" / "edgetpu" / "deeplabv3_mnv2_dm05_pascal_quant.tflite")
    first = next(p for p in made.placements if p.runs_on != EDGE_TPU)
    assert first.operator == "RESIZE_BILINEAR"
    assert "enlarges 33 times" in first.status
    assert "2 CONV_2D" in made.notes[2]
