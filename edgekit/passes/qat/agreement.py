"""How many integers of a simulation are those that LiteRT computes: of each operator, and at the outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from edgekit.passes.qat.simulation import Simulation
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import NotLiftedError, Operand, carried
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class Share:
    """How many of an operator's values are equal to LiteRT's, given LiteRT's own operands.

    Attributes:
        operator: its place.
        name: of the operator.
        equal: from 0 to 1. Of floats, those that are equal to six digits.
        furthest: the greatest difference.
        integers: whether it makes integers.
        reads: whether it reads or makes some, such as weights.
    """

    operator: int
    name: str
    equal: float
    furthest: float
    integers: bool
    reads: bool


def observed(content: bytes, samples: Mapping[str, Array]) -> dict[int, Array]:
    """All that LiteRT computes in a file, by tensor, ``[N, *shape]``, on the kernels that apps get (XNNPACK).

    Args:
        content: of the file.
        samples: for each input's name ``[N, *shape]``.
    """
    tree = graph.parse(content, Path("observed.tflite"))
    main = graph.describe(tree)[0]
    made = [tensor for operator in main.operators for tensor in operator.outputs]
    tree.subgraphs[0].outputs = list(dict.fromkeys([*main.outputs, *made]))
    tree.signatureDefs = []
    given = {index: samples[main.tensors[index].name] for index in main.inputs}
    seen: dict[int, list[Array]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "observed.tflite"
        path.write_bytes(graph.pack(tree))
        interpreter = run.interpreter(path, threads=run.host_threads())
        for row in range(len(next(iter(given.values())))):
            interpreter.reset_all_variables()  # each sample begins at the first state
            for index, values in given.items():
                interpreter.set_tensor(index, values[row])
            run.invoke(interpreter, path)
            for detail in interpreter.get_output_details():
                seen.setdefault(detail["index"], []).append(interpreter.get_tensor(detail["index"]))
    return given | {tensor: np.stack(rows) for tensor, rows in seen.items()}


def alone(simulation: Simulation, seen: Mapping[int, Array]) -> list[Share]:
    """Each operator's share, given what LiteRT's own operators before it made."""
    main, state = simulation.spec.main, simulation.state()
    values = {tensor: given(main.tensors[tensor], found) for tensor, found in seen.items()}
    shares: list[Share] = []
    for operator in main.operators:
        try:
            made = simulation.operate(operator, values, state)
        except NotLiftedError:
            continue
        for tensor, one in zip(operator.outputs, made, strict=True):
            if not one.sampled:
                values[tensor] = one  # of constants alone: LiteRT may not have kept it
            if one.sampled and tensor in seen:
                about = operator, main.tensors[tensor], simulation.of_integers(operator)
                shares.append(_share(*about, np.asarray(one.values), seen[tensor]))
    return shares


def whole(simulation: Simulation, seen: Mapping[int, Array]) -> dict[str, float]:
    """By output's name the share of its values that are equal, of the network computed from its inputs on."""
    main = simulation.spec.main
    made = simulation.run({tensor: given(main.tensors[tensor], seen[tensor]) for tensor in main.inputs})
    return {
        main.tensors[tensor].name: _equal(main.tensors[tensor], np.asarray(made[tensor].values), seen[tensor])
        .mean()
        .item()
        for tensor in main.outputs
    }


def given(tensor: graph.Tensor, values: Array) -> Operand:
    """Values of LiteRT's as an operand of the simulation."""
    return Operand(tf.constant(values.astype(carried(tensor))), sampled=True)


def _share(operator: graph.Operator, tensor: graph.Tensor, reads: bool, made: Array, seen: Array) -> Share:  # noqa: FBT001  a fact of the operator
    equal = _equal(tensor, made, seen)
    apart = np.abs(made.astype(np.float64) - seen.astype(np.float64))[~equal]
    return Share(
        operator.index,
        operator.name,
        float(equal.mean()) if equal.size else 1.0,
        float(apart.max(initial=0)),
        bool(tensor.scales),
        reads,
    )


def _equal(tensor: graph.Tensor, made: Array, seen: Array) -> NDArray[np.bool_]:
    made = made.reshape(seen.shape)
    if tensor.dtype == "float32":
        return np.isclose(made, seen, rtol=1e-5, atol=1e-6, equal_nan=True)
    return np.asarray(made == seen)
