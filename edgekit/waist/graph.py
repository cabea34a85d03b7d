"""A TFLite file as plain data: operators and tensors, read from the flatbuffer.

Source of the schema: the TFLite schema v3 as generated in ``ai_edge_litert.schema_py_generated``.
"""

import pickle
import struct
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgekit.errors import InputError
from edgekit.nouns.base import Noun

DTYPES: dict[int, str] = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.FLOAT64: "float64",
    schema.TensorType.INT4: "int4",
    schema.TensorType.INT8: "int8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.UINT4: "uint4",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.UINT16: "uint16",
    schema.TensorType.UINT32: "uint32",
    schema.TensorType.UINT64: "uint64",
    schema.TensorType.BOOL: "bool",
    schema.TensorType.STRING: "str",
    schema.TensorType.COMPLEX64: "complex64",
    schema.TensorType.COMPLEX128: "complex128",
}
"""TFLite tensor types by their numpy names (``int4`` and ``uint4`` are packed, two to a byte)."""

SMALL_BYTES = 1 << 18
"""Files up to this size are kept once they are read: their trees take longer than their constants."""

BORDER = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Operators between integers and the reals that they stand for; they compute nothing."""


class Tensor(Noun, frozen=True, kw_only=True):
    """A tensor of a subgraph. ``constant_bytes`` is 0 for activations; ``scales`` is empty when float.

    ``signature_shape`` has -1 if a dimension is dynamic.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature_shape: tuple[int, ...]
    dtype: str
    constant_bytes: int
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    variable: bool = False


class Operator(Noun, frozen=True, kw_only=True):
    """An operator: builtin name (or ``CUSTOM:name``), tensor indices (-1: absent), builtin options."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = {}
    version: int = 1

    @property
    def calls(self) -> bool:
        """Whether it runs other subgraphs."""
        return any(key.endswith("ubgraphIndex") for key in self.options)


class Graph(Noun, frozen=True, kw_only=True):
    """A subgraph."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@cache
def _builtin_names() -> dict[int, str]:
    return {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def read(path: Path) -> tuple[Graph, ...]:
    """All subgraphs of a TFLite file; the first is the main one.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    return describe(load(path))


def operator_names(path: Path) -> set[str]:
    """Names of the operators that a well-formed file says it uses; its tensors are not looked at."""
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    return {_name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), code.CustomCode()) for code in codes}


def describe(model: Any) -> tuple[Graph, ...]:
    """All subgraphs of the schema's object tree."""
    return tuple(_graph(model, subgraph) for subgraph in model.subgraphs)


def load(path: Path) -> Any:
    """The file as the schema's object tree (``ModelT``).

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    return parse(path.read_bytes(), path)


def parse(content: bytes, path: Path) -> Any:
    """A file's content as the schema's object tree; ``path`` is for the complaint.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    if content[4:8] != b"TFL3":
        raise InputError(f"{path.name} is no TFLite file.", place=str(path), fix="export it again")
    try:
        model = pickle.loads(_kept(bytes(content))) if len(content) <= SMALL_BYTES else _tree(content)  # noqa: S301  own
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, MemoryError, OverflowError) as error:
        raise _damaged(path, str(error)) from error
    if not model.subgraphs or model.operatorCodes is None or model.buffers is None:
        raise _damaged(path, "it holds no graph")
    return model


def _tree(content: bytes) -> Any:
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    _take_in(model, content)
    return model


@lru_cache(maxsize=64)
def _kept(content: bytes) -> bytes:
    """A file's tree, of which each caller gets a copy: a build reads the same file a dozen times."""
    return pickle.dumps(_tree(content), pickle.HIGHEST_PROTOCOL)


def pack(model: Any) -> bytes:
    """The schema's object tree (`load`'s) as the content of a TFLite file."""
    content: bytes = flatbuffer_utils.convert_object_to_bytearray(model)
    return content


