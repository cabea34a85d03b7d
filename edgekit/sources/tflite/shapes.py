"""Shapes of a TFLite file whose dimensions are open: of its inputs as the user says, of the rest as it runs."""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.waist import graph
from edgekit.waist.run import interpreter, invoke

SIZE_LIMIT = 2**31 - 1
"""The largest dimension and the largest tensor in elements; TFLite counts both in int32."""


def of_input(tensor: graph.Tensor, name: str, options: SourceOptions, path: Path) -> tuple[int, ...]:
    """An input's fixed shape: batch 1, and what ``--shape`` says.

    Raises:
        InputError: a dimension stays open, is 0, or contradicts.
    """
    declared = tensor.signature_shape if len(tensor.signature_shape) == len(tensor.shape) else tensor.shape
    shown = "[" + ", ".join("?" if size == -1 else str(size) for size in declared) + "]"
    template = ",".join(("1" if axis == 0 else "?") if size == -1 else str(size) for axis, size in enumerate(declared))
    if (wanted := options.shapes.get(name)) is not None:
        if len(wanted) != len(declared) or min(wanted, default=1) < 1:
            raise InputError(
                f"--shape gives {name} the shape {list(wanted)}, but {path.name} has {shown}.",
                place=f"--shape {name}",
                fix=f"--shape {name}={template}, with a size of 1 or more for each question mark",
            )
        return wanted
    shape = tuple(1 if size == -1 and axis == 0 else size for axis, size in enumerate(declared))
    if -1 in shape:
        raise InputError(
            f"{path.name} leaves dimensions open: {name} is {shown}.",
            place=str(path),
            fix=f"put your sizes where the question marks are: --shape {name}={template}",
        )
    if 0 in shape or int(np.prod([int(size) for size in shape], dtype=object)) > SIZE_LIMIT:
        raise InputError(
            f"The input {name} of {path.name} has the shape {shown}, which cannot be.",
            place=str(path),
            fix="export it with an input that holds something",
        )
    return shape


def resized(file: Path, path: Path, shapes: dict[int, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Every tensor's shape once the inputs have theirs, as LiteRT propagates it, or as it comes out of two runs.

    What is reckoned from a shape while the network runs (the frames of a spectrogram) has no size before.
    Tensors whose shape depends on values are left out.

    Raises:
        Unsupported: LiteRT cannot resize it.
    """
    try:
        made = interpreter(file, keep_tensors=True)
        for index, shape in shapes.items():
            made.resize_tensor_input(index, shape)
        made.allocate_tensors()
        known = _known(made)
        runs = [known, *filter(None, (_shapes_after(made, file, seed) for seed in range(2)))]
        stable = {index: shape for index, shape in runs[-1].items() if all(run[index] == shape for run in runs[1:])}
        return stable | shapes
    except (RuntimeError, ValueError, Unsupported) as error:
        reason = error.problem if isinstance(error, Unsupported) else (str(error).splitlines() or [""])[0][:300]
        raise Unsupported(
            f"LiteRT cannot give {path.name} the shapes {[list(shape) for shape in shapes.values()]}: {reason}",
            place=str(path),
            fix="export it with fixed shapes",
        ) from error


def _known(made: Any) -> dict[int, tuple[int, ...]]:
    return {detail["index"]: tuple(int(size) for size in detail["shape"]) for detail in made.get_tensor_details()}


def _shapes_after(made: Any, file: Path, seed: int) -> dict[int, tuple[int, ...]]:
    """Every tensor's shape after a run on made-up inputs; none if it does not run on them."""
    random = np.random.default_rng(seed)
    for detail in made.get_input_details():
        floats = np.issubdtype(detail["dtype"], np.floating)
        values = random.random(detail["shape"]) if floats else np.zeros(detail["shape"])
        made.set_tensor(detail["index"], values.astype(detail["dtype"]))
    try:
        invoke(made, file)
    except Unsupported:
        return {}
    return _known(made)


def fix(tree: Any, shapes: dict[int, tuple[int, ...]]) -> None:
    """Write the shapes that are known into the main graph; of these nothing stays open."""
    for index, tensor in enumerate(tree.subgraphs[0].tensors):
        if index in shapes:
            tensor.shapeSignature = None
            tensor.shape = np.array(shapes[index], np.int32)
