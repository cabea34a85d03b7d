"""What is left in a prepared network that no static TFLite graph can express, named with its reason."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Divergence
from edgekit.sources.onnx import advice
from edgekit.sources.onnx.folding import RANDOM
from edgekit.sources.onnx.network import Network, attributes, consumed, kind
from edgekit.sources.onnx.rules import products
from edgekit.sources.onnx.runtime import complaint

CUT = "replace the operator when exporting, or cut the model before it"

CONTROL = {"If", "Loop", "Scan"}

MOST_ROWS = {"com.microsoft:Inverse": products.LARGEST, "Det": products.SMALL}
"""Operators by elimination → the largest matrices that are converted."""

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
    """Stop if an operator's shape depends on values, or control flow could not be resolved.

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
        said = [complaint for complaint, _ in complaints]
        steering = sorted(set().union(*(names for _, names in complaints)))
        bind = " ".join(f"--constant {name}=VALUE" for name in steering[:3])
        raise Unsupported(
            f"{path.name} has no static form: {said[0]}{f' ({len(said) - 1} more)' * (len(said) > 1)}.",
            place=str(path),
            fix=f"bind what steers it: {bind}; or cut the model before it" if bind else CUT,
        )


def _complaints(network: Network) -> Iterator[tuple[str, set[str]]]:
    """What is wrong, in the network's order, and the graph inputs that would settle it if they were constants."""
    sources = _sources(network)
    integers = {name for name in network.inputs if (dtype := network.dtype(name)) is not None and dtype.kind in "iub"}
    for node in network.nodes:
        name = kind(node)
        if name in CONTROL:
            steering = set().union(*(sources.get(read, set()) for read in node.input[:2]))
            yield (
                f"{name} with a condition or trip count that is computed while running, and results of varying shape",
                steering if steering <= integers else set(),
            )
        if name in DATA_DEPENDENT:
            yield f"{name} gives as many results as it finds", set()
        if name in RANDOM:
            yield f"{name} gives something else at every run", set()
        if (most := MOST_ROWS.get(name)) and (network.shape(node.input[0]) or (0,))[-1] > most:
            yield (
                f"{name} of matrices above {most} × {most}, which float32 does not hold exactly enough to verify",
                set(),
            )
        if attributes(node).get("training_mode", 0):
            yield f"{name} in training mode depends on what ran before (call model.eval() before exporting)", set()
        for index in STEERED.get(name, ()):
            if index < len(node.input) and node.input[index] and node.input[index] not in network.constants:
                steering = sources.get(node.input[index], set())
                told = ", ".join(f"the input {read!r}" for read in sorted(steering)) or "values"
                yield (
                    f"{name} takes a shape, axis or position from {told}",
                    steering if steering <= integers else set(),
                )


def _sources(network: Network) -> dict[str, set[str]]:
    """For every value the graph inputs that it is computed from."""
    found: dict[str, set[str]] = {name: {name} for name in network.inputs}
    for node in network.nodes:
        union: set[str] = set().union(*(found.get(name, set()) for name in consumed(node)))
        found.update(dict.fromkeys(node.output, union))
    return found


def mended(path: Path, model: onnx.ModelProto, error: Unsupported) -> Unsupported:
    """The refusal with the options that help: inputs to bind, or a cut without what gives as much as it finds."""
    numbers = {value.name for value in model.graph.input if value.type.tensor_type.elem_type in WHOLE}
    if bind := advice.bind(path, model, advice.steering(model, lambda node: _steered(node, numbers))):
        return advice.mended(error, bind)
    return advice.mended(error, advice.cut_off(path, model, lambda node: kind(node) in DATA_DEPENDENT))


WHOLE = {onnx.TensorProto.BOOL, onnx.TensorProto.INT32, onnx.TensorProto.INT64}


def _steered(node: onnx.NodeProto, numbers: set[str]) -> tuple[int, ...]:
    """The positions of the inputs that steer an operator: conditions, trip counts, shapes, axes.

    Of what a Loop carries, a counter may end it: those of ``numbers``.
    """
    if kind(node) == "Loop":
        return (0, 1, *(i for i, name in enumerate(node.input) if i > 1 and name in numbers))
    return (0,) if kind(node) == "If" else STEERED.get(kind(node), ())


