"""From the user's file to a checked ModelProto in memory; the file is only ever read."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError, Message
from onnx import helper, numpy_helper

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import advice, cutting, functions, quantized
from edgekit.sources.onnx.network import ONNX_ERRORS, attributes, consumed, every_graph, every_node, every_tensor, kind
from edgekit.sources.onnx.opening import external
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, Running, complaint, session

STANDARD = {"", "ai.onnx"}
RUNTIME_DOMAINS = {"com.microsoft"}
"""Domains whose operators ONNX Runtime brings itself; single ones may be missing there."""

RUNTIME_OPERATORS = {"SimplifiedLayerNormalization"}
"""Operators that ONNX Runtime has put into ONNX's own domain."""


def read(path: Path, options: SourceOptions) -> onnx.ModelProto:
    """Parse an ONNX file with its external data, and cut out what is asked for.

    Raises:
        InputError: it is truncated, no ONNX model, lacks external data, or holds NaN weights; or `cutting.edit`.
        Unsupported: it holds operators that nothing here can run (named), or is larger than 2 GiB.
    """
    model = well_formed(path)
    cutting.edit(path, model, options)
    _refuse_operators(path, model)
    _refuse_ambiguous(path, model)
    _refuse_types(path, model)
    _refuse_weights(path, model)
    return model


