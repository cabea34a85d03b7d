"""Parts of a TFLite network: inputs bound to constants, and the operators between chosen tensors."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.model import SourceOptions, TensorRow
from edgekit.waist import graph, naming, proposals, stored
from edgekit.waist.edit import set_constant
from edgekit.waist.tensors import Array


def names(main: graph.Graph) -> dict[str, int]:
    """The activations that a name tells apart, each with its index."""
    count = Counter(tensor.name for tensor in main.tensors)
    return {
        tensor.name: tensor.index
        for tensor in main.tensors
        if tensor.name and count[tensor.name] == 1 and not tensor.constant_bytes
    }


def bind(tree: Any, index: int, values: Array) -> None:
    """Make a constant of an input, in place."""
    main = tree.subgraphs[0]
    tensor = main.tensors[index]
    tensor.shape, tensor.shapeSignature = np.array(values.shape, np.int32), None
    set_constant(tree, index, values)
    main.inputs = [i for i in main.inputs if i != index]
    tree.signatureDefs = None


def between(main: graph.Graph, ends: set[int], outputs: list[int]) -> tuple[list[int], set[int]]:
    """The operators (by index) that make the outputs from ``ends``, and the ends and inputs that they read."""
    makers = {index: operator for operator in main.operators for index in operator.outputs}
    kept: set[int] = set()
    reached: set[int] = set()
    pending, seen = list(outputs), {-1}
    while pending:
        index = pending.pop()
        if index in seen:
            continue
        seen.add(index)
        if index in ends or index in main.inputs:
            reached.add(index)
        elif (maker := makers.get(index)) is not None and maker.index not in kept:
            kept.add(maker.index)
            pending += maker.inputs
    return sorted(kept), reached


def keep(tree: Any, operators: list[int], inputs: list[int], outputs: list[int]) -> None:
    """Keep those operators of the main graph, with those ends; weights that nothing reads any more go, in place."""
    main = tree.subgraphs[0]
    main.operators = [main.operators[i] for i in operators]
    main.inputs, main.outputs = inputs, outputs
    tree.signatureDefs = None
    read = {int(i) for operator in main.operators for i in (*operator.inputs, *operator.outputs)} | {*inputs, *outputs}
    wanted = {t.buffer for i, t in enumerate(main.tensors) if i in read}
    wanted |= {t.buffer for subgraph in tree.subgraphs[1:] for t in subgraph.tensors}
    wanted |= {entry.buffer for entry in tree.metadata or []}
    for i, buffer in enumerate(tree.buffers):
        if i not in wanted:
            buffer.data = None


def edited(tree: Any, called_ends: dict[int, str], path: Path, options: SourceOptions) -> graph.Graph:
    """Bind and cut what the options name, in the tree; the main graph as it is then.

    Args:
        tree: the schema's object tree.
        called_ends: the names of inputs and outputs, by index.
        path: the file, for complaints.
        options: what to bind, and where to cut.

    Raises:
        InputError: a name is no tensor's, a value does not fit, or the outputs depend on more than the inputs.
    """
    main = graph.describe(tree)[0]
    ends = {name: index for index, name in called_ends.items()}
    for name, values in options.constants.items():
        known = [n for n, index in ends.items() if index in main.inputs]
        if name not in known:
            raise naming.no_input(path, name, known, "--constant")
        tensor = main.tensors[ends[name]]
        declared = [size if size >= 0 else None for size in tensor.signature_shape]
        bind(tree, tensor.index, naming.bound(name, values, declared, np.dtype(tensor.dtype)))
        main = graph.describe(tree)[0]
    known_tensors = names(main) | ends
    naming.require_tensors(path, (*options.inputs, *options.outputs), known_tensors)
    outputs = [known_tensors[name] for name in options.outputs] or list(main.outputs)
    into = [known_tensors[name] for name in options.inputs]
    operators, reached = between(main, set(into), outputs)
    called = {index: name for name, index in known_tensors.items()}
    naming.require_reached(path, options.inputs, {called[index] for index in reached})
    keep(tree, operators, into or [index for index in main.inputs if index in reached], outputs)
    return graph.describe(tree)[0]


HEAVY = {
    "BATCH_MATMUL", "BIDIRECTIONAL_SEQUENCE_LSTM", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED",
    "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "WHILE",
}  # fmt: skip
"""Operators that make up a network, in contrast to what prepares its input or reads its results."""


def _constants(main: graph.Graph, bad: Callable[[graph.Operator], bool]) -> tuple[set[int], list[graph.Operator]]:
    """Tensors that no input decides, as weights of float16 behind a DEQUANTIZE; and the operators that make others."""
    constants = {tensor.index for tensor in main.tensors if tensor.constant_bytes} | {-1}
    computing = []
    for operator in main.operators:
        if operator.inputs and constants.issuperset(operator.inputs) and not bad(operator):
            constants |= {*operator.outputs}
        else:
            computing.append(operator)
    return constants, computing


def cut_off(path: Path, main: graph.Graph, ends: dict[int, str], bad: Callable[[graph.Operator], bool]) -> str:
    """The cut that leaves operators out, as a fix; empty if they stand in its midst or tensors have no names.

    Args:
        path: the model's file.
        main: its main graph.
        ends: the names of inputs and outputs, by index.
        bad: tells the operators that must go.
    """
    called = {index: name for name, index in names(main).items()} | ends
    constants, computing = _constants(main, bad)
    steps = [
        proposals.GraphStep(
            tuple(called.get(i, "") for i in operator.inputs if i not in constants),
            tuple(called.get(i, "") for i in operator.outputs),
            operator.name in HEAVY,
        )
        for operator in computing
    ]
    found = [i for i, operator in enumerate(computing) if bad(operator)]
    cut = proposals.around(steps, found, [called[index] for index in main.outputs]) if found else None
    named = cut is not None and "" not in (*cut.inputs, *cut.outputs)
    finished = any(tensor.scales and tensor.dtype in stored.INTEGERS for tensor in main.tensors)
    return proposals.advice(path, cut, finished=finished) if named else ""


def rows(main: graph.Graph, ends: dict[int, str]) -> tuple[TensorRow, ...]:
    """The tensors of a graph that have a name to themselves, inputs first; ``ends`` names inputs and outputs."""
    called = {index: name for name, index in names(main).items()} | ends
    makers = {index: operator.name for operator in main.operators for index in operator.outputs}
    return tuple(
        TensorRow(
            name=called[index],
            shape=None if -1 in main.tensors[index].signature_shape else main.tensors[index].shape,
            dtype=main.tensors[index].dtype,
            operator=makers.get(index, "input"),
            output=index in main.outputs,
        )
        for index in dict.fromkeys((*main.inputs, *(made for made in makers if made in called)))
    )


def apart(
    model: Any, operators: Iterable[Any], inputs: Iterable[int], outputs: Iterable[int], *, calls: bool = False
) -> tuple[Any, dict[int, int]]:
    """Operators of a main graph as a network of their own, whose constants are shared with it.

    Args:
        model: the object tree whose tensors they use.
        operators: their object trees, in an order in which they can run.
        inputs: tensors that they are given; constants among them are constants no more.
        outputs: tensors to be told.
        calls: one of them calls other subgraphs, which come along.

    Returns:
        The object tree, and where the tensors of the whole stand in it.
    """
    trees = list(operators)
    used = (t for tree in trees for ends in (tree.inputs, tree.outputs, _inner(tree)) for t in graph.ints(ends))
    held = list(dict.fromkeys(t for t in used if t >= 0))
    places = {tensor: place for place, tensor in enumerate(held)}
    main = schema.SubGraphT()
    main.tensors = [
        _copied(schema.TensorT(), model.subgraphs[0].tensors[tensor], shapeSignature=None) for tensor in held
    ]
    main.inputs, main.outputs = [places[t] for t in inputs], [places[t] for t in outputs]
    main.operators = [
        _copied(
            schema.OperatorT(),
            tree,
            inputs=[places.get(t, -1) for t in graph.ints(tree.inputs)],
            outputs=[places[t] for t in graph.ints(tree.outputs)],
            intermediates=[places[t] for t in graph.ints(_inner(tree))],
        )
        for tree in trees
    ]
    made = schema.ModelT()
    made.version, made.operatorCodes = model.version, model.operatorCodes
    made.subgraphs, made.buffers = [main, *(model.subgraphs[1:] if calls else ())], model.buffers
    if not calls:  # packing thousands of empty buffers for each operator would take most of the time
        made.buffers = [schema.BufferT(), *(model.buffers[tensor.buffer] for tensor in main.tensors)]
        for number, tensor in enumerate(main.tensors, start=1):
            tensor.buffer = number
    for tensor in inputs:
        main.tensors[places[tensor]].buffer = 0
    return made, places


def _inner(operator: Any) -> Any:
    """Tensors with the scales inside of an operator (an LSTM of integers)."""
    return () if operator.intermediates is None else operator.intermediates


def _copied(made: Any, tree: Any, **changes: Any) -> Any:
    made.__dict__.update(tree.__dict__, **changes)
    return made
