"""Constants of which a file stores only the values that are not zero, spread out again.

What unpacks them is LiteRT's own DENSIFY. Networks are read so because few operators of few runtimes know the form.
"""

from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.waist import edit, graph, run
from edgekit.waist.tensors import Array


def spread(model: Any) -> int:
    """Make plain constants of all sparse ones, and drop the operators that spread them out, in place.

    Returns:
        How many there were.

    Raises:
        Unsupported: LiteRT cannot unpack one.
    """
    count = 0
    for number, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            if tensor.sparsity is not None and graph.is_constant(model, number, index):
                values = _unpacked(model, tensor)
                tensor.sparsity = None
                edit.set_constant(model, index, values, number)
                count += 1
        left = []
        for operator, seen in zip(list(subgraph.operators or []), graph.describe(model)[number].operators, strict=True):
            known = graph.constant(model, number, seen.inputs[0]) if seen.name == "DENSIFY" else None
            if known is not None:
                edit.set_constant(model, seen.outputs[0], known, number)
            else:
                left.append(operator)
        subgraph.operators = left
    return count


def _unpacked(model: Any, tensor: Any) -> Array:
    """The values of a sparse constant ``[*shape]``."""
    alone, main = schema.ModelT(), schema.SubGraphT()
    stored, made = copy(tensor), copy(tensor)
    stored.buffer, made.buffer, made.sparsity, made.name = 1, 0, None, b"made"
    alone.version, alone.buffers, alone.operatorCodes = 3, [schema.BufferT(), model.buffers[tensor.buffer]], []
    main.tensors, main.inputs, main.outputs, main.operators = [stored, made], [], [1], []
    alone.subgraphs = [main]
    main.operators = [edit.operator(alone, "DENSIFY", [0], [1])]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sparse.tflite"
        file.write_bytes(graph.pack(alone))
        interpreter = run.interpreter(file, kernels="builtin")  # XNNPACK fails on DENSIFY alone
        run.invoke(interpreter, file)
        found = run.value(interpreter, 1)
    if found is None:
        raise Unsupported(
            f"LiteRT cannot unpack the sparse weights {tensor.name.decode(errors='replace')}.",
            place="the network",
            fix="export it without sparse tensors",
        )
    return found.copy()
