"""How often loops run, as far as a file tells, and what they cost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edgekit.waist import cost, effort, graph, loops
from tests import networks
from tests.lazy import Lazy

tf: Any = Lazy("tensorflow")

WEIGHTS = np.eye(8, dtype=np.float32)


def _file(path: Path, function: Any) -> Path:
    traced = tf.function(function).get_concrete_function(tf.TensorSpec((1, 8), tf.float32, name="x"))
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())
    return path


def _looped(start: int, limit: int, step: int, *, until: Any = None) -> Any:
    def run(x: Any) -> Any:
        def more(i: Any, y: Any) -> Any:
            return tf.logical_and(i < limit, until(y)) if until else i < limit

        return tf.while_loop(more, lambda i, y: (i + step, tf.matmul(y, WEIGHTS)), (tf.constant(start), x))[1]

    return run


@pytest.mark.parametrize(
    ("start", "limit", "step", "runs"), [(0, 5, 1, 5), (2, 9, 3, 3), (4, 4, 1, 0), (9, 2, 1, 0), (0, 1, 7, 1)]
)
def test_a_counted_loop_counts_as_often_as_it_runs(
    start: int, limit: int, step: int, runs: int, tmp_path: Path
) -> None:
    found = cost.count(_file(tmp_path / "l.tflite", _looped(start, limit, step)))
    assert found.macs == runs * 64
    assert not found.notes


def test_what_a_loop_computes_is_told_apart_from_the_rest(tmp_path: Path) -> None:
    inner = _looped(0, 3, 1)
    path = _file(tmp_path / "l.tflite", lambda x: tf.matmul(inner(x), WEIGHTS + x[0, 0]))
    assert cost.beside_main(graph.load(path)) == (3 * 64, 4 * 64)
    path = _file(tmp_path / "m.tflite", lambda x: tf.matmul(x, WEIGHTS))
    assert cost.beside_main(graph.load(path)) == (0, 64)


def test_a_loop_that_values_end_earns_time_for_each_step_of_the_longest_input(tmp_path: Path) -> None:
    def run(x: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 1e9, lambda y: (tf.matmul(y, WEIGHTS),), (x,))[0]

    path = _file(tmp_path / "l.tflite", run)
    assert effort.of(path).macs == 8 * 64
    assert cost.count(path).macs == 64


def test_values_count_as_often_as_a_loop_makes_them(tmp_path: Path) -> None:
    few, many = (effort.of(_file(tmp_path / f"{n}.tflite", _looped(0, n, 1))).values for n in (10, 1000))
    assert many > 50 * few


def test_loops_in_loops_multiply(tmp_path: Path) -> None:
    inner = _looped(0, 3, 1)

    def run(x: Any) -> Any:
        return tf.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, inner(y)), (tf.constant(0), x))[1]

    assert cost.count(_file(tmp_path / "l.tflite", run)).macs == 12 * 64


def test_a_loop_that_waits_for_values_counts_once_and_is_said(tmp_path: Path) -> None:
    path = _file(tmp_path / "l.tflite", _looped(0, 5, 1, until=lambda y: tf.reduce_sum(y) < 10.0))
    found = cost.count(path)
    assert found.macs == 64
    assert found.notes == ("a loop runs as often as values say: MACs count its body once",)
    model = graph.load(path)
    parts = graph.describe(model)
    assert [loops.trips(model, parts, 0, o) for o in parts[0].operators if o.name == "WHILE"] == [None]


def test_of_two_branches_the_larger_counts(tmp_path: Path) -> None:
    def run(x: Any) -> Any:
        larger = tf.reduce_sum(x) > 0
        return tf.cond(larger, lambda: tf.matmul(tf.matmul(x, WEIGHTS), 2 * WEIGHTS), lambda: tf.matmul(x, WEIGHTS))

    assert cost.count(_file(tmp_path / "i.tflite", run)).macs in {64, 128}


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 9))
def test_the_number_is_what_counting_gives(start: int, limit: int, step: int) -> None:
    assert loops.runs(start, limit, step) == len(range(start, limit, step))


def _loop(net: networks.Network, into: list[Any], condition: int, body: int) -> None:
    """A WHILE at the end of a subgraph that calls two others, for each pair of tensors."""
    for read, made in into:
        operator = schema.OperatorT()
        operator.opcodeIndex = len(net.model.operatorCodes)
        operator.inputs, operator.outputs = [read], [made]
        operator.builtinOptionsType = schema.BuiltinOptions.WhileOptions
        operator.builtinOptions = schema.WhileOptionsT()
        operator.builtinOptions.condSubgraphIndex, operator.builtinOptions.bodySubgraphIndex = condition, body
        net.subgraph.operators.append(operator)
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.WHILE, 119, 1
    net.model.operatorCodes.append(code)


def test_a_graph_whose_loops_call_it_many_times_over_is_counted_at_once(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    _loop(net, [(x, net.tensor(f"t{i}", (1, 8))) for i in range(20)], 0, 0)
    assert cost.count(net.save(tmp_path / "knot.tflite", x)).macs == 0


@pytest.mark.parametrize("kind", ["LOGICAL_AND", "RESHAPE"])
def test_a_condition_that_doubles_at_every_step_is_not_followed(kind: str, tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1,), "bool")
    y = x
    for _ in range(3000):
        y = net.operator(kind, [y, y], (1,), dtype="bool")
    _loop(net, [(x, net.tensor("out", (1,), "bool"))], 0, 0)
    found = cost.count(net.save(tmp_path / "deep.tflite", y))
    assert found.macs == 0


def test_what_a_loop_begins_with_is_no_parameter(tmp_path: Path) -> None:
    """Zeros of a state and room for results; what it is given otherwise, and zeros that are added, are weights."""
    net = networks.Network()
    x = net.input("x", (1, 8))
    state, weight, both = (net.constant(name, np.full((1, 8), value, np.float32)) for name, value in STARTS)
    x = net.operator("ADD", [x, both], (1, 8), kind="AddOptions")
    _loop(net, [(read, net.tensor(f"out{read}", (1, 8))) for read in (state, weight, both)], 0, 0)
    path = net.save(tmp_path / "loop.tflite", x)
    assert cost.parameters(graph.load(path)) == 16
    assert cost.zeros(path) == 0.5


STARTS = [("state", 0.0), ("weight", 1.0), ("both", 0.0)]
