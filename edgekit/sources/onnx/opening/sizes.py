"""Bounds on what a model may ask for, looked at before anything of that size is allocated.

A file of 200 bytes can declare an input of 500 million rows, or a constant that expands to gigabytes.
"""

from pathlib import Path

import onnx

from edgekit.sources import bound, bound_results
from edgekit.sources.onnx.folding import infer
from edgekit.sources.onnx.network import Network, kind


def refuse_large(path: Path, model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Stop if an input (`edgekit.sources.bound`) or a value that shape inference knows (`bound_results`) is too large.

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
    bound(((name, network.shapes[name]) for name in network.inputs if name in network.shapes), path)
    infer(network)
    widths = {name: dtype.itemsize for name, dtype in network.dtypes.items()}
    made = ((node, name) for node in network.nodes for name in node.output if network.bytes(name))
    bound_results(((kind(node), name, network.shape(name) or (), widths.get(name, 4)) for node, name in made), path)
