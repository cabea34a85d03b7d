"""Products of activations in int8, whatever makes their second factor."""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.tflite import TFLiteBackend
from edgekit.waist import run
from tests import networks


def _second_factors(net: networks.Network, y: int) -> dict[str, int]:
    """Activations ``[1, 8, 8]`` made of one, whose grids the runtime decides, or the grid of what they are made of."""

    def one(builtin: str, inputs: list[int], kind: str = "", **options: Any) -> int:
        return net.operator(builtin, inputs, (1, 8, 8), kind=kind, **options)

    half = net.operator("SLICE", [y, *(net.constant(*c) for c in HALF)], (1, 4, 8), kind="SliceOptions")
    softmax = one("SOFTMAX", [y], kind="SoftmaxOptions", beta=1.0)
    pads, turned = net.constant("pads", np.array([[0, 0], [1, 3], [0, 0]], np.int32)), np.array([0, 2, 1], np.int32)
    return {
        "tile": one("TILE", [half, net.constant("times", np.array([1, 2, 1], np.int32))]),
        "concat": one("CONCATENATION", [half, half], kind="ConcatenationOptions", axis=1),
        "pad": one("PAD", [half, pads]),
        "maximum": one("MAXIMUM", [y, net.operator("TANH", [y], (1, 8, 8))]),
        "softmax": softmax,
        "turned": one("TRANSPOSE", [softmax, net.constant("turned", turned)]),
        "logistic": one("LOGISTIC", [y]),
    }


HALF = (("begin", np.zeros(3, np.int32)), ("size", np.array([1, 4, 8], np.int32)))


def test_every_second_factor_has_zero_point_0(tmp_path: Path) -> None:
    """XNNPACK takes it for 0: a product with a softmax had -9 dB, and one with a tiled activation 2 dB."""
    net = networks.Network()
    x, y = net.input("x", (1, 8, 8)), net.input("y", (1, 8, 8))
    first = net.operator("LOGISTIC", [x], (1, 8, 8))
    products = {
        name: net.operator("BATCH_MATMUL", [x, second], (1, 8, 8), name=name, kind="BatchMatMulOptions", adjY=adjoint)
        for (name, second), adjoint in zip(_second_factors(net, y).items(), [False, True] * 4, strict=False)
    }
    last = net.operator("LOGISTIC", [y], (1, 8, 8))
    products["both"] = net.operator("BATCH_MATMUL", [first, last], (1, 8, 8), name="both", kind="BatchMatMulOptions")
    path = net.save(tmp_path / "waist.tflite", *products.values())
    calibration = networks.samples(networks.signature(path), 24)
    calibration["source_y"] += 1.5  # off centre, so that its zero point would not be 0
    (tmp_path / "out").mkdir()
    job = networks.job(path, "int8", calibration=calibration, settings={"weights": "nearest"})
    made = TFLiteBackend().build(job, "model.tflite", tmp_path / "out")
    np.savez(tmp_path / "in.npz", **calibration)
    artifact = tmp_path / "out" / "model.tflite"
    TFLiteBackend().run(artifact, made.signature, tmp_path / "in.npz", tmp_path / "out.npz")
    wanted = run.run(path, {"x": calibration["source_x"], "y": calibration["source_y"]})
    with np.load(tmp_path / "out.npz") as found:
        levels = {
            name: 10 * np.log10((wanted[name] ** 2).sum() / ((wanted[name] - found[f"source_{name}"]) ** 2).sum())
            for name in products
        }
    assert min(levels.values()) > 25, levels
    assert not any("stays float32" in note for note in made.notes)
