"""Each limitation, on both sides of its border."""

from typing import Any

import numpy as np
import pytest

from edgekit.backends.edgetpu import rules
from edgekit.waist.graph import Operator, Tensor

Shape = tuple[int, ...]


def view(
    name: str,
    *inputs: Tensor | np.ndarray | None,
    output: Shape = (1, 8, 8, 16),
    dtype: str = "int8",
    version: int = 1,
    **options: Any,
) -> rules.View:
    """An operator; arrays are constants, missing inputs one activation of the output's shape."""
    given = inputs or (activation(output, dtype),)
    values = {i: value for i, value in enumerate(given) if isinstance(value, np.ndarray)}
    tensors = [constant(i, value) if isinstance(value, np.ndarray) else value for i, value in enumerate(given)]
    operator = Operator(index=0, name=name, inputs=(), outputs=(), options=options, version=version)
    outputs = (activation(output, dtype),)
    return rules.View(operator, tuple(tensors), outputs, lambda t: values.get(t.index) if t.constant_bytes else None)


def constant(index: int, value: np.ndarray) -> Tensor:
    return Tensor(
        index=index, name=f"c{index}", shape=value.shape, signature_shape=value.shape, dtype=str(value.dtype),
        constant_bytes=max(value.nbytes, 1), scales=(0.5,), zero_points=(0,),
    )  # fmt: skip


def activation(shape: Shape, dtype: str = "int8", index: int = 99, **more: Any) -> Tensor:
    return Tensor(
        index=index, name="x", shape=shape, signature_shape=more.pop("signature_shape", shape), dtype=dtype,
        constant_bytes=0, scales=(0.5,), zero_points=(0,), **more,
    )  # fmt: skip


X = activation((1, 8, 8, 16))
WEIGHTS = np.ones((16, 3, 3, 16), np.int8)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


MAPPED = {
    "convolution": view("CONV_2D", X, WEIGHTS, ints(1), dilationHFactor=2, dilationWFactor=2),
    "depthwise": view("DEPTHWISE_CONV_2D", X, np.ones((1, 3, 3, 16), np.int8)),
    "transposed convolution": view("TRANSPOSE_CONV", ints(1, 16, 16, 8), WEIGHTS, X, output=(1, 16, 16, 8)),
    "dense": view("FULLY_CONNECTED", activation((1, 64)), np.ones((10, 64), np.int8), output=(1, 10)),
    "dense rows": view("FULLY_CONNECTED", activation((1, 9, 64)), np.ones((10, 64), np.int8), output=(1, 9, 10)),
    "softmax": view("SOFTMAX", output=(1, 16_000)),
    "pooling": view("AVERAGE_POOL_2D", X, output=(1, 1, 1, 16)),
    "addition of a constant": view("ADD", X, np.ones(16, np.int8)),
    "concatenation": view("CONCATENATION", X, X, output=(1, 8, 8, 32)),
    "padding with zeros": view("CONCATENATION", X, np.zeros((1, 8, 8, 1), np.int8), output=(1, 8, 8, 17)),
    "mean": view("MEAN", X, ints(1, 2), output=(1, 16)),
    "mean over channels": view("MEAN", X, ints(-1), output=(1, 8, 8)),
    "mean of a strip": view("MEAN", activation((1, 64, 128, 3)), ints(1, 2), output=(1, 3)),
    "sum": view("SUM", X, ints(3), output=(1, 8, 8)),
    "pad": view("PAD", X, ints([0, 0], [1, 1], [1, 1], [0, 2])),
    "pack": view("PACK", activation((8, 16)), activation((8, 16)), output=(2, 8, 16), axis=0),
    "tile": view("TILE", activation((1, 1, 1, 16)), ints(1, 33, 33, 1), output=(1, 33, 33, 16)),
    "split": view("SPLIT", np.array(3, np.int32), X, output=(1, 8, 8, 8)),
    "strided": view("STRIDED_SLICE", X, ints(0, 0, 0, 0), ints(1, 8, 8, 16), ints(1, 2, 2, 1), output=(1, 4, 4, 16)),
    "slice": view("SLICE", X, ints(0, 0, 0, 0), ints(1, 8, 8, 4)),
    "reshape": view("RESHAPE", X, ints(1, 1024), output=(1, 1024)),
    "reshape of one number": view("RESHAPE", activation((1, 1)), activation((0,), "int32"), output=()),
    "transpose": view("TRANSPOSE", activation((1, 196, 3, 85)), ints(0, 2, 1, 3), output=(1, 3, 196, 85)),
    "resize": view("RESIZE_BILINEAR", activation((1, 64, 64, 32)), ints(128, 128), output=(1, 128, 128, 32)),
    "nearest": view("RESIZE_NEAREST_NEIGHBOR", X, ints(16, 16), output=(1, 16, 16, 16)),
    "prelu": view("PRELU", X, np.ones((1, 1, 16), np.int8)),
    "to int8": view("QUANTIZE", activation((1, 8, 8, 3), "uint8")),
    "a batch of one, open in the file": view("RELU", activation((1, 8), signature_shape=(-1, 8))),
    "open in the file, fixed by its input": view("RELU", activation((1, 8, 4), signature_shape=(-1, -1, 4))),
    "leading ones": view("RELU", output=(1, 1, 1, 8, 8, 16)),
    "long": view("LOGISTIC", output=(1, 19206, 90)),
}  # fmt: skip

