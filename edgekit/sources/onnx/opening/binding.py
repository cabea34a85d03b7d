"""Values for inputs that steer a graph, found by running it: those that give what the model declares."""

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx import runtime
from edgekit.sources.onnx.network import Network, kind

MOST_TRIES = 200
"""How many values, or combinations of them, are tried at most."""

MOST_S = 5.0
"""After how many seconds no more are tried: a refusal should not wait long for its advice."""

AXES = {
    *(("DFT", 2), ("Squeeze", 1), ("Unsqueeze", 1)),
    *((f"Reduce{what}", 1) for what in ("Max", "Mean", "Min", "Prod", "Sum")),
}
"""Operators with the position of the input that names an axis; that of others is a size, a count or a condition."""

Dims = list[int | str] | None


def values(
    model: onnx.ModelProto, told: Mapping[str, str], declared: Mapping[str, Dims]
) -> tuple[dict[str, str], bool]:
    """A value for each input that steers a model, as ``--constant`` takes it.

    Args:
        model: with fixed shapes.
        told: the inputs with the values that are known already, empty texts else.
        declared: dimensions that the file says of its results.

    Returns:
        The values, and whether they give results of the declared shapes: the first with which the model runs, if
        nothing does. Without any, and if one is not known of an input of several numbers, as they were.
    """
    network = Network.of(model)
    names = sorted(told, key=lambda name: not _reads(model, name) <= AXES)  # axes first: they take few values
    choices = [[told[name]] if told[name] else list(_choices(network, model, name, declared)) for name in names]
    first: dict[str, str] | None = None
    for found, results in _runs(network, model, [dict(zip(names, one, strict=True)) for one in _few(choices)]):
        if _as_declared(results, declared):
            return {name: found[name] for name in told}, True
        first = first or found
    return {name: (first or told)[name] for name in told}, False


def _few(choices: list[list[str]]) -> Iterator[tuple[str, ...]]:
    return itertools.islice(itertools.product(*choices), MOST_TRIES)


def _reads(model: onnx.ModelProto, name: str) -> set[tuple[str, int]]:
    """Which operators read an input, each with its position among their inputs."""
    return {(kind(n), i) for n in model.graph.node for i, read in enumerate(n.input) if read == name}


def _choices(network: Network, model: onnx.ModelProto, name: str, declared: Mapping[str, Dims]) -> Iterator[str]:
    """What may be the value of an input: none for floats, and for several numbers."""
    dtype, shape = network.dtype(name), network.shape(name)
    if dtype is None or dtype.kind not in "iub" or shape is None or np.prod(shape, dtype=int) != 1:
        return
    if dtype.kind == "b":
        yield from ("1", "0")
        return
    known = [declared.get(result) or () for result in network.outputs] + [
        network.shapes.get(n, ()) for n in network.inputs
    ]
    sizes = [str(size) for dims in known for size in dims if isinstance(size, int) and size > 0]
    read = _reads(model, name)
    axes = ["-2" if read == {("DFT", 2)} else "0", *"0123", "-1", "-2"]  # that of a DFT is the last but one by default
    yield from dict.fromkeys(axes if read <= AXES else [*sizes, *"012", "-1"])


def _runs(
    network: Network, model: onnx.ModelProto, every: list[dict[str, str]]
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Those values with which ONNX Runtime runs a model, and what it gives, until `MOST_S` have passed."""
    end, names = time.monotonic() + MOST_S, network.inputs
    dtypes, shapes = {name: network.dtypes[name] for name in names}, {name: network.shapes[name] for name in names}
    try:
        running = runtime.session(model, optimize=False)
    except runtime.RUNTIME_ERRORS:
        return
    feed = next(runtime.made_up(shapes, dtypes, 0, {}))
    for values in every:
        bound = {
            name: np.array(value.split(",")).astype(float).astype(dtypes[name]).reshape(shapes[name])
            for name, value in values.items()
        }
        try:
            results = runtime.run(running, feed | bound)
        except runtime.RUNTIME_ERRORS:
            continue
        yield values, dict(zip(network.outputs, results, strict=True))
        if time.monotonic() > end:
            return


def _as_declared(results: Mapping[str, Any], declared: Mapping[str, Dims]) -> bool:
    """Whether results have the shapes that are declared, at least one as a whole."""
    known = {name: tuple(dims) for name, dims in declared.items() if dims and all(isinstance(d, int) for d in dims)}
    return any(name in known for name in results) and all(
        value.shape == known.get(name, value.shape) for name, value in results.items()
    )
