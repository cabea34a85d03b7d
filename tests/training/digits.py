"""A small network on handwritten digits (scikit-learn's, 8×8), and what a pass is asked with it."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.nouns.passing import Task
from edgekit.nouns.recipe import PassSettings
from edgekit.waist import graph, run
from tests import networks
from tests.lazy import Lazy
from tests.networks import RELU, SAME, Network, weights

datasets = Lazy("sklearn.datasets")

STEP = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
MEMBERS = 600
"""Digits that are trained on; others judge."""


@cache
def digits() -> tuple[Any, Any]:
    """All images ``[1797, 1, 8, 8, 1]``, about -1..1, and their classes."""
    found = datasets.load_digits()
    images = (found.images / 8 - 1).astype(np.float32).reshape(-1, 1, 8, 8, 1)
    order = np.random.default_rng(0).permutation(len(images))
    return images[order], found.target[order]


def network(path: Path, *, softmax: bool = True, width: int = 8, gain: float = 1.4) -> Path:
    """Image [1, 8, 8, 1] → two convolutions of a ``gain``, dense → scores [1, 10]."""
    net = Network()
    x = net.input("image", (1, 8, 8, 1))
    for number, (inputs, outputs, size, stride) in enumerate([(1, width, 8, 1), (width, 2 * width, 4, 2)]):
        kernel = net.constant(f"kernel{number}", np.float32(gain) * weights(outputs, 3, 3, inputs, seed=number))
        bias = net.constant(f"bias{number}", np.zeros(outputs, np.float32))
        steps = STEP | {"strideW": stride, "strideH": stride}
        x = net.operator(
            "CONV_2D", [x, kernel, bias], (1, size, size, outputs), name=f"conv{number}", kind="Conv2DOptions",
            padding=SAME, fusedActivationFunction=RELU, **steps,
        )  # fmt: skip
    flat = 16 * 2 * width
    shape = net.constant("shape", np.array([1, flat], np.int32))
    x = net.operator("RESHAPE", [x, shape], (1, flat), kind="ReshapeOptions", newShape=[1, flat])
    dense, bias = net.constant("dense", weights(10, flat, seed=7)), net.constant("bias", np.zeros(10, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 10), name="logits", kind="FullyConnectedOptions")
    if softmax:
        x = net.operator("SOFTMAX", [x], (1, 10), name="scores", kind="SoftmaxOptions", beta=1.0)
    return net.save(path, x)


def task(
    folder: Path,
    waist: Path,
    settings: PassSettings,
    *,
    labels: Any = None,
    teacher: Path | None = None,
    samples: Any = None,
    **fields: Any,
) -> Task:
    """What a pass is asked: with images of digits unless others are given; ``labels=True`` gives their classes."""
    images, classes = digits()
    described = networks.signature(waist)
    given = {described.inputs[0].source_name: images[:MEMBERS]} if samples is None else samples
    np.savez(folder / "samples.npz", **given)
    if labels is not None:
        np.save(folder / "labels.npy", classes[:MEMBERS] if labels is True else labels)
    return Task(
        waist=str(waist),
        signature=described,
        teacher=str(teacher or waist),
        teacher_signature=networks.signature(teacher or waist),
        samples=str(folder / "samples.npz"),
        labels=None if labels is None else str(folder / "labels.npy"),
        settings=settings,
        checkpoints=str(folder / "checkpoints"),
        **fields,
    )


def accuracy(path: Path) -> float:
    """The share of other digits that a network tells right."""
    images, classes = digits()
    (made,) = run.run(path, {graph.read(path)[0].tensors[0].name: images[MEMBERS:1200]}).values()
    return float((made.reshape(len(made), -1).argmax(-1) == classes[MEMBERS:1200]).mean())
