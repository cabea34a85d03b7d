"""A TFLite network run operator by operator; the caller may change values and constants in between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph, run
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
        """The same of several operators, in their order of execution: ``outputs`` are tensors that they make."""
        read = self._read(operators, values)
        model, places = self._alone(operators, read, outputs)
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{operators[-1].name}.tflite"
            path.write_bytes(graph.pack(model))
            made = run.interpreter(path, threads=run.host_threads())
            collected: list[list[Array]] = [[] for _ in outputs]
            for sample in range(len(values[read[0]]) if read else 1):
                for tensor in read:
                    made.set_tensor(places[tensor], values[tensor][sample])
                run.invoke(made, path)
                for rows, tensor in zip(collected, outputs, strict=True):
                    rows.append(made.get_tensor(places[tensor]))
        return {tensor: stacked(rows) for tensor, rows in zip(outputs, collected, strict=True)}

    def _read(self, operators: Sequence[graph.Operator], values: Mapping[int, Array]) -> list[int]:
        """What is read of ``values``, and not made by the operators themselves."""
        made = {tensor for operator in operators for tensor in operator.outputs}
        read = (tensor for operator in operators for tensor in operator.inputs)
        return [tensor for tensor in dict.fromkeys(read) if tensor in values and tensor not in made]

    def _alone(
        self, operators: Sequence[graph.Operator], read: list[int], outputs: Sequence[int]
    ) -> tuple[Any, dict[int, int]]:
        """A network of these operators alone, and where the tensors of the whole stand in it."""
        whole = self._model.subgraphs[0]
        held = list(dict.fromkeys(t for one in operators for t in (*one.inputs, *one.outputs) if t >= 0))
        places = {tensor: place for place, tensor in enumerate(held)}
        calls = any(key.endswith("ubgraphIndex") for operator in operators for key in operator.options)
        called = self._model.subgraphs[1:] if calls else []
        main = schema.SubGraphT()
        main.tensors = [_copied(whole.tensors[tensor]) for tensor in held]
        main.inputs, main.outputs = [places[t] for t in read], [places[t] for t in outputs]
        main.operators = []
        for operator in operators:
            one = schema.OperatorT()
            one.__dict__.update(whole.operators[operator.index].__dict__)
            one.inputs = [places.get(t, -1) for t in operator.inputs]
            one.outputs = [places[t] for t in operator.outputs]
            main.operators.append(one)
        model = schema.ModelT()
        model.version, model.operatorCodes = self._model.version, self._model.operatorCodes
        model.subgraphs, model.buffers = [main, *called], self._model.buffers
        if not called:  # packing thousands of empty buffers for each operator would take most of the time
            model.buffers = [schema.BufferT(), *(self._model.buffers[tensor.buffer] for tensor in main.tensors)]
            for number, tensor in enumerate(main.tensors, start=1):
                tensor.buffer = number
        return model, places


def _copied(tensor: Any) -> Any:
    made = schema.TensorT()
    made.__dict__.update(tensor.__dict__)
    made.shapeSignature = None
    return made


def last_uses(main: graph.Graph) -> dict[int, int]:
    """By tensor index the operator that reads it last; outputs of the network are never done with."""
    found = {tensor: operator.index for operator in main.operators for tensor in operator.inputs}
    return {tensor: index for tensor, index in found.items() if tensor not in main.outputs}
