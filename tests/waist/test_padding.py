"""Convolutions whose stride leaps over the end of an axis: right on XNNPACK as on LiteRT's own kernels."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import graph, padding, run
from tests import networks


def outputs(path: Path, values: np.ndarray, *, delegate: bool) -> np.ndarray:
    made = run.interpreter(path, kernels="" if delegate else "builtin")
    made.set_tensor(made.get_input_details()[0]["index"], values)
    made.invoke()
    return np.asarray(made.get_tensor(made.get_output_details()[0]["index"]))


def convolution(path: Path, kind: str, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> Path:
    net = networks.Network()
    x = net.input("x", (1, *size, 2))
    channels = 3 if kind == "CONV_2D" else 2
    shape = (3, *kernel, 2) if kind == "CONV_2D" else (1, *kernel, 2)
    made = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
    options = {"strideH": stride[0], "strideW": stride[1], "dilationHFactor": 1, "dilationWFactor": 1}
    options |= {"depthMultiplier": 1} if channels == 2 else {}
    named = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    constants = [net.constant("k", networks.weights(*shape)), net.constant("b", np.zeros(channels, np.float32))]
    y = net.operator(kind, [x, *constants], (1, *made, channels), kind=named, padding=networks.SAME, **options)
    return net.save(path, y)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("height", [7, 8, 9])
def test_every_stride_is_right_on_xnnpack(kind: str, height: int, tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / "model.tflite"
    changed = 0
    for *kernel, across, down in itertools.product((1, 2, 3), (1, 2, 3), (1, 2, 4), (1, 2, 3)):
        size = (height, 9)
        convolution(path, kind, size, (kernel[0], kernel[1]), (across, down))
        values = random.standard_normal((1, *size, 2)).astype(np.float32)
        wanted = outputs(path, values, delegate=False)
        model = graph.load(path)
        count = padding.leap_explicitly(model)
        changed += count
        path.write_bytes(graph.pack(model))
        for delegate in (True, False):
            assert outputs(path, values, delegate=delegate) == pytest.approx(wanted, abs=1e-5)
        assert count or len(model.subgraphs[0].operators) == 1
    assert changed


def test_ordinary_convolutions_are_left_alone(tmp_path: Path) -> None:
    model = graph.load(networks.classifier(tmp_path / "model.tflite"))
    assert padding.leap_explicitly(model) == 0