def _take_in(model: Any, content: bytes) -> None:
    """Take constants and custom options into the tree that lie behind it in the file, as in those above 2 GB.

    `flatbuffer_utils.read_model_from_bytearray` does so too, but not for a graph without operators, and believes
    every offset. Offsets of 0 and 1 mean that there is none (TFLite schema, ``Buffer``).
    """
    for buffer in model.buffers or ():
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for operator in (operator for subgraph in model.subgraphs or () for operator in subgraph.operators or ()):
        if operator.largeCustomOptionsOffset > 1:
            offset, size = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            operator.customOptions = np.frombuffer(content, np.uint8, size, offset)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"{path.name} is a damaged TFLite file ({detail}).", place=str(path), fix="export or download it again"
    )


def _graph(model: Any, subgraph: Any) -> Graph:
    operators = [] if subgraph.operators is None else subgraph.operators
    return Graph(
        tensors=tuple(_tensor(model, i, tensor) for i, tensor in enumerate(subgraph.tensors or [])),
        operators=tuple(_operator(model, i, operator) for i, operator in enumerate(operators)),
        inputs=ints(subgraph.inputs),
        outputs=ints(subgraph.outputs),
    )


def _tensor(model: Any, index: int, tensor: Any) -> Tensor:
    quantization = tensor.quantization
    data = model.buffers[tensor.buffer].data
    quantized = quantization is not None and quantization.scale is not None
    return Tensor(
        index=index,
        name=(tensor.name or b"").decode("utf8", "replace"),
        shape=ints(tensor.shape),
        signature_shape=ints(tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature),
        dtype=DTYPES.get(tensor.type, f"type{tensor.type}"),
        constant_bytes=0 if data is None else len(data),
        scales=tuple(float(x) for x in quantization.scale) if quantized else (),
        zero_points=ints(quantization.zeroPoint) if quantized else (),
        axis=quantization.quantizedDimension if quantized else 0,
        variable=bool(tensor.isVariable),
    )


def _operator(model: Any, index: int, operator: Any) -> Operator:
    code = model.operatorCodes[operator.opcodeIndex]
    return Operator(
        index=index,
        name=_name(max(code.builtinCode, code.deprecatedBuiltinCode), code.customCode),
        inputs=ints(operator.inputs),
        outputs=ints(operator.outputs),
        options=_options(operator.builtinOptions) | _options(operator.builtinOptions2),
        version=code.version or 1,
    )


def _name(builtin: int, custom: bytes | None) -> str:
    name = _builtin_names().get(builtin, f"BUILTIN{builtin}")
    return f"CUSTOM:{(custom or b'').decode('utf8', 'replace')}" if name == "CUSTOM" else name


def _options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(options).items()}


def ints(values: Any) -> tuple[int, ...]:
    """A vector of the schema's as Python's integers; none if it is absent."""
    return () if values is None else tuple(int(x) for x in values)


def is_constant(model: Any, subgraph: int, tensor: int) -> bool:
    """Whether a tensor's values lie in the file (from `load`'s tree).

    A buffer of no bytes makes no constant, as LiteRT has it, unless the tensor has no elements.
    """
    described = model.subgraphs[subgraph].tensors[tensor]
    data = model.buffers[described.buffer].data
    return data is not None and (len(data) > 0 or 0 in ints(described.shape))


def constant(model: Any, subgraph: int, tensor: int) -> np.ndarray[Any, np.dtype[Any]] | None:
    """A constant tensor's values (from `load`'s tree), in its stored dtype; None for activations and odd dtypes."""
    described = _tensor(model, tensor, model.subgraphs[subgraph].tensors[tensor])
    if not is_constant(model, subgraph, tensor) or described.dtype.startswith(("int4", "uint4", "str", "type")):
        return None
    data = model.buffers[model.subgraphs[subgraph].tensors[tensor].buffer].data
    return np.frombuffer(bytes(data), np.dtype(described.dtype)).reshape(described.shape)