REFUSED = {
    "a custom operator": (view("CUSTOM:TFLite_Detection_PostProcess"), rules.NOT_SUPPORTED, "TFLite_Detection"),
    "leaky relu": (view("LEAKY_RELU"), rules.NOT_SUPPORTED, "LEAKY_RELU is not in the operation table"),
    "argmax": (view("ARG_MAX", dtype="int32"), rules.NOT_SUPPORTED, "ARG_MAX"),
    "to float": (view("DEQUANTIZE", dtype="float32"), rules.DATA_TYPE, "float32"),
    "from float": (view("QUANTIZE", activation((1, 8), "float32"), output=(1, 8)), rules.LIMITATION, "float32"),
    "float": (view("ADD", dtype="float32"), rules.DATA_TYPE, "x is float32"),
    "16 bits": (view("ADD", dtype="int16"), rules.DATA_TYPE, "int16"),
    "float weights": (view("CONV_2D", X, WEIGHTS.astype("float32")), rules.DATA_TYPE, "constant c1 is float32"),
    "a batch": (view("CONV_2D", activation((30, 8, 8, 16)), WEIGHTS, output=(30, 8, 8, 16)), rules.RANK, "(30, 8"),
    "rank 5": (view("RESHAPE", X, output=(1, 8, 2, 4, 16)), rules.RANK, "(1, 8, 2, 4, 16)"),
    "open height": (view("RELU", activation((1, -1, 8, 3))), rules.DYNAMIC, "not fixed"),
    "computed shape": (view("RESHAPE", X, activation((2,), "int32"), output=(1, 1024)), rules.DYNAMIC, "computed"),
    "no elements": (view("RELU", output=(1, 0, 8)), rules.DYNAMIC, "not fixed"),
    "uneven dilation": (view("CONV_2D", X, WEIGHTS, dilationHFactor=1, dilationWFactor=2), rules.LIMITATION, "1 and 2"),
    "computed weights": (view("CONV_2D", X, X), rules.LIMITATION, "computed"),
    "shuffled": (view("FULLY_CONNECTED", X, WEIGHTS, weightsFormat=1), rules.LIMITATION, "shuffled"),
    "long softmax": (view("SOFTMAX", output=(1, 16_001)), rules.LIMITATION, "16001 elements"),
    "fused pooling": (view("MAX_POOL_2D", fusedActivationFunction=1), rules.LIMITATION, "fused"),
    "fused concatenation": (view("CONCATENATION", fusedActivationFunction=1), rules.LIMITATION, "fused"),
    "a constant": (view("CONCATENATION", X, np.ones(4, np.int8)), rules.LIMITATION, "c1 is a constant"),
    "zeros of three": (view("CONCATENATION", X, X, np.zeros(4, np.int8)), rules.LIMITATION, "constant"),
    "odd channels": (view("MEAN", activation((1, 8, 8, 6)), ints(3), output=(1, 8, 8)), rules.LIMITATION, "6 channels"),
    "a large mean": (view("MEAN", activation((1, 256, 128, 3)), ints(1, 2), output=(1, 3)), rules.LIMITATION, "32,768"),
    "mean of the batch": (view("MEAN", X, ints(0, 1), output=(8, 16)), rules.LIMITATION, "batch"),
    "computed axes": (view("SUM", X, activation((1,), "int8"), output=(1, 8)), rules.LIMITATION, "computed"),
    "padded batch": (view("PAD", X, ints([1, 0], [0, 0], [0, 0], [0, 0])), rules.LIMITATION, "batch"),
    "repeated batch": (view("TILE", X, ints(2, 1, 1, 1), output=(2, 8, 8, 16)), rules.RANK, "shape"),
    "computed repetitions": (view("TILE", X, X), rules.LIMITATION, "computed"),
    "computed padding": (view("PAD", X, X), rules.LIMITATION, "computed"),
    "packed batch": (view("PACK", X, output=(1, 8, 8, 16), axis=0), rules.LIMITATION, "batch"),
    "split batch": (view("SPLIT", np.array(0, np.int32), X), rules.LIMITATION, "batch"),
    "computed split": (view("SPLIT", X, X), rules.LIMITATION, "computed"),
    "backwards": (view("STRIDED_SLICE", X, ints(0), ints(1), ints(-1)), rules.LIMITATION, "negative"),
    "a new axis": (view("STRIDED_SLICE", X, ints(0), ints(1), ints(1), newAxisMask=1), rules.LIMITATION, "new axis"),
    "computed slice": (view("SLICE", X, X, X), rules.LIMITATION, "computed"),
    "wide transpose": (
        view("TRANSPOSE", activation((1, 784, 3, 85)), ints(0, 2, 1, 3), output=(1, 3, 784, 85)),
        rules.LIMITATION,
        "too large",
    ),
    "computed order": (view("TRANSPOSE", X, X), rules.LIMITATION, "computed"),
    "33 times": (
        view("RESIZE_BILINEAR", activation((1, 1, 1, 256)), ints(33, 33), output=(1, 33, 33, 256)),
        rules.LIMITATION,
        "33 times",
    ),
    "large bilinear": (
        view("RESIZE_BILINEAR", activation((1, 256, 256, 32)), ints(512, 512), output=(1, 512, 512, 32)),
        rules.LIMITATION,
        "too large",
    ),
    "large nearest": (view("RESIZE_NEAREST_NEIGHBOR", output=(1, 512, 512, 32)), rules.LIMITATION, "too large"),
    "alpha per pixel": (view("PRELU", X, np.ones((8, 8, 16), np.int8)), rules.LIMITATION, "alpha"),
    "a very long list": (view("RESHAPE", X, output=(1, 76725, 90)), rules.LIMITATION, "6,905,250"),
}  # fmt: skip