def not_prepared(path: Path, error: Exception) -> Unsupported:
    """A graph that ONNX Runtime takes and that onnx's own tools (inference, inlining, versions) fail on."""
    return Unsupported(
        f"{path.name} cannot be prepared for conversion: {complaint(error) or type(error).__name__}",
        place=str(path),
        fix="check the file with onnx.checker, or export it again with a newer opset",
    )


STOPPED = re.compile(r"\bop=([\w.:]+)|Node number \d+ \(([\w.:]+)\)|No interpreter has CUSTOM:(?:ONNX_)?(\w+)")
"""Where the converter, LiteRT or the check says at which operator it stopped."""


def cannot_convert(
    path: Path, model: onnx.ModelProto, network: Network, complaints: Sequence[Exception]
) -> Unsupported:
    """The refusal after every strategy failed; the last one's complaint is the plainest.

    It names the operator that the converter stopped at, if the complaint tells, and the cut that leaves it out, if it
    stands in ``model`` (the user's) at an end.
    """
    last = complaints[-1]
    reason = " ".join((last.problem if isinstance(last, Unsupported) else str(last)).split())
    stopped = STOPPED.search(reason)
    operator = next((name for name in stopped.groups() if name), "") if stopped else _only_operator(network)
    plain = reason.rpartition("message=")[2].removesuffix(".")
    error = Unsupported(
        f"{path.name} cannot be converted to TFLite{f' at the operator {operator}' if operator else ''}: {plain}.",
        place=str(path),
        fix=last.fix if isinstance(last, Unsupported) else CUT,
    )
    return advice.mended(error, advice.cut_off(path, model, lambda node: kind(node) == operator))


def _only_operator(network: Network) -> str:
    kinds = {kind(node) for node in network.nodes}
    return kinds.pop() if len(kinds) == 1 else ""


def disagreement(output: str, detail: str, first: Divergence | None = None) -> Unsupported:
    """A converted file that does not compute what its source computes; ``first`` is where it begins not to."""
    begins = f"; they part at the tensor {first.tensor!r} ({first.operator})" if first else ""
    return Unsupported(
        f"The converted model disagrees with ONNX Runtime at the output {output!r}: {detail}{begins}.",
        place=output,
        fix=CUT,
    )


def tells_nothing(output: str, settings: Sequence[str]) -> Unsupported:
    """An output of the source that holds no number on made-up inputs; ``settings`` are inputs of one number each."""
    bind = " ".join(f"--constant {name}=VALUE" for name in settings[:3])
    return Unsupported(
        f"ONNX Runtime itself gives NaN or infinity at the output {output!r} on made-up inputs, so that nothing can be "
        "compared.",
        place=output,
        fix=f"bind what steers it: {bind}; or give samples of all inputs (--calibration)"
        if bind
        else "give samples that the model takes (--calibration)",
    )


def too_wide(output: str, tensor: str, value: int) -> Unsupported:
    """A file whose integers of 32 bits wrap round where those of the source do not."""
    return Unsupported(
        f"The converted model disagrees with ONNX Runtime at the output {output!r}: {tensor!r} reaches {value:,}, and "
        "most operators of TFLite compute integers with 32 bits.",
        place=output,
        fix=f"compute {tensor!r} in floats (a Cast to float32 before it), or give samples without such numbers if none "
        "occur (--calibration)",
    )


def never_runs(problem: str, steering: Sequence[str]) -> Unsupported:
    """ONNX Runtime takes none of the made-up inputs; ``steering`` may be why."""
    bind = " ".join(f"--constant {name}=VALUE" for name in steering[:3])
    return Unsupported(
        f"ONNX Runtime cannot run the model on made-up inputs: {problem}",
        place="ONNX Runtime",
        fix=f"bind inputs that steer it: {bind}"
        if bind
        else "export a model that ONNX Runtime runs; if an input's shape was assumed, say it with --shape",
    )


def steered_output(name: str, sizes: set[tuple[int, ...]], steering: Sequence[str]) -> Unsupported:
    """An output's shape is not the same for all values of the inputs; ``steering`` may decide about it."""
    cause = f" (perhaps of {', '.join(map(repr, steering))})" if steering else ""
    bind = f"bind what steers it, for instance --constant {steering[0]}=VALUE, or " if steering else ""
    return Unsupported(
        f"The shape of the output {name!r} depends on the inputs' values{cause}: {sorted(sizes)}.",
        place=name,
        fix=f"{bind}cut the model before the operator that selects (NonZero, NonMaxSuppression, Compress, Loop …)",
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
