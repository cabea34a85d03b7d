"""Bounds on what a model may ask for, looked at before anything of that size is allocated.

A file of 200 bytes can declare an input of 500 million rows, or a constant that expands to gigabytes.
"""

from pathlib import Path

import onnx

from edgekit.errors import InputError
from edgekit.sources import bound_results, largest_result
from edgekit.sources.onnx.folding import infer
from edgekit.sources.onnx.network import Network, kind


def refuse_large(path: Path, model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Stop if an input, or a value that shape inference knows, is larger than `edgekit.sources.largest_result`.

    Args:
        path: the file, for the message.
        model: the source; not modified.
        shapes: of every input.

    Raises:
        InputError: an input is too large.
        Unsupported: an operator's result is, and the operator is named.
    """
    network = Network.of(model)
    network.shapes.update(shapes)
    limit = largest_result()
    for name in network.inputs:
        if (size := network.bytes(name) or 0) > limit:
            raise InputError(
                f"{path.name}: the input {name!r} {list(network.shapes[name])} would take {_gib(size)}.",
                place=f"{path}: {name}",
                fix=f"export it with real sizes (at most {_gib(limit)} for a tensor)",
            )
    infer(network)
    widths = {name: dtype.itemsize for name, dtype in network.dtypes.items()}
    made = ((node, name) for node in network.nodes for name in node.output if network.bytes(name))
    bound_results(((kind(node), name, network.shape(name) or (), widths.get(name, 4)) for node, name in made), path)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
