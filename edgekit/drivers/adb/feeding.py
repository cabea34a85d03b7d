"""Inputs and outputs as benchmark_model takes and writes them: raw bytes, in the order of the graph.

The tool ignores the names that it is given and only counts, so plain ones are used: a colon in a tensor's
name would have to be escaped, in ways that differ between builds.
"""

from pathlib import Path

import msgspec
import numpy as np

from edgekit.errors import Unsupported
from edgekit.nouns.base import Noun
from edgekit.waist import graph
from edgekit.waist.tensors import Array, arrays


class FedTensor(Noun, frozen=True):
    """An input or output: name in the file, shape, dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Boundary(Noun, frozen=True):
    """What goes in and out of a file, in the order of its graph."""

    inputs: tuple[FedTensor, ...]
    outputs: tuple[FedTensor, ...]


def boundary(artifact: Path) -> Boundary:
    """Read a TFLite file's inputs and outputs.

    Raises:
        InputError: it is no TFLite file.
    """
    main = graph.read(artifact)[0]

    def tensors(indices: tuple[int, ...]) -> tuple[FedTensor, ...]:
        return tuple(FedTensor(main.tensors[i].name, main.tensors[i].shape, main.tensors[i].dtype) for i in indices)

    return Boundary(tensors(main.inputs), tensors(main.outputs))


def raw(of: Boundary, inputs: Path) -> list[list[bytes]]:
    """For every sample of an ``.npz`` (``[N, *shape]`` by name) the bytes of every input."""
    held = arrays(inputs)
    given = [held[tensor.name] for tensor in of.inputs]
    return (
        [[np.ascontiguousarray(array[i]).tobytes() for array in given] for i in range(len(given[0]))] if given else []
    )


def arguments(of: Boundary, folder: str, sample: int) -> list[str]:
    """Flags that feed a sample from ``folder/SAMPLE/INPUT.bin``; none if the tool cannot be told a shape."""
    if not of.inputs or not all(tensor.shape for tensor in of.inputs):
        return []
    names = [f"in{i}" for i in range(len(of.inputs))]
    shapes = ":".join(",".join(map(str, tensor.shape)) for tensor in of.inputs)
    files = ",".join(f"{name}:{folder}/{sample}/{i}.bin" for i, name in enumerate(names))
    return [
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={shapes}",
        f"--input_layer_value_files={files}",
    ]


def cut(of: Boundary, content: bytes, *, place: str) -> list[Array]:
    """The outputs of one run, one after the other as the tool writes them, as arrays ``[*shape]``.

    Raises:
        Unsupported: their size is not what the file says, as with a dynamic shape.
    """
    arrays, at = [], 0
    for tensor in of.outputs:
        if tensor.dtype in {"str", "int4"}:
            raise Unsupported(
                f"Outputs of dtype {tensor.dtype} are written in no plain form.",
                place=f"{place}: {tensor.name}",
                fix="compare another artifact",
            )
        dtype = np.dtype(tensor.dtype)
        size = int(np.prod(tensor.shape, dtype=np.int64)) * dtype.itemsize
        arrays.append(np.frombuffer(content[at : at + size].ljust(size, b"\0"), dtype).reshape(tensor.shape))
        at += size
    if at != len(content):
        raise Unsupported(
            f"benchmark_model wrote {len(content):,} bytes of outputs where the file says {at:,}.",
            place=place,
            fix="the file has outputs of a dynamic shape: give its inputs fixed shapes and build it again",
        )
    return arrays


def text(of: Boundary) -> str:
    """For a deployment's settings."""
    return msgspec.json.encode(of).decode()


def untext(settings: dict[str, str]) -> Boundary:
    """From a deployment's settings."""
    return msgspec.json.decode(settings["boundary"].encode(), type=Boundary)
