"""Times on the nodes of a graph, for Model Explorer."""

from collections.abc import Callable
from pathlib import Path

import ai_edge_litert
import msgspec
import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.nouns.profile import OperatorTime, Profile
from edgekit.report import nodes
from edgekit.runner.board.profiler import Profiler
from edgekit.runner.board.refusal import Refusal
from edgekit.waist import run
from edgekit.waist.graph import Graph, Operator, Tensor, read
from tests.networks import classifier
from tests.report.test_profile_screens import FULL
from tests.stateful import delay, echo, summing


def timed(*rows: OperatorTime, artifact: str = "model_int8.tflite") -> Profile:
    return msgspec.structs.replace(FULL, artifact=artifact, operators=rows)


def test_each_operator_s_time_stands_at_its_first_output() -> None:
    rows = (
        OperatorTime(name="0: model/conv/Relu", kind="CONV_2D", mean_ms=0.25, runs_on="litert"),
        OperatorTime(name="1: 12: odd name", kind="ADD", mean_ms=0.0005, runs_on="litert"),
        OperatorTime(name="[logits, more]:7", kind="FULLY_CONNECTED", mean_ms=0.5, runs_on="CPU"),
        OperatorTime(name="2: Convolution (NHWC, QS8) IGEMM", kind="Convolution", mean_ms=0.1, runs_on="xnnpack"),
    )
    found = nodes.latency(timed(*rows))
    made = found.data
    assert (found.unplaced, round(found.share, 2)) == (("Convolution",), 0.88)
    assert made["results"] == {
        "model/conv/Relu": {"value": 0.25},
        "12: odd name": {"value": 0.0005},
        "logits": {"value": 0.5},
    }
    assert made["gradient"] == [{"stop": 0, "bgColor": nodes.GOOD}, {"stop": 1, "bgColor": nodes.BAD}]


def xnnpack(position: int, kind: str, ms: float) -> OperatorTime:
    return OperatorTime(name=f"{position}: {kind}", kind=kind, mean_ms=ms, runs_on="xnnpack")


def network(*nodes: str) -> Graph:
    """Nodes one after another, each with an output called as its kind and its place."""
    tensors = tuple(
        Tensor(index=i, name=f"{kind}_{i}", shape=(1,), signature_shape=(1,), dtype="float32", constant_bytes=0)
        for i, kind in enumerate(nodes)
    )
    operators = tuple(Operator(index=i, name=kind, inputs=(), outputs=(i,)) for i, kind in enumerate(nodes))
    return Graph(tensors=tensors, operators=operators, inputs=(), outputs=())


def test_xnnpack_s_operators_are_placed_kind_by_kind_in_their_order() -> None:
    rows = (
        xnnpack(0, "Convolution (NHWC, QC8) IGEMM", 0.25),
        xnnpack(1, "Convolution (NHWC, QC8) DWConv", 0.5),
        xnnpack(2, "Add (ND)", 0.125),
        xnnpack(3, "Clamp (NC)", 0.0625),  # what the addition is fused with: no node of its own
        OperatorTime(name="4: SOFTMAX_4", kind="SOFTMAX", mean_ms=0.0625, runs_on="litert"),
    )
    graph = network("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RESHAPE", "SOFTMAX")
    found = nodes.latency(timed(*rows), graph)
    assert found.data["results"] == {
        "SOFTMAX_4": {"value": 0.0625},
        "CONV_2D_0": {"value": 0.25},
        "DEPTHWISE_CONV_2D_1": {"value": 0.5},
        "ADD_2": {"value": 0.125},
    }
    assert (found.unplaced, found.share) == (("Clamp",), 0.9375)
    fewer = network("CONV_2D", "ADD", "SOFTMAX")  # one convolution for two: nobody knows which
    with pytest.raises(Unsupported, match="for 19% of its time only"):
        nodes.latency(timed(*rows), fewer)


def test_a_real_file_s_nodes_are_placed(tmp_path: Path) -> None:
    """Every operator of a small network whose kinds XNNPACK has, by what LiteRT's profiler says here."""
    file = classifier(tmp_path / "model.tflite")
    made = Profiler({"delegate": "xnnpack", "model": str(file), "threads": 1}, ai_edge_litert)
    made.feed({name: np.zeros((1, 8, 8, 3), np.float32) for name in made.names})
    rows = (OperatorTime(**row) for row in made.operators(3))
    (graph,) = read(file)
    seen = [msgspec.structs.replace(row, mean_ms=row.mean_ms + 1) for row in rows]  # most take less than 1 us
    found = nodes.latency(timed(*seen), graph)
    outputs = {one.name: graph.tensors[one.outputs[0]].name for one in graph.operators if one.name != "RESHAPE"}
    assert set(found.data["results"]) == set(outputs.values())


@pytest.mark.parametrize("network", [echo, delay, summing])
def test_why_operators_beside_a_state_are_not_timed(network: Callable[[Path], Path], tmp_path: Path) -> None:
    """LiteRT says a number alone; the file runs all the same."""
    file = network(tmp_path / "model.tflite")
    with pytest.raises(Refusal) as caught:
        Profiler({"delegate": "xnnpack", "model": str(file), "threads": 1}, ai_edge_litert)
    assert "LSTM" in caught.value.plain["problem"]
    assert "leave out --ops" in caught.value.plain["fix"]
    (x,) = (read(file)[0].tensors[index] for index in read(file)[0].inputs)
    assert run.run(file, {"x": np.ones((1, *x.shape), np.float32)})


@pytest.mark.parametrize(
    "profile",
    [
        timed(),
        timed(OperatorTime(name="0: Convolution", kind="Convolution", mean_ms=0.1, runs_on="xnnpack")),
        timed(OperatorTime(name="conv", kind="Conv", mean_ms=0.1, runs_on="CPU"), artifact="model.onnx"),
    ],
)
def test_operators_without_a_place_are_none(profile: Profile) -> None:
    with pytest.raises(Unsupported, match="are known for 0% of its time"):
        nodes.latency(profile)
