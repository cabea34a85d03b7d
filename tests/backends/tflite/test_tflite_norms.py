"""Division by a norm in int8: all of integers, right for inputs of every size, and 0 for zeros."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import integer
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.ready import norms
from edgekit.equalization import observing
from edgekit.waist import graph, run, trial
from edgekit.waist.tensors import sqnr_db
from tests import networks

ROWS, WIDTH = 3, 16


class Division:
    """``x`` [3, 16] behind a dense layer, divided in one of many ways."""

    def __init__(
        self, path: Path, form: str, *, epsilon: float = 1e-9, squares: str = "SQUARE", axis: int = -1
    ) -> None:
        self.net, self.epsilon = networks.Network(), epsilon
        x = self.net.input("x", (ROWS, WIDTH))
        dense, bias = (
            self.net.constant("k", networks.weights(WIDTH, WIDTH)),
            self.net.constant("b", np.zeros(WIDTH, np.float32)),
        )
        self.x = self.net.operator("FULLY_CONNECTED", [x, dense, bias], (ROWS, WIDTH), kind="FullyConnectedOptions")
        self.squares, self.axis = squares, axis
        self.path = self.net.save(path, self.ways()[form]())

    def ways(self) -> dict[str, Callable[[], int]]:
        return {
            "x / max(n, e)": lambda: self.op("DIV", self.x, self.op("MAXIMUM", self.one("SQRT", self.total()), self.small())),
            "x / (n + e)": lambda: self.op("DIV", self.x, self.op("ADD", self.one("SQRT", self.total()), self.small())),
            "x / (e + n)": lambda: self.op("DIV", self.x, self.op("ADD", self.small(), self.one("SQRT", self.total()))),
            "x / sqrt(s + e)": lambda: self.op("DIV", self.x, self.one("SQRT", self.op("ADD", self.total(), self.small(2)))),
            "x rsqrt(max(s, e))": lambda: self.op("MUL", self.x, self.one("RSQRT", self.op("MAXIMUM", self.total(), self.small(2)))),
            "rsqrt(s + e) x": lambda: self.op("MUL", self.one("RSQRT", self.op("ADD", self.total(), self.small(2))), self.x),
            "x / rms": lambda: self.op("DIV", self.x, self.one("SQRT", self.op("ADD", self.total("MEAN"), self.small(2)))),
            "x rsqrt(mean + e)": lambda: self.op("MUL", self.x, self.one("RSQRT", self.op("ADD", self.total("MEAN"), self.small(2)))),
        }  # fmt: skip

    def small(self, power: int = 1) -> int:
        return self.net.constant(f"e{power}", np.array([self.epsilon**power], np.float32))

    def op(self, kind: str, a: int, b: int) -> int:
        shapes = [tuple(int(size) for size in self.net.subgraph.tensors[tensor].shape) for tensor in (a, b)]
        options = {"MAXIMUM": "MaximumMinimumOptions"}.get(kind, f"{kind.title()}Options")
        return self.net.operator(kind, [a, b], max(shapes, key=np.prod), kind=options)

    def one(self, kind: str, a: int) -> int:
        return self.net.operator(kind, [a], tuple(int(size) for size in self.net.subgraph.tensors[a].shape))

    def total(self, kind: str = "SUM") -> int:
        square = self.op("MUL", self.x, self.x) if self.squares == "MUL" else self.one("SQUARE", self.x)
        axes = self.net.constant("axes", np.array([self.axis], np.int32))
        shape = (ROWS, 1) if self.axis % 2 else (1, WIDTH)
        return self.net.operator(kind, [square, axes], shape, kind="ReducerOptions", keepDims=True)


def inputs(count: int = 40) -> Any:
    return {"x": np.random.default_rng(0).standard_normal((count, ROWS, WIDTH)).astype(np.float32)}


FORMS = [
    "x / max(n, e)", "x / (n + e)", "x / (e + n)", "x / sqrt(s + e)", "x rsqrt(max(s, e))", "rsqrt(s + e) x", "x / rms",
    "x rsqrt(mean + e)",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("squares", ["SQUARE", "MUL"])
def test_norms_are_of_integers_for_inputs_of_every_size(form: str, squares: str, tmp_path: Path) -> None:
    path = Division(tmp_path / "waist.tflite", form, squares=squares).path
    made = integer.quantize(path, inputs(), trial.kept(), QuantizationSettings(weights="nearest")).candidate
    assert not made.floats
    assert made.sqnr_db > 30
    file = tmp_path / "made.tflite"
    file.write_bytes(made.content)
    x = inputs()["x"][:1]
    for size, least_db in ((1.0, 30), (0.1, 17), (0.02, 6)):  # a fiftieth has 5 levels
        (wanted,), (got,) = (
            run.run(path, {"x": x * np.float32(size)}).values(),
            run.run(file, {"x": x * np.float32(size)}).values(),
        )
        assert sqnr_db(wanted, got) > least_db
    (nothing,) = run.run(file, {"x": 0 * x}).values()
    assert not nothing.any()


def fused(path: Path) -> tuple[Any, dict[int, tuple[float, float]] | None]:
    model, main = graph.load(path), graph.read(path)[0]
    seen = observing.observe(path, main, inputs(8), np.arange(2), 0).activations
    return model, norms.fuse(model, seen)


@pytest.mark.parametrize("form", FORMS)
def test_the_fused_network_is_the_same(form: str, tmp_path: Path) -> None:
    path = Division(tmp_path / "waist.tflite", form).path
    model, _ = fused(path)
    file = tmp_path / "fused.tflite"
    file.write_bytes(graph.pack(model))
    assert {operator.name for operator in graph.read(file)[0].operators} <= {
        "FULLY_CONNECTED",
        "L2_NORMALIZATION",
        "MUL",
    }
    (wanted,), (got,) = run.run(path, inputs(4)).values(), run.run(file, inputs(4)).values()
    assert sqnr_db(wanted, got) > 100


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other", [{"epsilon": 1e-1}, {"axis": 0}])
def test_what_is_something_else_stays_what_it_is(form: str, other: dict[str, Any], tmp_path: Path) -> None:
    """A bound that inputs of few levels reach, and a norm along another axis."""
    assert fused(Division(tmp_path / "waist.tflite", form, **other).path)[1] is None


def test_a_norm_that_somebody_else_reads_stays(tmp_path: Path) -> None:
    division = Division(tmp_path / "waist.tflite", "x / max(n, e)")
    main = graph.read(division.path)[0]
    (size,) = (operator.outputs[0] for operator in main.operators if operator.name == "SQRT")
    division.net.save(division.path, main.outputs[0], size)
    model, made = fused(division.path)
    assert made is not None
    assert {"L2_NORMALIZATION", "SQRT"} <= {operator.name for operator in graph.describe(model)[0].operators}


def test_wide_norms_stay_a_chain_where_one_scale_for_all_loses_them(tmp_path: Path) -> None:
    """L2_NORMALIZATION gives steps of 1/128, and each of 4,096 equal parts of a unit is 1/64."""
    net = networks.Network()
    x, wide = net.input("x", (1, 8)), 4096
    dense, bias = net.constant("k", networks.weights(wide, 8)), net.constant("b", np.zeros(wide, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, wide), kind="FullyConnectedOptions")
    square, axes = net.operator("SQUARE", [x], (1, wide)), net.constant("axes", np.array([1], np.int32))
    total = net.operator("SUM", [square, axes], (1, 1), kind="ReducerOptions", keepDims=True)
    bound = net.operator(
        "MAXIMUM", [total, net.constant("e", np.array([1e-12], np.float32))], (1, 1), kind="MaximumMinimumOptions"
    )
    root = net.operator("SQRT", [bound], (1, 1))
    path = net.save(tmp_path / "waist.tflite", net.operator("DIV", [x, root], (1, wide), kind="DivOptions"))
    samples = {"x": np.random.default_rng(0).standard_normal((20, 1, 8)).astype(np.float32)}
    made, whole = (
        integer.quantize(
            path, samples, trial.kept(), QuantizationSettings(full_integer=full, weights="nearest")
        ).candidate
        for full in (False, True)
    )
    assert made.sqnr_db > 30
    assert made.floats
    assert (whole.floats, whole.sqnr_db > 10) == ((), True)
