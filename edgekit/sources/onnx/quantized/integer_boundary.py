"""Inputs and outputs that are 8-bit integers in an ONNX model: the same integers in the file."""

from pathlib import Path

from edgekit.nouns.model import Signature
from edgekit.sources.onnx.quantized import not_carried
from edgekit.waist import boundary, graph

EIGHT_BITS = {"int8", "uint8"}


def with_own_integers(file: Path, signature: Signature) -> Signature:
    """Give a file's inputs and outputs the 8-bit integers that they have in the source, in place.

    Returns:
        The signature with their grids.

    Raises:
        Unsupported: one is float inside.
    """
    specs = (*signature.inputs, *signature.outputs)
    own = {spec.name: spec.source_dtype for spec in specs if spec.source_dtype in EIGHT_BITS}
    if not own:
        return signature
    model = graph.load(file)
    boundary.set_boundary(model, "float32", own)
    main = graph.describe(model)[0]
    for tensor in (*main.inputs, *main.outputs):
        name = main.tensors[tensor].name
        if own.get(name, main.tensors[tensor].dtype) != main.tensors[tensor].dtype:
            raise not_carried(f"{name} has integers, and what is next to it is float in TFLite")
    file.write_bytes(graph.pack(model))
    return boundary.described(signature, main)


def unsigned(file: Path, signature: Signature) -> Signature:
    """Give a float file's inputs and outputs the sign that they have in the source, which the converter changes.

    Returns:
        The signature with their dtypes, and their grids.
    """
    specs = (*signature.inputs, *signature.outputs)
    changed = [spec.name for spec in specs if (spec.source_dtype, spec.dtype) == ("uint8", "int8")]
    if not changed:
        return signature
    model = graph.load(file)
    boundary.make_unsigned(model, changed)
    file.write_bytes(graph.pack(model))
    return boundary.described(signature, graph.describe(model)[0])
