"""Models that were exported for a fixed batch of several samples, taken for one: as apps and devices run them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgekit.errors import InputError
from edgekit.sources.onnx import indices
from edgekit.sources.onnx.advice import HEAVY
from edgekit.sources.onnx.network import Array, every_node, kind
from edgekit.sources.onnx.opening import reading, shapes
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, Running, made_up, run, session

SIZES = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0, "Resize": 3}
"""Operators → the input that may hold the batch among other sizes."""

TOLERANCE = 1e-4
"""Of an output's largest value: kernels sum in another order for another batch."""

Change = Callable[[Array, int], Array]

CHANGES: tuple[Change, ...] = (
    lambda sizes, batch: np.where((np.arange(sizes.size) == 0) & (sizes == batch), 1, sizes),
    lambda sizes, batch: np.where((np.arange(sizes.size) == 0) & (sizes % batch == 0), sizes // batch, sizes),
    lambda sizes, batch: np.where(sizes == batch, 1, sizes),
)
"""How sizes may hold the batch: first, first and multiplied, anywhere. The first that computes the same is right."""


def fixed_batch(model: onnx.ModelProto) -> int:
    """The batch that all inputs declare as their first size; 1 if they do not, or nothing tells that it is one."""
    declared = [shapes.dims(value) or [1] for value in shapes.true_inputs(model)]
    first = {sizes[0] for sizes in declared}
    batch = first.pop() if len(first) == 1 else 1
    layered = any(kind(node) in HEAVY for node in every_node(model.graph))
    return batch if isinstance(batch, int) and layered and max(map(len, declared)) > 1 else 1


def as_declared(model: onnx.ModelProto, asked: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes that were asked for, with the file's own batch if a single sample was asked for."""
    batch = fixed_batch(model)
    return {name: (batch, *shape[1:]) if shape[:1] == (1,) else shape for name, shape in asked.items()}


def single(
    model: onnx.ModelProto, running: Running, fixed: dict[str, tuple[int, ...]]
) -> tuple[onnx.ModelProto, Running] | None:
    """The model for one sample, with its session; None if it computes something else than the batch's rows.

    Args:
        model: as the user wrote it; not modified.
        running: its session, the reference.
        fixed: the shapes of its inputs, the batch first.
    """
    batch = next(iter(fixed.values()))[0]
    rows = _rows(model, running, fixed, batch)
    if rows is None:
        return None
    for change in CHANGES:
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        shapes.fix(copy, {name: (1, *shape[1:]) for name, shape in fixed.items()})
        _resize(copy, batch, change)
        try:
            made = session(copy)
            if all(_same(run(made, feed), outputs) for feed, outputs in rows):
                return copy, made
        except RUNTIME_ERRORS:
            continue
    return None


def _rows(
    model: onnx.ModelProto, running: Running, fixed: dict[str, tuple[int, ...]], batch: int
) -> list[tuple[dict[str, Array], list[Array]]] | None:
    """Made-up samples one by one, with the reference's rows for them; None if it has none."""
    dtypes = {value.name: reading.dtype_of(value) for value in shapes.true_inputs(model)}
    limits = indices.limits(model, [name for name, dtype in dtypes.items() if dtype.kind in "iu"])
    for feed in made_up(fixed, dtypes, 0, limits):
        try:
            outputs = run(running, feed)
        except RUNTIME_ERRORS:
            continue
        if any(output.shape[:1] != (batch,) for output in outputs):
            return None
        return [
            ({name: values[i : i + 1] for name, values in feed.items()}, [output[i : i + 1] for output in outputs])
            for i in range(batch)
        ]
    return None


def _same(found: list[Array], expected: list[Array]) -> bool:
    return all(
        f.shape == e.shape and np.allclose(f, e, rtol=0, atol=TOLERANCE * _peak(e), equal_nan=True)
        for f, e in zip(found, expected, strict=True)
    )


def _peak(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(finite.max(initial=0)) if np.issubdtype(values.dtype, np.floating) else 0.0


def _resize(model: onnx.ModelProto, batch: int, change: Change) -> None:
    """Change the sizes that operators take from constants; each gets one of its own, in place."""
    known = dict(_constants(model.graph))
    for number, node in enumerate(model.graph.node):
        place = SIZES.get(kind(node))
        if place is None or place >= len(node.input) or node.input[place] not in known:
            continue
        sizes = numpy_helper.to_array(known[node.input[place]])
        if sizes.ndim == 1 and np.issubdtype(sizes.dtype, np.integer):
            name = f"{node.input[place]}/single_{number}"
            changed = change(sizes, batch).astype(sizes.dtype)
            model.graph.initializer.append(numpy_helper.from_array(changed, name))
            node.input[place] = name


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        if kind(node) == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            yield node.output[0], node.attribute[0].t


def note(fixed: dict[str, tuple[int, ...]]) -> str:
    """What is said of a model that was taken for one sample."""
    name, shape = next(iter(fixed.items()))
    return (
        f"the model takes {shape[0]} samples at once, and is built for one: the rows of its batch are independent "
        f"(--shape {name}={','.join(map(str, shape))} keeps them together)"
    )


def inseparable(path: Path, fixed: dict[str, tuple[int, ...]]) -> InputError:
    """The refusal to take a model for one sample."""
    name, shape = next(iter(fixed.items()))
    return InputError(
        f"{path.name} takes {shape[0]} samples at once, and cannot be fixed to one: what it gives for a sample "
        "depends on the others, or the number is written into it.",
        place=f"--shape {name}",
        fix=f"export it with batch 1, or build it as it is (--shape {name}={','.join(map(str, shape))})",
    )
