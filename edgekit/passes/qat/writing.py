"""What was learned, written: an integer file, and the float network of the same weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.passes.qat.simulation import Simulation
from edgekit.trainable.form import Lifted
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array


def integer_file(simulation: Simulation) -> bytes:
    """The specification with what was learned: integers, biases and scales."""
    spec, state = simulation.spec, simulation.state()
    tree = graph.parse(spec.content, Path("learned.tflite"))
    tensors = tree.subgraphs[0].tensors
    for tensor, grid in state.grids.items():
        scales = np.asarray(grid.scale, np.float32).reshape(-1)
        if scales.tolist() != list(spec.main.tensors[tensor].scales):
            tensors[tensor].quantization.scale = scales
    written: dict[tuple[int, bytes], int] = {}
    for tensor, values in simulation.integers(state).items():
        content = tensors[tensor].type, values.tobytes()  # of 4 bits two are in a byte
        if content not in written:
            edit.set_constant(tree, tensor, values)
            written[content] = tensors[tensor].buffer
        tensors[tensor].buffer = written[content]
    edit.sweep(tree)
    return graph.pack(tree)


def real(simulation: Simulation) -> dict[str, Array]:
    """What the trained constants stand for, by their names in the file: integers times their scale, float32."""
    state, tensors = simulation.state(), simulation.spec.main.tensors
    found = {}
    for tensor, values in simulation.integers(state).items():
        grid = state.grids.get(tensor)
        found[tensors[tensor].name] = values if grid is None else np.asarray(grid.real(values.astype(np.float32)))
    return found


def give_back(lifted: Lifted, values: Mapping[str, Array]) -> list[str]:
    """Give the weights of a float network the values of those of the same names; the names of what got none."""
    left = []
    for weight in lifted.weights:
        found = values.get(weight.name)
        if found is None or found.size != weight.tensor.values.size:
            left.append(weight.name)
        else:
            weight.assign(found.astype(np.float32).reshape(weight.tensor.values.shape))
    return left
