"""Times on the nodes of a graph, for Model Explorer."""

import msgspec
import pytest

from edgekit.errors import Unsupported
from edgekit.nouns.profile import OperatorTime, Profile
from edgekit.report import nodes
from tests.report.test_profile_screens import FULL


def timed(*rows: OperatorTime, artifact: str = "model_int8.tflite") -> Profile:
    return msgspec.structs.replace(FULL, artifact=artifact, operators=rows)


def test_each_operator_s_time_stands_at_its_first_output() -> None:
    rows = (
        OperatorTime(name="0: model/conv/Relu", kind="CONV_2D", mean_ms=0.25, runs_on="litert"),
        OperatorTime(name="1: 12: odd name", kind="ADD", mean_ms=0.0005, runs_on="litert"),
        OperatorTime(name="[logits, more]:7", kind="FULLY_CONNECTED", mean_ms=0.5, runs_on="CPU"),
        OperatorTime(name="2: Convolution (NHWC, QS8) IGEMM", kind="Convolution", mean_ms=0.1, runs_on="xnnpack"),
    )
    made = nodes.latency(timed(*rows))
    assert made["results"] == {
        "model/conv/Relu": {"value": 0.25},
        "12: odd name": {"value": 0.0005},
        "logits": {"value": 0.5},
    }
    assert made["gradient"] == [{"stop": 0, "bgColor": nodes.GOOD}, {"stop": 1, "bgColor": nodes.BAD}]


@pytest.mark.parametrize(
    "profile",
    [
        timed(),
        timed(OperatorTime(name="0: Convolution", kind="Convolution", mean_ms=0.1, runs_on="xnnpack")),
        timed(OperatorTime(name="conv", kind="Conv", mean_ms=0.1, runs_on="CPU"), artifact="model.onnx"),
    ],
)
def test_operators_without_a_place_are_none(profile: Profile) -> None:
    with pytest.raises(Unsupported, match="known by its place"):
        nodes.latency(profile)