def well_formed(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file with its external data, whatever its operators.

    Raises:
        InputError: it is truncated, no ONNX model, or lacks external data.
        Unsupported: it is larger than 2 GiB.
    """
    model = _parse(path)
    functions.refuse_deep(path, model)
    _refuse_text(path, model)
    _refuse_unknown_dtypes(path, model)
    _refuse_impossible_opsets(path, model)
    _refuse_valueless_attributes(path, model)
    _name_domain(model)
    _refuse_duplicates(path, model)
    _refuse_undefined(path, model)
    functions.refuse_large(path, model)
    external.load(path, model)
    return model


def _parse(path: Path) -> onnx.ModelProto:
    try:
        external.refuse_large(path, path.stat().st_size)
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, UnicodeDecodeError) as error:
        raise _broken(path, "it is truncated or no ONNX model") from error
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.", place=str(path), fix="check it") from error
    if not model.graph.output or (not model.opset_import and not model.graph.node):
        raise _broken(path, "it holds no graph with outputs")
    return model


def _refuse_text(path: Path, model: onnx.ModelProto) -> None:
    """Protobuf's parser leaves text that is not UTF-8 as bytes, which later steps take for no name."""
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise _broken(path, "it holds text that is not UTF-8")


def _texts(message: Message) -> Iterator[str | bytes]:
    """Every text of a message and of those inside it, but for documentation, which nobody here reads."""
    for inner in _messages(message):
        for field, value in inner.ListFields():
            if field.type == field.TYPE_STRING and field.name != "doc_string":
                yield from (value,) if isinstance(value, str | bytes) else value


def _refuse_unknown_dtypes(path: Path, model: onnx.ModelProto) -> None:
    """Protobuf keeps any number for the dtype of a tensor or a value; onnx's tables know only ONNX's own."""
    known = set(onnx.TensorProto.DataType.values())
    for message in _messages(model):
        name = {onnx.TensorProto: "data_type", onnx.TypeProto.Tensor: "elem_type"}.get(type(message))
        if name is not None and getattr(message, name) not in known:
            raise _broken(
                path, f"it holds a tensor of dtype {getattr(message, name)}, and ONNX has none of that number"
            )


MOST_OPSET = 2**31 - 1
"""The largest version that onnx's own tables can be asked about."""


def _refuse_impossible_opsets(path: Path, model: onnx.ModelProto) -> None:
    """The file holds 64 bits for an operator set's version; that of ONNX counts from 1."""
    for message in _messages(model):
        if isinstance(message, onnx.OperatorSetIdProto) and not 0 < message.version <= MOST_OPSET:
            raise _broken(
                path, f"it imports version {message.version} of the operators {message.domain or 'ai.onnx'!r}"
            )


def _refuse_valueless_attributes(path: Path, model: onnx.ModelProto) -> None:
    """An attribute of no type, or that stands for one of a function's although it is in no function."""
    for node in every_node(model.graph):
        for attribute in node.attribute:
            try:
                helper.get_attribute_value(attribute)
            except ONNX_ERRORS as error:
                raise _broken(path, f"{attribute.name!r} of {kind(node)} has no value") from error


def _messages(message: Message) -> Iterator[Message]:
    """A message and all of those inside it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from _messages(inner)


def _broken(path: Path, detail: str) -> InputError:
    return InputError(
        f"{path.name} is a damaged ONNX file: {detail}.", place=str(path), fix="export or download it again"
    )


def _name_domain(model: onnx.ModelProto) -> None:
    """ONNX's own domain has two names, and onnx's tools know an operator only under the empty one."""
    for node in (*every_node(model.graph), *(node for function in model.functions for node in function.node)):
        if node.domain in STANDARD:
            node.domain = ""
    for entries in (model.opset_import, *(function.opset_import for function in model.functions)):
        for entry in entries:
            if entry.domain in STANDARD:
                entry.domain = ""


def _refuse_undefined(path: Path, model: onnx.ModelProto) -> None:
    """A name that is read and never made; onnx's tools fail on it in many ways, some by a crash."""
    made = {value.name for value in model.graph.input} | {name for node in model.graph.node for name in node.output}
    made |= {tensor.name for tensor in model.graph.initializer}
    read = {name: node for node in model.graph.node for name in consumed(node) if name not in made}
    missing = [f"{kind(node)} reads {name!r}, which nothing makes" for name, node in read.items()]
    missing += [said for node in model.graph.node if (said := _lacking(node, model))]
    missing += [
        f"the output {value.name!r} is declared, which nothing makes"
        for value in model.graph.output
        if value.name not in made
    ]
    if missing:
        raise InputError(
            f"{path.name} is an invalid graph: {missing[0]}.",
            place=str(path),
            fix="export it again, and check it with onnx.checker",
        )


def _lacking(node: onnx.NodeProto, model: onnx.ModelProto) -> str | None:
    """What an operator of ONNX's own lacks of the inputs that its definition asks for. ONNX Runtime crashes on some."""
    opset = next((entry.version for entry in model.opset_import if entry.domain == node.domain), 0)
    if node.domain or not onnx.defs.has(node.op_type, opset):
        return None
    schema = onnx.defs.get_schema(node.op_type, opset)
    given = [*node.input, *[""] * (schema.min_input - len(node.input))]
    for place, name in enumerate(given):
        if place >= schema.max_input:
            return f"{node.op_type} has {len(node.input)} inputs and takes {schema.max_input}"
        asked = schema.inputs[min(place, len(schema.inputs) - 1)]
        if not name and asked.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
            return f"{node.op_type} lacks its input {asked.name!r}"
    return None


def _refuse_duplicates(path: Path, model: onnx.ModelProto) -> None:
    """ONNX graphs are in single-assignment form; a name that is made twice is an invalid graph."""
    made = Counter(name for node in model.graph.node for name in node.output if name)
    made.update(value.name for value in model.graph.input)
    inputs = {value.name for value in model.graph.input}
    made.update(tensor.name for tensor in model.graph.initializer if tensor.name not in inputs)
    twice = sorted(name for name, count in made.items() if count > 1)
    outputs = Counter(value.name for value in model.graph.output)
    twice += sorted(name for name, count in outputs.items() if count > 1)
    if twice:
        raise InputError(
            f"{path.name} is an invalid graph: {_listed(twice)} {'is' if len(twice) == 1 else 'are'} made twice.",
            place=str(path),
            fix="give every value its own name when exporting",
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _refuse_operators(path: Path, model: onnx.ModelProto) -> None:
    """Operators that neither ONNX, nor ONNX Runtime, nor the model's own functions define."""
    local = {(function.domain, function.name) for function in model.functions}
    unknown = set()
    for node in every_node(model.graph):
        if (node.domain, node.op_type) in local or node.domain in RUNTIME_DOMAINS:
            continue
        domain = "" if node.domain in STANDARD else node.domain
        if not onnx.defs.has(node.op_type, domain=domain) and kind(node) not in RUNTIME_OPERATORS:
            unknown.add(kind(node) if domain else node.op_type)
    if unknown:
        error = unsupported_operators(path, sorted(unknown), "is no ONNX operator and has no definition in the file")
        raise advice.mended(error, advice.cut_off(path, model, lambda node: kind(node) in unknown))


def _refuse_ambiguous(path: Path, model: onnx.ModelProto) -> None:
    """A one-sided inverse DFT: by ONNX's text it gives real numbers (and exporters declare them so).

    ONNX's reference and ONNX Runtime 1.26 take the missing half for zeros, and give the first half of what comes out.
    """
    for node in every_node(model.graph):
        told = attributes(node)
        if node.op_type == "DFT" and told.get("inverse", 0) and told.get("onesided", 0):
            error = Unsupported(
                f"{path.name} cannot be converted. DFT {node.name or node.output[0]} is inverse and one-sided: ONNX "
                "defines real results, ONNX Runtime gives complex ones.",
                place=str(path),
                fix="export the inverse of the whole spectrum: DFT with onesided=0 behind the mirrored conjugate",
            )
            raise advice.mended(error, error.fix, advice.cut_off(path, model, lambda other: kind(other) == "DFT"))


def unsupported_operators(path: Path, operators: list[str], reason: str) -> Unsupported:
    """The refusal that names operators (``domain:Operator`` outside ONNX's own domain)."""
    plural = "Operator" if len(operators) == 1 else "Operators"
    return Unsupported(
        f"{path.name} cannot be converted. {plural} {', '.join(operators)}: {reason}.",
        place=str(path),
        fix="export the model without these operators, for instance split off pre- and post-processing",
    )


def _refuse_types(path: Path, model: onnx.ModelProto) -> None:
    known = {tensor.name for tensor in model.graph.initializer}
    for value in (*(v for v in model.graph.input if v.name not in known), *model.graph.output):
        which = value.type.WhichOneof("value")
        cut = advice.cut_off(path, model, partial(_touches, value.name))
        if which not in {None, "tensor_type"}:
            raise advice.mended(_untyped(path, value.name, which.removesuffix("_type")), cut)
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            makers = sorted({kind(node) for node in model.graph.node if {*node.input, *node.output} & {value.name}})
            raise advice.mended(_untyped(path, value.name, f"string tensor (operator {', '.join(makers)})"), cut)


def _touches(name: str, node: onnx.NodeProto) -> bool:
    return name in {*node.input, *node.output}


def _untyped(path: Path, name: str, what: str) -> Unsupported:
    return Unsupported(
        f"{path.name}: {name!r} is a {what}; TFLite models for devices take and give numeric tensors only.",
        place=str(path),
        fix="split this part off and do it in the app",
    )


def companions(path: Path) -> tuple[str, ...]:
    """Names of the external data files beside an ONNX file, sorted."""
    return external.files(_parse(path))


def _refuse_weights(path: Path, model: onnx.ModelProto) -> None:
    if any(graph.sparse_initializer for graph in every_graph(model.graph)):
        raise Unsupported(
            f"{path.name} keeps weights as sparse tensors.", place=str(path), fix="export it with dense weights"
        )
    weights = {tensor.name for tensor in model.graph.initializer}
    for tensor in every_tensor(model.graph):
        name = tensor.name or "of a Constant"
        if any(dim < 0 for dim in tensor.dims):
            raise _broken(path, f"the weights {name!r} have a negative dimension")
        try:
            values = numpy_helper.to_array(tensor)
        except ONNX_ERRORS as error:
            raise _broken(path, f"the weights {name!r} do not fill their shape") from error
        if tensor.name in weights and np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise InputError(
                f"{path.name}: the weights {name!r} hold NaN.",
                place=str(path),
                fix="the training diverged; export a checkpoint from before",
            )


def session_of(path: Path, model: onnx.ModelProto) -> Running:
    """Let ONNX Runtime load the model: the reference.

    Its optimizer changes what QuantizeLinear and DequantizeLinear round (up to 25 dB on small networks, with 1.26), so
    that a network with scales of its own runs as it is written.

    Raises:
        InputError: the graph is invalid, or newer than ONNX Runtime.
        Unsupported: ONNX Runtime has no kernel for an operator, which it names.
    """
    try:
        return session(model, optimize=quantized.precision(model) != "int8")
    except RUNTIME_ERRORS:  # its optimizer fails on models that it can run as they are
        pass
    try:
        return session(model, optimize=False)
    except RUNTIME_ERRORS as error:
        if newer := _too_new(path, str(error)):
            raise newer from error
        reason = complaint(error)
        if "NOT_IMPLEMENTED" in reason or "is not a registered function/op" in reason:
            raise Unsupported(
                f"ONNX Runtime cannot run {path.name}: {reason}",
                place=str(path),
                fix="export the model with standard ONNX operators",
            ) from error
        raise InputError(
            f"{path.name} is an invalid model: {reason}", place=str(path), fix="export it again, and check it with onnx"
        ) from error


def _too_new(path: Path, said: str) -> InputError | None:
    """The refusal of an opset or IR version that ONNX Runtime does not know yet; it alone tells which is its newest."""
    if opset := re.search(r"Opset (\d+) is under development.* for domain (\S+) is till opset (\d+)", said, re.DOTALL):
        asked, domain, newest = opset.groups()
        what = f"opset {asked} of {domain}"
        fix = f"export it with opset_version={newest}" if domain in STANDARD else f"export it with opset {newest} of it"
    elif ir := re.search(r"model IR version: (\d+), max supported IR version: (\d+)", said):
        asked, newest = ir.groups()
        what = f"IR version {asked}"
        fix = f"export it with an older version of onnx, or set model.ir_version = {newest} and save it again"
    else:
        return None
    return InputError(
        f"{path.name} needs {what}; the newest that ONNX Runtime {onnxruntime.__version__} knows is {newest}.",
        place=str(path),
        fix=fix,
    )


def only_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a half- or double-precision model that computes in float32, as TFLite does."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _graph_to_float32(copy.graph)
    return copy


_OTHER_FLOATS = {onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}


def _graph_to_float32(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _tensor_to_float32(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _OTHER_FLOATS:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i in _OTHER_FLOATS:
                attribute.i = onnx.TensorProto.FLOAT
            if attribute.HasField("t"):
                _tensor_to_float32(attribute.t)
            if attribute.HasField("g"):
                _graph_to_float32(attribute.g)


def _tensor_to_float32(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _OTHER_FLOATS:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def dtype_of(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    """The numpy dtype of an input or output."""
    found: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return found
