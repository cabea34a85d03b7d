"""Bringing a network into OpenVINO with fixed shapes: from its ONNX source, or from the waist."""

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.backends.openvino import numbering
from edgekit.backends.openvino.libraries import FAILURES, ov
from edgekit.backends.openvino.reading import masks, recurrent, variables, waist_aliases, waist_scalars
from edgekit.errors import Unsupported
from edgekit.nouns.building import Job
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import graph, state


def from_source(job: Job) -> tuple[Any, Signature]:
    """The source as OpenVINO's own reader for its format reads it; see `edgekit.backends.openvino.ways`."""
    signature = job.source_signature
    shapes = {spec.name: list(spec.shape) for spec in signature.inputs if spec.shape}
    source = Path(job.source)

    def read() -> Any:
        """The network by its own names and OpenVINO's numbers."""
        return _fixed(_converted(source, lambda: ov.convert_model(job.source, input=shapes)), signature, source)

    return numbering.settled(read), signature


def from_waist(job: Job) -> tuple[Any, Signature]:
    """The waist as OpenVINO's TFLite reader reads it; see `edgekit.backends.openvino.ways`."""
    if job.waist is None:
        raise Unsupported(
            "There is no TFLite form of this network, and OpenVINO does not read its source.",
            place=job.source,
            fix="choose a target that reads the source itself",
        )
    return numbering.settled(lambda: _of_waist(Path(str(job.waist)), job)), job.signature


def _of_waist(waist: Path, job: Job) -> Any:
    with tempfile.TemporaryDirectory() as folder:  # the model keeps its file mapped until it is copied
        tree = graph.load(waist)
        held, cuts = variables.cut(tree), recurrent.cut(tree)
        _require_readable(tree, job)
        mended = [waist_scalars.mend(tree), waist_aliases.mend(tree)]
        readable = waist
        if held or cuts or any(mended):
            readable = Path(folder) / waist.name
            readable.write_bytes(graph.pack(tree))
        model = _converted(waist, lambda: ov.convert_model(readable, share_weights=False))
        model = recurrent.joined(model, cuts) if cuts else model
        model = variables.joined(model, held) if held else model
    return _fixed(model, job.signature, Path(job.source))


def _require_readable(tree: Any, job: Job) -> None:
    """Stop at what OpenVINO's reader would complain of in terms of its own.

    Raises:
        Unsupported: the network keeps state from run to run.
    """
    keeping = state.keepers(tree)
    if keeping:
        raise Unsupported(
            f"{Path(job.source).name} keeps its state from run to run ({', '.join(keeping)}), "
            "and only variables of the main graph that begin with constants, and plain LSTMs, become OpenVINO's own.",
            place=job.source,
            fix="make the state an input and an output of the model, or choose a target that runs LiteRT (android)",
        )


def _converted(path: Path, convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except FAILURES as error:
        operators = _operators(str(error))
        raise Unsupported(
            f"OpenVINO cannot read {path.name}: {operators or telling_line(error)}.",
            place=str(path),
            fix="replace these operators in the model, or choose another target",
        ) from error


def _operators(message: str) -> str:
    """The operators that OpenVINO's conversion report names, those without any rule first."""
    for title in ("No conversion rule found for operations", "Conversion is failed for"):
        found = re.search(rf"-- {title}: (.+)", message)
        if found:
            return f"{title.lower()} {found[1].strip()}"
    return ""


def cannot_run(artifact: Path, error: Exception) -> Unsupported:
    """What is said of a file that the CPU plugin cannot compile or run."""
    return Unsupported(
        f"OpenVINO's CPU plugin cannot run {artifact.name}: {telling_line(error)}.",
        place=str(artifact),
        fix="see the operator named; simplify it in the model or choose another precision",
    )


def telling_line(error: BaseException) -> str:
    """The line of an OpenVINO error that says what happened (those before say where in its code)."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = (
        r"(Exception from|Check '|FrontEnd API failed|While validating|Shape inference input shapes|\[\w+ Frontend\])"
    )
    telling = [line for line in lines if not re.match(where, line)]
    return (telling or lines or [type(error).__name__])[0].rstrip(".:")[:300]


def _fixed(model: Any, signature: Signature, path: Path) -> Any:
    """The model with the signature's shapes and its masks mended; its inputs and outputs are checked against it."""
    for what, specs, ports in (
        ("inputs", signature.inputs, model.inputs),
        ("outputs", signature.outputs, model.outputs),
    ):
        if len(specs) != len(ports):
            raise Unsupported(
                f"OpenVINO reads {len(ports)} {what} of {path.name}, where it has {len(specs)}.",
                place=str(path),
                fix="choose another target",
            )
    inputs = list(zip(signature.inputs, matched(signature.inputs, model.inputs), strict=True))
    try:
        if any(port.partial_shape.is_dynamic for _, port in inputs):
            model.reshape({port: ov.PartialShape(list(spec.shape)) for spec, port in inputs})
    except FAILURES as error:
        raise Unsupported(
            f"OpenVINO cannot fix the shapes of {path.name}: {telling_line(error)}.",
            place=str(path),
            fix="export the model with fixed shapes",
        ) from error
    _require_static(model, path)
    masks.mend(model)
    return model


def _require_static(model: Any, path: Path) -> None:
    moving = [node for node in model.get_ordered_ops() if any(o.partial_shape.is_dynamic for o in node.outputs())]
    outputs = [port for port in model.outputs if port.partial_shape.is_dynamic]
    if outputs:
        kinds = dict.fromkeys(f"{node.get_type_name()} {node.get_friendly_name()}" for node in moving)
        raise Unsupported(
            f"{path.name} has outputs whose shape depends on its data: {', '.join(list(kinds)[:5])}.",
            place=str(path),
            fix="cut the model before these operators",
        )


def matched(specs: Sequence[TensorSpec], ports: Sequence[Any]) -> list[Any]:
    """The port of every tensor, by name; by position if a reader renamed any of them."""
    by_name = {name: port for port in ports for name in port.names}
    if all(spec.name in by_name for spec in specs):
        return [by_name[spec.name] for spec in specs]
    return list(ports)


def named(model: Any, signature: Signature) -> Signature:
    """The signature with the element types that the model has, tensors the reader left unnamed being named."""
    return msgspec.structs.replace(
        signature,
        inputs=tuple(
            _typed(s, p) for s, p in zip(signature.inputs, matched(signature.inputs, model.inputs), strict=True)
        ),
        outputs=tuple(
            _typed(s, p) for s, p in zip(signature.outputs, matched(signature.outputs, model.outputs), strict=True)
        ),
    )


def _typed(spec: TensorSpec, port: Any) -> TensorSpec:
    if spec.name not in port.names:
        port.tensor.add_names({spec.name})
    return msgspec.structs.replace(spec, dtype=port.element_type.to_dtype().name)
