"""Operators that ONNX itself defines by others are written out, and so are the model's own functions."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
from onnx import inliner

from edgekit.errors import InputError
from edgekit.sources.onnx.network import ONNX_ERRORS, Network, every_node, subgraphs

WRITTEN_OUT = (
    "AffineGrid", "Attention", "Bernoulli", "CastLike", "CenterCropPad", "GroupNormalization",
    "NegativeLogLikelihoodLoss", "RMSNormalization", "RotaryEmbedding", "Shrink",
    "SoftmaxCrossEntropyLoss", "Swish", "BlackmanWindow", "HammingWindow", "HannWindow",
)  # fmt: skip
"""Operators with a function body in ONNX's own schema that the converter does not know, or gets wrong."""


MOST_OPERATORS = 1_000_000
"""The most operators that a model's functions may stand for: large language models have some ten thousand."""


MOST_DEPTH = 8
"""How deep branches and loops may stand inside one another; exporters write two or three."""


def refuse_deep(path: Path, model: onnx.ModelProto) -> None:
    """Stop before anybody descends into branches of branches, whose number doubles with each.

    Raises:
        InputError: they are more than `MOST_DEPTH` deep.
    """
    waiting = [(model.graph.node, 0), *((function.node, 0) for function in model.functions)]
    while waiting:
        nodes, depth = waiting.pop()
        inner = [graph.node for node in nodes for graph in subgraphs(node)]
        if inner and depth == MOST_DEPTH:
            raise InputError(
                f"{path.name} has branches and loops inside one another, more than {MOST_DEPTH} deep.",
                place=str(path),
                fix="export it with fewer of them, or run it once through a tool that resolves them (onnxsim)",
            )
        waiting += [(below, depth + 1) for below in inner]


def refuse_large(path: Path, model: onnx.ModelProto) -> None:
    """Stop before anybody writes functions out that call one another without end, or double forty times.

    Raises:
        InputError: a function calls itself, or all together are more than `MOST_OPERATORS`.
    """
    if not model.functions:
        return
    bodies = {(f.domain, f.name, f.overload): list(_inside(f.node)) for f in model.functions}
    calls = {name: {_called(node) for node in nodes} & bodies.keys() for name, nodes in bodies.items()}
    try:
        order = list(TopologicalSorter(calls).static_order())
    except CycleError as error:
        raise InputError(
            f"{path.name} is an invalid model: its function {error.args[1][0][1]} calls itself.",
            place=str(path),
            fix="export it again, and check it with onnx.checker",
        ) from error
    sizes: dict[tuple[str, str, str], int] = {}
    for name in order:
        sizes[name] = sum(sizes.get(_called(node), 1) for node in bodies[name])
    whole = sum(sizes.get(_called(node), 1) for node in every_node(model.graph))
    if whole > MOST_OPERATORS:
        raise InputError(
            f"The functions of {path.name} call one another until they are {whole:,} operators.",
            place=f"{path}: {max(sizes, key=lambda name: sizes[name])[1]}",
            fix="get it from whom you trust, or export it without functions",
        )


def _called(node: onnx.NodeProto) -> tuple[str, str, str]:
    return node.domain, node.op_type, node.overload


def _inside(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from every_node(graph)


def inline_own(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without calls of functions that it defines itself."""
    return inliner.inline_local_functions(model) if model.functions else model


def write_out(network: Network) -> bool:
    """Replace operators of `WRITTEN_OUT` by their definition; True if there was one.

    The definition depends on types, which the inliner takes from values that it sees declared:
    constants therefore go in as inputs.
    """
    if not any(node.op_type in WRITTEN_OUT and node.domain in {"", "ai.onnx"} for node in network.nodes):
        return False
    _mask_nothing(network)
    before = network.proto(up_to_bytes=-1)
    try:
        after = inliner.inline_selected_functions(
            before, [("", kind) for kind in WRITTEN_OUT], inline_schema_functions=True
        )
    except ONNX_ERRORS:
        return False
    if [node.op_type for node in after.graph.node] == [node.op_type for node in network.nodes]:
        return False
    network.nodes = list(after.graph.node)
    network.used.update(name for node in network.nodes for name in node.output)
    return True


def _mask_nothing(network: Network) -> None:
    """Give every Attention with a past and without a mask one of zeros: the inliner stops at what is left out."""
    for node in network.nodes:
        if node.op_type != "Attention" or node.domain not in {"", "ai.onnx"} or len(node.input) < 5 or node.input[3]:
            continue
        rows, new, old = (network.shape(node.input[k]) for k in (0, 1, 4))
        if rows and new and old:
            mask = network.fresh("nothing_masked")
            network.constants[mask] = np.zeros((rows[-2], new[-2] + old[-2]), np.float32)
            node.input[3] = mask
