"""Bounds on what a model may ask for, looked at before anything of that size is allocated.

A file of 200 bytes can declare an input of 500 million rows, or a constant that expands to gigabytes.
"""

from pathlib import Path

import onnx

from edgekit.errors import InputError, Unsupported
from edgekit.sources.onnx.folding import infer
from edgekit.sources.onnx.network import Network, kind

LIMIT_BYTES = 2**30
"""Largest tensor: more than a phone gives to an app, and room for a reference run of 2 GiB all in all."""


def refuse_large(path: Path, model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Stop where an input, or a value that shape inference knows, is larger than `LIMIT_BYTES`.

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
    for name in network.inputs:
        if (size := network.bytes(name) or 0) > LIMIT_BYTES:
            raise InputError(
                f"{path.name}: the input {name!r} {list(network.shapes[name])} would take {_gib(size)}.",
                place=f"{path}: {name}",
                fix=f"export it with real sizes (at most {_gib(LIMIT_BYTES)} for a tensor)",
            )
    infer(network)
    for node in network.nodes:
        for name in node.output:
            if (size := network.bytes(name) or 0) > LIMIT_BYTES:
                raise Unsupported(
                    f"{path.name}: {kind(node)} makes {name!r} {list(network.shape(name) or ())}, {_gib(size)}.",
                    place=f"{path}: {name}",
                    fix=f"choose smaller sizes (at most {_gib(LIMIT_BYTES)} for a tensor), or cut the model before it",
                )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
