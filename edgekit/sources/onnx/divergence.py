"""Where a waist stops agreeing with its source: both run once with every inner value kept, matched by name."""

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.nouns.model import Divergence, Signature
from edgekit.sources.onnx.agreement import closeness_db
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, run, session
from edgekit.waist import graph as waist_graph
from edgekit.waist import run as waist_run
from edgekit.waist import tensors

Array = NDArray[Any]

MAX_RANK = 5
"""Highest rank whose permutations are all tried (120 of them)."""


def first(
    model: onnx.ModelProto, signature: Signature, waist: Path, sample: dict[str, Array], threshold_db: float
) -> Divergence | None:
    """The first tensor of the waist, in its own order, whose SQNR falls below ``threshold_db``.

    Args:
        model: the source.
        signature: the waist's.
        waist: the TFLite file.
        sample: one sample under the source's names and in its layout.
        threshold_db: the limit.

    Returns:
        None if every tensor that has a counterpart agrees, or if none has one. Tensors are
        compared in every layout that fits, and judged by the best.
    """
    expected = _source_values(model, sample)
    graph = waist_graph.read(waist)[0]
    running = waist_run.interpreter(waist, keep_tensors=True)
    details = {detail["name"]: detail["index"] for detail in running.get_input_details()}
    stacked = {name: value[None] for name, value in sample.items()}
    for name, value in tensors.inputs_to_file(signature, stacked).items():
        running.set_tensor(details[name], value[0])
    waist_run.invoke(running, waist)
    reads = {name: node.input[0] for node in model.graph.node if node.input for name in node.output}
    for operator in graph.operators:
        for index in operator.outputs:
            name = graph.tensors[index].name
            counterpart = _counterpart(name, expected, reads)
            if counterpart is None:
                continue
            agreement = _best_db(counterpart, running.get_tensor(index))
            if agreement is not None and agreement < threshold_db:
                return Divergence(tensor=name, operator=operator.name, sqnr_db=round(agreement, 2))
    return None


def beyond_32_bits(model: onnx.ModelProto, sample: dict[str, Array]) -> tuple[str, int] | None:
    """The first whole number of the source that 32 bits do not hold, with the name of its tensor."""
    limits = np.iinfo(np.int32)
    for name, value in _source_values(model, sample).items():
        if value.dtype.kind in "iu" and value.size:
            furthest = max(int(value.max()), int(value.min()), key=abs)
            if not limits.min <= furthest <= limits.max:
                return name, furthest
    return None


def _source_values(model: onnx.ModelProto, sample: dict[str, Array]) -> dict[str, Array]:
    """Every value that the source computes, by name; of subgraphs only what they give."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {value.name for value in exposed.graph.output}
    made = [name for node in exposed.graph.node for name in node.output if name and name not in known]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    try:
        running = session(exposed, optimize=False)
        names = [value.name for value in running.get_outputs()]
        return dict(zip(names, run(running, sample, names), strict=True))
    except RUNTIME_ERRORS:  # a value that is no tensor cannot be exposed; then only the outputs are known
        running = session(model, optimize=False)
        names = [value.name for value in running.get_outputs()]
        return dict(zip(names, run(running, sample), strict=True))


def _counterpart(name: str, expected: dict[str, Array], reads: dict[str, str]) -> Array | None:
    """The source's value that a tensor of the waist stands for.

    The converter names inner tensors after nodes, and `prepare` names nodes after their output:
    ``N_output_nhwc`` (with a number) is N, ``N_input_nhwc`` is what makes N reads.
    """
    plain = re.sub(r"(_nhwc)?(_\d+)?$", "", name)
    maker = plain.removesuffix("_input")
    for known in (name, plain, plain.removesuffix("_output"), reads.get(maker, "") if maker != plain else ""):
        if known in expected:
            return expected[known]
    return None


def _best_db(expected: Array, value: Array) -> float | None:
    """The highest SQNR over all layouts of the expected value that have the value's shape; None if none has."""
    if expected.size != value.size or expected.dtype == object:
        return None
    if expected.ndim != value.ndim or expected.ndim > MAX_RANK:
        return closeness_db(expected.reshape(-1), value.reshape(-1).astype(expected.dtype))
    fitting = [
        closeness_db(np.transpose(expected, order), value.astype(expected.dtype))
        for order in permutations(range(expected.ndim))
        if tuple(expected.shape[axis] for axis in order) == value.shape
    ]
    return max(fitting, default=None)
