"""What diagnose says of operators that it cannot look into: branches with weights of their own, and kernels in 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.backends.tflite import TFLiteBackend
from edgekit.backends.tflite.diagnosis import diagnose, wider
from edgekit.backends.tflite.diagnosis.matching import Side
from edgekit.nouns.model import Waist
from edgekit.waist import graph
from tests import networks
from tests.backends.tflite.test_tflite_diagnosis_recurrent import built, recurrent

SIZE = 64


def branch(path: Path) -> Path:
    """One dense layer or another, by the sum of the inputs."""
    net = networks.Network()
    main = net.subgraph
    x = net.input("x", (1, SIZE))
    axes, zero = net.constant("axes", np.array([0, 1], np.int32)), net.constant("zero", np.zeros((), np.float32))
    total = net.operator("SUM", [x, axes], (), kind="ReducerOptions")
    larger = net.operator("GREATER", [total, zero], (), dtype="bool", kind="GreaterOptions")
    made = net.operator("IF", [larger, x], (1, SIZE), kind="IfOptions", thenSubgraphIndex=1, elseSubgraphIndex=2)
    for seed in (1, 2):
        inner = schema.SubGraphT()
        inner.tensors, inner.operators, inner.inputs, inner.outputs = [], [], [], []
        net.model.subgraphs.append(inner)
        net.subgraph = inner
        given = net.input("y", (1, SIZE))
        weights = net.constant("w", networks.weights(SIZE, SIZE, seed=seed))
        inner.outputs = [net.operator("FULLY_CONNECTED", [given, weights, -1], (1, SIZE), kind="FullyConnectedOptions")]
    net.subgraph = main
    return net.save(path, made)


def test_weights_inside_of_a_branch_are_blamed_and_not_its_kernel(tmp_path: Path) -> None:
    waist = branch(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 12)
    TFLiteBackend().build(networks.job(waist, "float16", calibration=samples), "net.tflite", tmp_path)
    np.savez(tmp_path / "samples.npz", **samples)
    described = Waist(file=str(waist), signature=networks.signature(waist))
    found = diagnose(tmp_path / "net.tflite", [described], tmp_path / "samples.npz")
    (row,) = [row for row in found.operators if row.alone_db is not None]
    assert row.operator == "IF"
    assert [(blame.cause, blame.told) for blame in row.blames] == [
        ("weights", "weights inside of its loop or branch are rounded")
    ]


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        (networks.classifier, {"CONV_2D": True, "DEPTHWISE_CONV_2D": True, "FULLY_CONNECTED": True, "SOFTMAX": True}),
        (recurrent, {"UNIDIRECTIONAL_SEQUENCE_LSTM": False, "FULLY_CONNECTED": True}),
        (
            lambda path: networks.element_wise(path, "HARD_SWISH", "TANH", "LOGISTIC"),
            {"HARD_SWISH": False, "TANH": True, "LOGISTIC": True},
        ),
    ],
)
def test_kernels_in_16_bits_are_tried(network: Any, wanted: dict[str, bool], tmp_path: Path) -> None:
    waist = network(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 24)
    file = Side(graph.load(built(tmp_path, waist, "int8", samples, settings={})))
    found = {operator.name: wider.runs(file, operator) for operator in file.graph.operators if operator.name in wanted}
    assert found == wanted


def test_int16_is_no_remedy_for_an_lstm(tmp_path: Path) -> None:
    waist = recurrent(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 24)
    file = built(tmp_path, waist, "int8", samples)
    np.savez(tmp_path / "samples.npz", **samples)
    described = Waist(file=str(waist), signature=networks.signature(waist))
    rows = diagnose(file, [described], tmp_path / "samples.npz", helps=9).operators
    helped = {row.operator: {one.remedy for one in row.helps} for row in rows}
    assert "int16" not in helped["UNIDIRECTIONAL_SEQUENCE_LSTM"]
    assert "int16" in helped["FULLY_CONNECTED"]
