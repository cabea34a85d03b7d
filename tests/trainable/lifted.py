"""How tests look at a lifted file: its outputs beside those of LiteRT, and its gradients beside those of LiteRT."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests.lazy import Lazy

if TYPE_CHECKING:
    from edgekit.trainable.form import Lifted

writing = Lazy("edgekit.trainable.writing")
tf = Lazy("tensorflow")

SAMPLES = 3


def samples(path: Path, seed: int = 0, count: int = SAMPLES) -> dict[str, Any]:
    """Inputs ``[count, *shape]`` by name: normal floats, 0 and 1 else."""
    random, main = np.random.default_rng(seed), graph.read(path)[0]
    return {
        tensor.name: random.standard_normal((count, *tensor.shape)).astype(tensor.dtype)
        if tensor.dtype == "float32"
        else random.integers(0, 2, (count, *tensor.shape)).astype(tensor.dtype)
        for tensor in (main.tensors[index] for index in main.inputs)
    }


def call(lifted: "Lifted", values: dict[str, Any], *, training: bool = False) -> list[Any]:
    """What the model makes of samples, in the order of the file's outputs: ``[N, …]`` each, as tensors."""
    given = [tf.constant(x) for x in lifted.given(values)]
    made = lifted.model(given[0] if len(given) == 1 else given, training=training)
    return list(made) if isinstance(made, list | tuple) else [made]


def agreement_db(lifted: "Lifted", values: dict[str, Any]) -> float:
    """The SQNR of the worst output against LiteRT, in dB; integers must be equal (infinite if so)."""
    main, expected = graph.read(lifted.path)[0], run.run(lifted.path, values)
    worst = np.inf
    for index, made in zip(main.outputs, call(lifted, values), strict=True):
        right = expected[main.tensors[index].name]
        found = np.asarray(made).reshape(right.shape)
        if right.dtype != np.float32:
            assert np.array_equal(found, right)
        elif not np.array_equal(found, right, equal_nan=True):
            worst = min(worst, sqnr_db(right, found))
    return worst


def loss(lifted: "Lifted", values: dict[str, Any], factors: Sequence[Any]) -> Any:
    """A number that depends on all float outputs."""
    made = (y for y in call(lifted, values) if y.dtype == tf.float32)
    return tf.add_n([tf.reduce_sum(y * tf.reshape(r, y.shape)) for y, r in zip(made, factors, strict=True)])


def litert_loss(path: Path, values: dict[str, Any], factors: Sequence[Any]) -> float:
    """The same number, computed by LiteRT."""
    main, made = graph.read(path)[0], run.run(path, values)
    floats = [made[main.tensors[i].name] for i in main.outputs if main.tensors[i].dtype == "float32"]
    return float(sum(np.sum(y.astype(np.float64) * r) for y, r in zip(floats, factors, strict=True)))


def factors(path: Path, values: dict[str, Any]) -> list[Any]:
    """Random numbers, one for each value of each float output."""
    random, main, made = np.random.default_rng(5), graph.read(path)[0], run.run(path, values)
    names = [main.tensors[i].name for i in main.outputs if main.tensors[i].dtype == "float32"]
    return [random.standard_normal(made[name].shape).astype(np.float32) for name in names]


def gradients(lifted: "Lifted", values: dict[str, Any], drawn: Sequence[Any]) -> list[Any]:
    """The gradient of each weight, as numpy; None if there is none."""
    with tf.GradientTape() as tape:
        number = loss(lifted, values, drawn)
    found = tape.gradient(number, [weight.variable for weight in lifted.weights])
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]


def slopes(lifted: "Lifted", folder: Path, values: dict[str, Any], step: float = 2e-4) -> tuple[float, float]:
    """The slope of the loss along a random direction of all weights: by gradients, and by LiteRT on two written files.

    Each weight must have a gradient that is finite and not 0.
    """
    random, drawn, slope = np.random.default_rng(1), factors(lifted.path, values), 0.0
    before, directions = [weight.variable.numpy() for weight in lifted.weights], []
    for weight, gradient in zip(lifted.weights, gradients(lifted, values, drawn), strict=True):
        assert gradient is not None, weight
        assert np.isfinite(gradient).all(), weight
        assert np.any(gradient), weight
        directions.append(random.standard_normal(gradient.shape).astype(np.float32))
        slope += float(np.sum(gradient * directions[-1]))
    losses = []
    for sign in (1, -1, 0):
        for weight, was, direction in zip(lifted.weights, before, directions, strict=True):
            weight.variable.assign(was + sign * step * direction)
        if sign:
            file = folder / "moved.tflite"
            file.write_bytes(writing.written(lifted))
            losses.append(litert_loss(file, values, drawn))
    return slope, (losses[0] - losses[1]) / (2 * step)
