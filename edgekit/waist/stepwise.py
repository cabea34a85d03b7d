"""A TFLite network run operator by operator; the caller may change values and constants in between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.waist import cutting, graph, run
from edgekit.waist.tensors import Array, stacked


class Stepwise:
    """Runs single operators of a network's main graph.

    Args:
        model: the object tree of a TFLite file without state. Its constants may change between runs.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.graph = graph.describe(model)[0]

    def run(self, operator: graph.Operator, values: Mapping[int, Array]) -> dict[int, Array]:
        """Run one operator on samples, with the constants that the object tree holds now.

        Args:
            operator: one of `graph`'s.
            values: activations by tensor index, ``[N, *shape]`` each; those that it reads must be there.

        Returns:
            What it makes, by tensor index, ``[N, *shape]``.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        return self.run_part([operator], values, operator.outputs)

    def run_part(
        self, operators: Sequence[graph.Operator], values: Mapping[int, Array], outputs: Sequence[int]
    ) -> dict[int, Array]:
        """The same of several operators, in their order of execution: ``outputs`` are tensors that they make.

        What is made of constants alone is the same for all samples, and computed once.
        """
        read = self._read(operators, values)
        calls = any(operator.calls for operator in operators)
        trees = [self._model.subgraphs[0].operators[operator.index] for operator in operators]
        model, places = cutting.apart(self._model, trees, read, outputs, calls=calls)
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{operators[-1].name}.tflite"
            path.write_bytes(graph.pack(model))
            made = run.interpreter(path, threads=run.host_threads())
            collected: list[list[Array]] = [[] for _ in outputs]
            samples = max((len(rows) for rows in values.values()), default=1)
            for sample in range(samples if read else 1):
                for tensor in read:
                    made.set_tensor(places[tensor], values[tensor][sample])
                run.invoke(made, path)
                for rows, tensor in zip(collected, outputs, strict=True):
                    rows.append(made.get_tensor(places[tensor]))
        found = {tensor: stacked(rows) for tensor, rows in zip(outputs, collected, strict=True)}
        if read:
            return found
        return {tensor: np.broadcast_to(rows, (samples, *rows.shape[1:])) for tensor, rows in found.items()}

    def _read(self, operators: Sequence[graph.Operator], values: Mapping[int, Array]) -> list[int]:
        """What is read of ``values``, and not made by the operators themselves."""
        made = {tensor for operator in operators for tensor in operator.outputs}
        read = (tensor for operator in operators for tensor in operator.inputs)
        return [tensor for tensor in dict.fromkeys(read) if tensor in values and tensor not in made]


def last_uses(main: graph.Graph) -> dict[int, int]:
    """By tensor index the operator that reads it last; outputs of the network are never done with."""
    found = {tensor: operator.index for operator in main.operators for tensor in operator.inputs}
    return {tensor: index for tensor, index in found.items() if tensor not in main.outputs}
