"""A network that starts by scaling says which range it wants."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edgekit.waist import graph, scaling
from tests import networks


def operator(name: str, inputs: tuple[int, ...]) -> graph.Operator:
    return graph.Operator(index=0, name=name, inputs=inputs, outputs=(9,))


class Constant:
    """Stands for ``graph.constant``: every tensor but the input is this number."""

    def __init__(self, value: float, size: int = 1) -> None:
        self.value, self.size = value, size

    def __call__(self, model: object, subgraph: int, tensor: int):
        return None if tensor == 0 else np.full(self.size, self.value, np.float32)


@given(st.floats(1e-3, 1e3))
def test_factors_and_shifts_are_read_whichever_way_they_are_written(factor: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "constant", Constant(factor))
        assert scaling._factor(None, operator("MUL", (0, 1)), 0) == pytest.approx(factor, rel=1e-6)
        assert scaling._factor(None, operator("MUL", (1, 0)), 0) == pytest.approx(factor, rel=1e-6)
        assert scaling._factor(None, operator("DIV", (0, 1)), 0) == pytest.approx(1 / factor, rel=1e-6)
        assert scaling._shift(None, operator("ADD", (0, 1)), 0) == pytest.approx(factor, rel=1e-6)
        assert scaling._shift(None, operator("SUB", (0, 1)), 0) == pytest.approx(-factor, rel=1e-6)
        assert scaling._shift(None, operator("SUB", (1, 0)), 0) == 0


@pytest.mark.parametrize(
    ("name", "inputs", "value", "size"),
    [("MUL", (0, 1), -1.0, 1), ("MUL", (0, 1), 0.0, 1), ("MUL", (0, 1), 0.1, 3), ("DIV", (1, 0), 255.0, 1),
     ("ADD", (0, 1), 0.1, 1), ("MUL", (0, 0), 0.1, 1), ("MUL", (0,), 0.1, 1)],
)  # fmt: skip
def test_what_is_no_scaling_says_nothing(name: str, inputs: tuple[int, ...], value: float, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "constant", Constant(value, size))
        assert scaling._factor(None, operator(name, inputs), 0) is None


def test_a_classifier_without_scaling_says_nothing(tmp_path: Path) -> None:
    assert scaling.input_ranges(networks.classifier(tmp_path / "waist.tflite")) == {}
    assert schema.BuiltinOperator.MUL  # the names above are the schema's
