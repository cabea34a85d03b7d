"""Small float networks, written operator by operator into TFLite files, with their signatures."""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.building import Job
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import graph

TYPES = {name: code for code, name in graph.DTYPES.items()}
NHWC_OF_NCHW = (0, 2, 3, 1)
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
RELU = schema.ActivationFunctionType.RELU


class Network:
    """A TFLite file in the making. Every method returns the index of a tensor."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.subgraph = schema.SubGraphT()
        self.subgraph.tensors, self.subgraph.operators = [], []
        self.subgraph.inputs, self.subgraph.outputs = [], []
        self.model.subgraphs = [self.subgraph]

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str = "float32", *, variable: bool = False) -> int:
        made = schema.TensorT()
        made.name, made.type, made.buffer, made.isVariable = name.encode(), TYPES[dtype], 0, variable
        made.shape = np.array(shape, np.int32)
        self.subgraph.tensors.append(made)
        return len(self.subgraph.tensors) - 1

    def constant(self, name: str, values: Any) -> int:
        values = np.asarray(values)
        index = self.tensor(name, values.shape, str(values.dtype))
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.subgraph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def input(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> int:
        index = self.tensor(name, shape, dtype)
        self.subgraph.inputs.append(index)
        return index

    def operator(
        self,
        builtin: str,
        inputs: list[int],
        shape: tuple[int, ...],
        *,
        name: str = "",
        dtype: str = "float32",
        kind: str = "",
        **options: Any,
    ) -> int:
        """An operator with one output; ``kind`` names its options (``Conv2DOptions``)."""
        code = getattr(schema.BuiltinOperator, builtin)
        known = [c.builtinCode for c in self.model.operatorCodes]
        if code not in known:
            made = schema.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), 1
            self.model.operatorCodes.append(made)
            known.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = known.index(code)
        output = self.tensor(name or f"{builtin.lower()}_{len(self.subgraph.operators)}", shape, dtype)
        operator.inputs, operator.outputs = inputs, [output]
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.subgraph.operators.append(operator)
        return output

    def custom(self, name: str, inputs: list[int], shapes: list[tuple[int, ...]], options: bytes = b"") -> list[int]:
        """A custom operator; its outputs, of float32."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = name.encode(), 1
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        count = len(self.subgraph.operators)
        operator.inputs = inputs
        operator.outputs = [self.tensor(f"{name}_{count}_{place}", shape) for place, shape in enumerate(shapes)]
        operator.customOptions = np.frombuffer(options, np.uint8)
        self.subgraph.operators.append(operator)
        return list(operator.outputs)

    def save(self, path: Path, *outputs: int) -> Path:
        self.subgraph.outputs = list(outputs)
        path.write_bytes(graph.pack(self.model))
        return path


def weights(*shape: int, seed: int = 0) -> Any:
    """Normal values whose output keeps the variance of its input."""
    fan_in = np.prod(shape[1:])
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


def classifier(path: Path, *, logits: float = 1.0) -> Path:
    """Image [1, 8, 8, 3] → conv, depthwise, pool, dense → softmax [1, 5]; ``logits`` scales the last layer."""
    net = Network()
    x = net.input("image", (1, 8, 8, 3))
    kernel, bias = net.constant("k1", weights(16, 3, 3, 3)), net.constant("b1", weights(16, 1).ravel())
    stride = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    x = net.operator(
        "CONV_2D",
        [x, kernel, bias],
        (1, 8, 8, 16),
        kind="Conv2DOptions",
        padding=SAME,
        fusedActivationFunction=RELU,
        **stride,
    )
    kernel, bias = net.constant("k2", weights(1, 3, 3, 16)), net.constant("b2", weights(16, 1, seed=1).ravel())
    x = net.operator(
        "DEPTHWISE_CONV_2D",
        [x, kernel, bias],
        (1, 8, 8, 16),
        kind="DepthwiseConv2DOptions",
        padding=SAME,
        depthMultiplier=1,
        fusedActivationFunction=RELU,
        **stride,
    )
    x = net.operator(
        "AVERAGE_POOL_2D",
        [x],
        (1, 2, 2, 16),
        kind="Pool2DOptions",
        padding=VALID,
        strideW=4,
        strideH=4,
        filterWidth=4,
        filterHeight=4,
    )
    shape = net.constant("shape", np.array([1, 64], np.int32))
    x = net.operator("RESHAPE", [x, shape], (1, 64), kind="ReshapeOptions", newShape=[1, 64])
    dense, bias = net.constant("k3", weights(5, 64) * logits), net.constant("b3", weights(5, 1).ravel())
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 5), kind="FullyConnectedOptions")
    x = net.operator("SOFTMAX", [x], (1, 5), name="probabilities", kind="SoftmaxOptions", beta=1.0)
    return net.save(path, x)


def element_wise(path: Path, *builtins: str) -> Path:
    """Vector [1, 12] → a dense layer → one-input operators in a row."""
    net = Network()
    x = net.input("x", (1, 12))
    dense, bias = net.constant("k", weights(12, 12)), net.constant("b", np.zeros(12, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 12), kind="FullyConnectedOptions")
    for builtin in builtins:
        x = net.operator(builtin, [x], (1, 12))
    return net.save(path, x)


def signature(path: Path, *, nchw: bool = False) -> Signature:
    """The signature of a float file; with ``nchw`` its images are channels-first in the source."""
    main = graph.read(path)[0]

    def spec(index: int) -> TensorSpec:
        tensor = main.tensors[index]
        permuted = nchw and len(tensor.shape) == 4
        shape = tuple(tensor.shape[i] for i in (0, 3, 1, 2)) if permuted else tensor.shape
        return TensorSpec(
            name=tensor.name,
            shape=tensor.shape,
            dtype=tensor.dtype,
            source_name=f"source_{tensor.name}",
            source_shape=shape,
            source_dtype=tensor.dtype,
            permutation=NHWC_OF_NCHW if permuted else None,
        )

    return Signature(inputs=tuple(map(spec, main.inputs)), outputs=tuple(map(spec, main.outputs)))


def samples(described: Signature, count: int, seed: int = 0) -> dict[str, Any]:
    """Normal values ``[count, *source_shape]`` under the source's names."""
    random = np.random.default_rng(seed)
    return {
        spec.source_name: random.standard_normal((count, *spec.source_shape)).astype(spec.source_dtype)
        for spec in described.inputs
    }


def job(
    path: Path, precision: Any, *, nchw: bool = False, calibration: dict[str, Any] | None = None, **fields: Any
) -> Job:
    """A job for a waist; ``calibration`` is written beside it.

    Weights are rounded to the nearest level unless ``settings`` say otherwise: to try every way, which is the default,
    takes many times as long, and few tests are about that.
    """
    fields["settings"] = {"weights": "nearest"} | fields.get("settings", {})
    made = signature(path, nchw=nchw)
    stored = None
    if calibration is not None:
        stored = path.parent / "calibration.npz"
        np.savez(stored, **calibration)
    return Job(
        waist=str(path),
        source=str(path),
        source_format="tflite",
        signature=made,
        source_signature=made,
        precision=precision,
        calibration=str(stored) if stored else None,
        **fields,
    )
