"""Detection heads that join boxes in pixels and scores in 0..1: the scores of an int8 file are the source's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import judge
from edgekit.backends.tflite.ready import parts
from edgekit.waist import graph
from edgekit.waist.exact import Wiring
from tests import networks
from tests.backends.integers import Quantized, normal

ANCHORS, CLASSES = 24, 5


def head(path: Path, *, decode: str, axis: int, after: str = "") -> Path:
    """Features → a layer for boxes, decoded to 0..416, and one for scores, joined along ``axis`` of ``[1, A, 4 + C]``."""
    net = networks.Network()
    x = net.input("x", (1, ANCHORS, 16))

    def layer(name: str, outputs: int, size: float = 1.0) -> int:
        weights = net.constant(f"{name}_k", networks.weights(outputs, 16, seed=len(name)) * np.float32(size))
        bias = net.constant(f"{name}_b", np.zeros(outputs, np.float32))
        options: dict[str, Any] = {"kind": "FullyConnectedOptions", "keepNumDims": True}
        return net.operator("FULLY_CONNECTED", [x, weights, bias], (1, ANCHORS, outputs), name=name, **options)

    boxes, scores = (
        layer("boxes", 4, 0.4 if decode == "exp" else 1.0),
        net.operator("LOGISTIC", [layer("classes", CLASSES)], (1, ANCHORS, CLASSES)),
    )
    boxes = net.operator("LOGISTIC" if decode == "sigmoid" else "EXP", [boxes], (1, ANCHORS, 4))
    sizes = 416.0 if decode == "sigmoid" else np.random.default_rng(0).uniform(10, 40, (1, ANCHORS, 1))
    size = net.constant("size", np.asarray(sizes, np.float32).reshape(-1) if decode == "sigmoid" else sizes.astype("f"))
    boxes = net.operator("MUL", [boxes, size], (1, ANCHORS, 4), kind="MulOptions")
    parts = [boxes, scores]
    if axis == 1:
        order = net.constant("order", np.array([0, 2, 1], np.int32))
        parts = [
            net.operator("TRANSPOSE", [part, order], (1, width, ANCHORS), kind="TransposeOptions")
            for part, width in zip(parts, (4, CLASSES), strict=True)
        ]
    shape = (1, ANCHORS, 4 + CLASSES) if axis == 2 else (1, 4 + CLASSES, ANCHORS)
    made = net.operator("CONCATENATION", parts, shape, kind="ConcatenationOptions", axis=axis)
    if after == "reshape":
        flat = (ANCHORS, 4 + CLASSES) if axis == 2 else (4 + CLASSES, ANCHORS)
        target = net.constant("flat", np.array(flat, np.int32))
        made = net.operator("RESHAPE", [made, target], flat, kind="ReshapeOptions", newShape=list(flat))
    return net.save(path, made)


@pytest.mark.parametrize("decode", ["sigmoid", "exp"])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("after", ["", "reshape"])
def test_scores_beside_boxes_correlate_with_the_sources(decode: str, axis: int, after: str, tmp_path: Path) -> None:
    path = head(tmp_path / "head.tflite", decode=decode, axis=axis, after=after)
    made = Quantized(path, normal(path), tmp_path / "made")
    given = normal(path, seed=5)
    (wanted,), (got,) = made.wanted(given).values(), made.outputs(given).values()
    if axis == 1:
        wanted, got = np.moveaxis(wanted, -2, -1), np.moveaxis(got, -2, -1)
    for columns in (slice(0, 4), slice(4, None)):
        assert np.corrcoef(wanted[..., columns].ravel(), got[..., columns].ravel())[0, 1] >= 0.99


STRIDES = np.repeat(np.float32([8, 16, 32]), ANCHORS // 3)


def strided(path: Path, order: str, levels: int) -> Path:
    """Boxes times the stride of their place beside scores, ``[1, 4 + classes, places]``, of one or several levels."""
    net = networks.Network()
    joined = []
    for level in range(levels):
        places = len(STRIDES) // levels
        widths = {"boxes": 4, "scores": CLASSES}
        heads = {name: net.input(f"{name}{level}", (1, width, places)) for name, width in widths.items()}
        stride = net.constant(f"s{level}", STRIDES[::levels][:places].reshape(1, places))
        heads["boxes"] = net.operator("MUL", [heads["boxes"], stride], (1, 4, places), kind="MulOptions")
        heads["scores"] = net.operator("LOGISTIC", [heads["scores"]], (1, CLASSES, places))
        both = [heads[name] for name in (("boxes", "scores") if order == "first" else ("scores", "boxes"))]
        shape = (1, 4 + CLASSES, places)
        joined.append(net.operator("CONCATENATION", both, shape, kind="ConcatenationOptions", axis=1))
    whole = (1, 4 + CLASSES, len(STRIDES))
    if levels > 1:
        joined = [net.operator("CONCATENATION", joined, whole, kind="ConcatenationOptions", axis=2)]
    return net.save(path, net.operator("RESHAPE", [joined[0], net.constant("r", np.array(whole, np.int32))], whole))


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("levels", [1, 3])
def test_scores_count_as_much_as_boxes_whatever_boxes_are_made_of(order: str, levels: int, tmp_path: Path) -> None:
    """Strides make parts of the boxes; they are none of what joins boxes and scores."""
    model = graph.load(strided(tmp_path / "m.tflite", order, levels))
    wiring = Wiring(graph.describe(model)[0])
    ranges = {
        tensor.index: (0.0, 1.0) if tensor.name.startswith("scores") else (0.0, 40.0)
        for tensor in wiring.graph.tensors
        if tensor.dtype == "float32" and not tensor.constant_bytes
    }
    ranges |= {o.outputs[0]: (0.0, 1.0) for o in wiring.graph.operators if o.name == "LOGISTIC"}
    (output,) = wiring.graph.outputs
    found = parts.join_parts(model, wiring, output, parts.joins(model, wiring, ranges))
    random = np.random.default_rng(0)
    wanted = random.uniform(0, 40, (6, *wiring.graph.tensors[output].shape)).astype(np.float32)
    scores = slice(4, None) if order == "first" else slice(0, CLASSES)
    wanted[:, :, scores] = random.random(wanted[:, :, scores].shape)
    boxes = slice(0, 4) if order == "first" else slice(CLASSES, None)
    for place in (scores, boxes):
        got = wanted.copy()
        got[:, :, place] = 0
        assert judge._noise(got, wanted, found).sum() == pytest.approx(0.5)


PLACES, KINDS = 600, 12


def rare(path: Path, function: str, last: str) -> Path:
    """Scores of ``[1, places, kinds]``, or ``[1, kinds, places]``: background nearly everywhere."""
    net = networks.Network()
    x = net.input("x", (1, PLACES, 16))
    bias = np.full(KINDS, -9.0, np.float32)
    if function == "SOFTMAX":
        bias[0] = 0
    held = net.constant("w", networks.weights(KINDS, 16, seed=1)), net.constant("b", bias)
    shape: tuple[int, ...] = (1, PLACES, KINDS)
    y = net.operator("FULLY_CONNECTED", [x, *held], shape, kind="FullyConnectedOptions", keepNumDims=True)
    if last == "places":
        shape = (1, KINDS, PLACES)
        order = net.constant("order", np.array([0, 2, 1], np.int32))
        y = net.operator("TRANSPOSE", [y, order], shape, kind="TransposeOptions")
    options: dict[str, Any] = {"kind": "SoftmaxOptions", "beta": 1.0} if function == "SOFTMAX" else {}
    return net.save(path, net.operator(function, [y], shape, name="y", **options))


def objects(count: int, seed: int) -> dict[str, Any]:
    """In every fourth sample three places of 600 where one kind is likely."""
    random, weights = np.random.default_rng(seed), networks.weights(KINDS, 16, seed=1)
    x = random.standard_normal((count, 1, PLACES, 16)).astype(np.float32) * np.float32(0.3)
    for sample in range(0, count, 4):
        for place in random.integers(0, PLACES, 3):
            row = weights[random.integers(1, KINDS)]
            x[sample, 0, place] = row / (row @ row) * (9 + random.uniform(-1.5, 2.5))
    return {"source_x": x}


@pytest.mark.parametrize(("function", "last"), [("LOGISTIC", "kinds"), ("LOGISTIC", "places"), ("SOFTMAX", "kinds")])
@pytest.mark.parametrize("count", [12, 48])
def test_what_a_detector_finds_is_found_though_background_is_nearly_all(
    function: str, last: str, count: int, tmp_path: Path
) -> None:
    path = rare(tmp_path / "m.tflite", function, last)
    made, fresh = Quantized(path, objects(count, 0), tmp_path / "made"), objects(64, 9)
    (wanted,), (got,) = made.wanted(fresh).values(), made.outputs(fresh).values()
    if function == "SOFTMAX":
        wanted, got = wanted[..., 1:], got[..., 1:]
    found = wanted > 0.2
    assert found.sum() > 30
    assert np.mean(got[found] > 0.2) >= 0.9
    assert np.mean(got > 0.2) <= 1.1 * np.mean(found)
    assert np.abs(got - wanted)[found].mean() < 0.03
    assert got.max() > 0.9 * wanted.max()