@pytest.mark.parametrize("made", MAPPED.values(), ids=MAPPED)
def test_it_is_mapped(made: rules.View) -> None:
    assert rules.refusal(made) is None


@pytest.mark.parametrize(("made", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_a_reason(made: rules.View, status: str, reason: str) -> None:
    found = rules.refusal(made)
    assert found is not None
    assert found.status == status
    assert reason in found.reason


def test_weights_of_a_dense_layer_have_one_scale() -> None:
    made = view("FULLY_CONNECTED", activation((1, 64)), np.ones((2, 64), np.int8), output=(1, 2))
    weights = made.inputs[1]
    assert weights is not None
    per_channel = Tensor(**{name: getattr(weights, name) for name in weights.__struct_fields__} | {"scales": (1, 2)})
    found = rules.refusal(rules.View(made.operator, (made.inputs[0], per_channel), made.outputs, made.value))
    assert found is not None
    assert "per channel" in found.reason


def test_the_cell_of_an_lstm_may_have_16_bits() -> None:
    state = activation((1, 20), "int16", variable=True)
    assert rules.refusal(view("UNIDIRECTIONAL_SEQUENCE_LSTM", activation((1, 28, 28)), None, state)) is None


@pytest.mark.parametrize(("name", "newest"), [("CONV_2D", 5), ("QUANTIZE", 2), ("TRANSPOSE_CONV", 3), ("EXP", 1)])
def test_newer_versions_make_the_file_unreadable(name: str, newest: int) -> None:
    assert rules.unreadable(view(name, version=newest).operator) is None
    found = rules.unreadable(view(name, version=newest + 1).operator)
    assert found is not None
    assert found.status == rules.VERSION


def test_an_operator_without_a_known_version_is_readable() -> None:
    assert rules.unreadable(view("CUSTOM:Mine", version=7).operator) is None


def test_every_limited_operator_has_both_sides() -> None:
    """Whoever adds a rule adds an example that passes it and one that does not."""
    limited = {name for name, checks in rules.RULES.items() if checks}
    shown = {made.operator.name for made in MAPPED.values()}
    refused = {made.operator.name for made, _, _ in REFUSED.values()}
    assert limited - shown <= {"MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN"}  # as AVERAGE_POOL_2D, SUM
    assert limited - refused <= {
        "AVERAGE_POOL_2D",  # as MAX_POOL_2D
        "DEPTHWISE_CONV_2D",  # as CONV_2D
        "LOGISTIC",  # as RESHAPE
        "REDUCE_MAX",  # as SUM
        "REDUCE_MIN",
        "TRANSPOSE_CONV",  # as CONV_2D
    }


@pytest.mark.parametrize(
    ("shape", "inner"), [((1, 1, 8, 3), (8, 3)), ((1,), ()), ((), ()), ((2, 1, 1), (2, 1, 1)), ((1, 5), (5,))]
)
def test_leading_ones_do_not_count(shape: Shape, inner: Shape) -> None:
    assert rules.inner(shape) == inner
