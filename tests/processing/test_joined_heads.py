"""The how-to's script that joins a head's maps: what comes out is what `[[output]]` says of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from edgekit.nouns.description import Description, DetectionOutput, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing.boxes import detect
from edgekit.processing.described import complete
from tests.conftest import ROOT

SIZE = (32, 48)

STRIDES = (4, 8, 16)


@pytest.fixture(scope="module")
def join() -> Callable[..., None]:
    """The function that the page gives to paste."""
    page = (ROOT / "docs/how-to/join-detection-heads.md").read_text("utf8")
    code = re.search(r"```python\n# join_maps.py\n(.+?)```", page, flags=re.DOTALL)
    assert code is not None
    told: dict[str, Any] = {}
    exec(code[1], told)
    made: Callable[..., None] = told["join"]
    return made


def headless(path: Path, channels: int) -> dict[str, Any]:
    """A network whose outputs are its inputs, one map for each stride; random maps."""
    random, nodes, ends, maps = np.random.default_rng(0), [], [], {}
    for stride in STRIDES:
        shape = [1, channels, SIZE[0] // stride, SIZE[1] // stride]
        ends.append([helper.make_tensor_value_info(f"{name}{stride}", 1, shape) for name in ("x", "map")])
        nodes.append(helper.make_node("Identity", [f"x{stride}"], [f"map{stride}"]))
        maps[f"map{stride}"] = random.normal(0, 1, shape).astype(np.float32)
    graph = helper.make_graph(nodes, "head", [one for one, _ in ends], [one for _, one in ends])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return maps


def joined(path: Path, maps: dict[str, Any]) -> Any:
    """What the joined network gives for its maps."""
    model = onnx.load(path)
    assert [output.name for output in model.graph.output] == ["boxes"]
    given = {name.replace("map", "x"): values for name, values in maps.items()}
    (found,) = ReferenceEvaluator(model).run(None, given)
    assert list(found.shape) == [size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim]
    return found


def described(row: DetectionOutput, found: Any) -> DetectionOutput:
    """The description, which fits what came out."""
    image = TensorSpec(
        name="x", source_name="x", shape=(1, *SIZE, 3), source_shape=(1, *SIZE, 3), dtype="float32", source_dtype="float32"
    )  # fmt: skip
    boxes = TensorSpec(
        name="boxes", source_name="boxes", shape=found.shape, source_shape=found.shape, dtype="float32",
        source_dtype="float32",
    )  # fmt: skip
    told = complete(
        Description(inputs=(ImageInput(),), outputs=(row,)), Signature(inputs=(image,), outputs=(boxes,))
    ).outputs[0]
    assert isinstance(told, DetectionOutput)
    return told


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values.astype(np.float64)))


def test_maps_with_anchors(join: Callable[..., None], tmp_path: Path) -> None:
    """YOLOv5's: the best of all maps is where its map, anchor and cell say."""
    sizes = tuple(((stride * 2.0, stride * 3.0), (stride * 4.0, stride * 1.5)) for stride in STRIDES)
    maps = headless(tmp_path / "net.onnx", 2 * 8)
    join(tmp_path / "net.onnx", tmp_path / "joined.onnx", list(maps), anchors=2)
    found = joined(tmp_path / "joined.onnx", maps)
    row = DetectionOutput(
        decoding="yolov5", strides=STRIDES, anchor_sizes=sizes, objectness=True, activation="sigmoid",
        score_threshold=0, suppression="none", max_boxes=1,
    )  # fmt: skip
    best = detect(described(row, found), {"boxes": found}, SIZE)
    wanted: tuple[float, list[float]] = (0.0, [])
    for values, stride, anchors in zip(maps.values(), STRIDES, sizes, strict=True):
        rows, columns = values.shape[2:]
        for a, y, x in np.ndindex(2, rows, columns):
            tx, ty, tw, th, sure, *classes = sigmoid(values[0, a * 8 : a * 8 + 8, y, x])
            cx, cy = (2 * tx - 0.5 + x) * stride, (2 * ty - 0.5 + y) * stride
            w, h = (2 * tw) ** 2 * anchors[a][0], (2 * th) ** 2 * anchors[a][1]
            wanted = max(wanted, (sure * max(classes), [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]))
    assert best.scores[0] == pytest.approx(wanted[0], rel=1e-4)
    assert best.corners[0] == pytest.approx(wanted[1], rel=1e-4)


def test_maps_with_distributions(join: Callable[..., None], tmp_path: Path) -> None:
    """YOLOv8's: sides are the means of distributions."""
    bins, classes = 4, 3
    maps = headless(tmp_path / "net.onnx", 4 * bins + classes)
    join(tmp_path / "net.onnx", tmp_path / "joined.onnx", list(maps), bins=bins)
    found = joined(tmp_path / "joined.onnx", maps)
    assert found.shape[-1] == 4 + classes
    row = DetectionOutput(
        decoding="ltrb", strides=STRIDES, activation="sigmoid", score_threshold=0, suppression="none", max_boxes=1
    )
    best = detect(described(row, found), {"boxes": found}, SIZE)
    wanted: tuple[float, list[float]] = (0.0, [])
    for values, stride in zip(maps.values(), STRIDES, strict=True):
        for y, x in np.ndindex(*values.shape[2:]):
            raised = np.exp(values[0, : 4 * bins, y, x].reshape(4, bins).astype(np.float64))
            left, top, right, bottom = (raised / raised.sum(1, keepdims=True)) @ np.arange(bins)
            corners = [x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom]
            score = sigmoid(values[0, 4 * bins :, y, x]).max()
            wanted = max(wanted, (score, [corner * stride for corner in corners]))
    assert best.scores[0] == pytest.approx(wanted[0], rel=1e-4)
    assert best.corners[0] == pytest.approx(wanted[1], rel=1e-4)
