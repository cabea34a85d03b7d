"""The verbs on TFLite files that are integers already: they are taken as they are, or not at all."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import Unsupported
from edgekit.nouns.building import Placement
from edgekit.verbs.build import build
from edgekit.verbs.check import check
from tests import networks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Session(Store(tmp_path_factory.mktemp("cache")), tmp_path_factory.mktemp("log") / "log.txt") as made:
        yield made


def scaled(net: networks.Network, tensor: int, scale: float, zero: int = 0) -> int:
    quantization = net.subgraph.tensors[tensor].quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [scale], [zero]
    return tensor


def convolution(net: networks.Network, dtype: str = "int8") -> int:
    """An image [1, 8, 8, 3] → a convolution [1, 8, 8, 4], both of a dtype."""
    drawn = np.random.default_rng(0).integers(1, 120, (4, 3, 3, 3)).astype(dtype)
    image = scaled(net, net.input("image", (1, 8, 8, 3), dtype), 0.02, 3)
    kernel = scaled(net, net.constant("kernel", drawn), 0.01)
    bias = scaled(net, net.constant("bias", np.arange(4, dtype=np.int32)), 0.0002)
    made = net.operator(
        "CONV_2D", [image, kernel, bias], (1, 8, 8, 4), name="features", dtype=dtype, kind="Conv2DOptions",
        padding=networks.SAME, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    return scaled(net, made, 0.5, 10)


def ending(net: networks.Network, kind: str) -> int:
    """The integer network with one of the ends that people have."""
    features = convolution(net, "uint8" if kind == "uint8" else "int8")
    if kind == "float":
        return net.operator("DEQUANTIZE", [features], (1, 8, 8, 4), name="scores", dtype="float32")
    if kind in {"int32", "int64"}:
        axis = net.constant("axis", np.array(3, np.int32))
        code = schema.TensorType.INT32 if kind == "int32" else schema.TensorType.INT64
        return net.operator(
            "ARG_MAX", [features, axis], (1, 8, 8), name="labels", dtype=kind, kind="ArgMaxOptions", outputType=code
        )
    if kind == "custom":
        boxes = net.operator("CUSTOM", [features], (1, 5), name="boxes", dtype="float32")
        net.model.operatorCodes[-1].customCode = b"PoseDecoder"
        return boxes
    return features


def written(path: Path, kind: str) -> Path:
    net = networks.Network()
    net.save(path, ending(net, kind))
    return path


def runs_on(placements: tuple[Placement, ...]) -> dict[str, str]:
    return {placement.operator: placement.runs_on for placement in placements}


@pytest.mark.parametrize("kind", ["int8", "uint8", "float", "int32", "int64", "custom"])
def test_any_file_of_integers_is_forecast(session: Session, tmp_path: Path, kind: str) -> None:
    (found,) = check(session, Project(targets=("edgetpu",)), written(tmp_path / f"{kind}.tflite", kind))
    assert found.works
    where = runs_on(found.placements)
    assert where.pop("CONV_2D") == "Edge TPU"
    last = {"float": "DEQUANTIZE", "int32": "ARG_MAX", "int64": "ARG_MAX", "custom": "CUSTOM:PoseDecoder"}
    assert where == ({last[kind]: "CPU"} if kind in last else {})


def test_what_decodes_at_the_end_is_cut_off_as_the_refusal_proposes(session: Session, tmp_path: Path) -> None:
    """LiteRT has no code for it, so that what is published could not be verified."""
    project = Project(targets=("android",), output_folder=str(tmp_path / "out"))
    with pytest.raises(Unsupported, match="PoseDecoder") as refused:
        build(session, project, written(tmp_path / "pose.tflite", "custom"))
    assert "--precision" not in refused.value.fix
    (names,) = re.findall(r"--outputs (\S+)`", refused.value.fix)
    cut = msgspec.structs.replace(project, outputs=tuple(names.split(",")))
    (result,) = build(session, cut, tmp_path / "pose.tflite")
    assert result.manifest is not None, result.error
    assert result.manifest.artifacts[0].precision == "int8"


def test_a_file_that_is_compiled_already_is_not_forecast(session: Session, tmp_path: Path) -> None:
    net = networks.Network()
    features = convolution(net)
    compiled = net.operator("CUSTOM", [features], (1, 8, 8, 4), name="out", dtype="int8")
    net.model.operatorCodes[-1].customCode = b"edgetpu-custom-op"
    net.save(tmp_path / "x_edgetpu.tflite", scaled(net, compiled, 0.5))
    (found,) = check(session, Project(targets=("edgetpu",)), tmp_path / "x_edgetpu.tflite")
    assert not found.works
    assert "compiled for the Edge TPU already" in found.reason


@pytest.mark.parametrize("kind", ["int8", "uint8", "float", "int32"])
def test_a_finished_file_is_published_as_it_is(session: Session, tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "net.tflite", kind)
    project = Project(targets=("android", "edgetpu"), output_folder=str(tmp_path / "out"))
    results = build(session, project, path)
    for result in results:
        assert result.manifest is not None, result.error
        assert result.manifest.source.precision == "int8"
        (made,) = result.manifest.artifacts
        assert (result.folder / made.file).read_bytes() == path.read_bytes()
        assert made.verification is not None
        assert all(output.identical for output in made.verification.outputs)
    android, edgetpu = (result.manifest for result in results)
    assert android is not None
    assert edgetpu is not None
    assert "quantized already" in android.unavailable["model_float16.tflite"]
    assert runs_on(edgetpu.artifacts[0].placements)["CONV_2D"] == "Edge TPU"
    assert "compiled" in edgetpu.artifacts[0].unavailable


def test_nothing_else_is_made_of_a_finished_file(session: Session, tmp_path: Path) -> None:
    path = written(tmp_path / "net.tflite", "int8")
    output = str(tmp_path / "out")
    with pytest.raises(Unsupported, match="quantized already"):
        build(session, Project(targets=("android",), precision="float16", output_folder=output), path)
    with pytest.raises(Unsupported, match="stay as they are"):
        build(session, Project(targets=("android",), io="uint8", output_folder=output), path)
