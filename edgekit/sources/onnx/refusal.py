"""What is left in a prepared network that no static TFLite graph can express, named with its reason."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.errors import InputError, Unsupported
from edgekit.sources.onnx.folding import RANDOM
from edgekit.sources.onnx.network import Network, attributes, consumed, kind
from edgekit.sources.onnx.runtime import complaint

CONTROL = {"If", "Loop", "Scan"}

DATA_DEPENDENT = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}
"""Operators whose output shape depends on values."""

STEERED: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2), "Pad": (1,),
    "Squeeze": (1,), "Unsqueeze": (1,), "TopK": (1,), "OneHot": (1,), "DFT": (1, 2), "Resize": (2, 3),
    "Upsample": (1,), "Split": (1,), "Slice": (1, 2, 3, 4), "CenterCropPad": (1,), "Col2Im": (1, 2),
    "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,), "ReduceMin": (1,), "ReduceProd": (1,),
}  # fmt: skip
"""Operators → the inputs whose *values* decide about shapes, and therefore must be constants."""


def refuse_unresolved(path: Path, network: Network) -> None:
    """Stop where an operator's shape depends on values, or control flow could not be resolved.

    Raises:
        Unsupported: the operators are named, with the graph inputs that steer them.
    """
    if not network.nodes:
        raise Unsupported(
            f"{path.name} computes nothing: its outputs are constants, or its inputs themselves.",
            place=str(path),
            fix="check what was exported",
        )
    complaints = list(_complaints(network))
    if complaints:
        raise Unsupported(
            f"{path.name} has no static form: {'; '.join(complaints[:5])}.",
            place=str(path),
            fix="make the values that steer shapes constants when exporting, or cut the model before these operators",
        )


def _complaints(network: Network) -> Iterator[str]:
    sources = _sources(network)
    for node in network.nodes:
        name = kind(node)
        if name in CONTROL:
            yield f"{name} with a condition or trip count that is computed while running, and results of varying shape"
        if name in DATA_DEPENDENT:
            yield f"{name} gives as many results as it finds"
        if name in RANDOM:
            yield f"{name} gives something else at every run"
        if attributes(node).get("training_mode", 0):
            yield f"{name} in training mode depends on what ran before (call model.eval() before exporting)"
        for index in STEERED.get(name, ()):
            if index < len(node.input) and node.input[index] and node.input[index] not in network.constants:
                steering = ", ".join(sorted(sources.get(node.input[index], set()))) or "values"
                yield f"{name} takes a shape, axis or position from {steering}"


def _sources(network: Network) -> dict[str, set[str]]:
    """For every value the graph inputs that it is computed from."""
    found: dict[str, set[str]] = {name: {f"the input {name!r}"} for name in network.inputs}
    for node in network.nodes:
        union: set[str] = set().union(*(found.get(name, set()) for name in consumed(node)))
        found.update(dict.fromkeys(node.output, union))
    return found


def not_prepared(path: Path, error: Exception) -> Unsupported:
    """A graph that ONNX Runtime takes and that onnx's own tools (inference, inlining, versions) fail on."""
    return Unsupported(
        f"{path.name} cannot be prepared for conversion: {complaint(error) or type(error).__name__}",
        place=str(path),
        fix="check the file with onnx.checker, or export it again with a newer opset",
    )


def cannot_convert(path: Path, network: Network, complaints: Sequence[Exception]) -> Unsupported:
    """The refusal after every strategy failed; the last one's complaint is the plainest.

    It names the operator that the converter stopped at, or the operators of the network.
    """
    last = complaints[-1]
    reason = " ".join((last.problem if isinstance(last, Unsupported) else str(last)).split())
    stopped = re.search(r"\bop=([\w.:]+)", reason)
    operators = [stopped.group(1)] if stopped else sorted({kind(node) for node in network.nodes})
    plain = reason.rpartition("message=")[2].removesuffix(".")
    named = ", ".join(operators[:20]) + (" …" if len(operators) > 20 else "")
    return Unsupported(
        f"{path.name} cannot be converted to TFLite. Operator{'s' * (len(operators) > 1)} {named}: {plain}.",
        place=str(path),
        fix="replace the operator when exporting, or cut the model before it",
    )


def refused_sample(path: Path, number: int, error: Exception) -> InputError:
    """ONNX Runtime does not take a sample (a length of zero, an index beyond its table …)."""
    return InputError(
        f"{path.name} does not run on sample {number}: {complaint(error) or 'no reason given'}",
        place=str(path),
        fix="give samples with values that the model takes (--calibration or --eval)",
    )


def varying_output(path: Path, name: str) -> Unsupported:
    """An output has another shape for other values of the inputs, which no device file can have."""
    return Unsupported(
        f"{path.name}: the shape of the output '{name}' depends on the inputs' values (If, Loop, NonZero …).",
        place=name,
        fix="cut the model before the operator that decides the shape",
    )
