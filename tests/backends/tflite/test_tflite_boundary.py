"""Inputs and outputs of int8 files that are out of the ordinary: aliased ones, and pixels that are integers already."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported
from edgekit.waist import graph, run
from tests import networks
from tests.backends.integers import Quantized, normal


@pytest.mark.parametrize(
    ("order", "io"), [("yxy", "int8"), ("xy", "uint8"), ("yyx", "float32"), ("yxyx", "int8"), ("yy", "uint8")]
)
def test_outputs_that_are_nothing_of_their_own(order: str, io: Any, tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    y = net.operator("TANH", [x], (1, 6), name="y")
    path = net.save(tmp_path / "waist.tflite", *({"x": x, "y": y}[name] for name in order))
    made = Quantized(path, normal(path), tmp_path / "out", io=io)
    assert [spec.name for spec in made.made.signature.outputs] == list(order)
    assert len(graph.read(made.artifact)[0].outputs) == len(order)
    assert min(made.sqnr_db().values()) > 30


def test_signature_definitions_keep_aliased_outputs(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    y = net.operator("TANH", [x], (1, 6), name="y")
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex, definition.inputs, definition.outputs = b"serve", 0, [], []
    for side, name, tensor in (("inputs", "in", x), ("outputs", "a", y), ("outputs", "b", y), ("outputs", "c", x)):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), tensor
        getattr(definition, side).append(entry)
    net.model.signatureDefs = [definition]
    path = net.save(tmp_path / "waist.tflite", y, y, x)
    made = Quantized(path, normal(path), tmp_path / "out")
    runner = run.interpreter(made.artifact).get_signature_runner("serve")
    assert {name: detail["dtype"] for name, detail in runner.get_output_details().items()} == dict.fromkeys(
        "abc", np.int8
    )


def test_a_network_that_computes_nothing(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    path = net.save(tmp_path / "waist.tflite", x)
    with pytest.raises(Unsupported, match="nothing is left to quantize"):
        Quantized(path, normal(path), tmp_path / "out")


def camera(path: Path, dtype: str, steps: tuple[tuple[str, float], ...], casts: int = 1) -> Path:
    """Pixels of an integer dtype → CAST → arithmetic with constants → a convolution."""
    net = networks.Network()
    pixels = net.input("pixels", (1, 8, 8, 3), dtype)
    ends = []
    for cast in range(casts):
        x = net.operator("CAST", [pixels], (1, 8, 8, 3), kind="CastOptions")
        for kind, value in steps:
            constant = net.constant(f"c{cast}{kind}", np.array([value], np.float32))
            x = net.operator(kind, [x, constant], (1, 8, 8, 3), kind=f"{kind.title()}Options")
        kernel, bias = (
            net.constant(f"k{cast}", networks.weights(4, 3, 3, 3, seed=cast)),
            net.constant(f"b{cast}", np.zeros(4, np.float32)),
        )
        options = {"strideW": 2, "strideH": 2, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}
        ends.append(net.operator("CONV_2D", [x, kernel, bias], (1, 4, 4, 4), kind="Conv2DOptions", **options))
    return net.save(path, *ends)


@pytest.mark.parametrize(
    ("dtype", "steps", "casts", "io"),
    [
        ("uint8", (), 1, "int8"),
        ("uint8", (), 1, "float32"),
        ("uint8", (("DIV", 255.0),), 1, "uint8"),
        ("uint8", (("MUL", 1 / 127.5), ("SUB", 1.0)), 1, "int8"),
        ("uint8", (("SUB", 127.5), ("DIV", 127.5)), 2, "uint8"),
        ("int8", (("ADD", 128.0), ("MUL", 1 / 255)), 1, "int8"),
        ("int8", (), 2, "uint8"),
    ],
)
def test_a_cast_of_pixels_is_the_quantization(dtype: str, steps: Any, casts: int, io: Any, tmp_path: Path) -> None:
    path = camera(tmp_path / "waist.tflite", dtype, steps, casts)
    limits = np.iinfo(dtype)
    random = np.random.default_rng(0)
    quiet = random.integers(limits.min + 60, limits.max - 60, (32, 1, 1, 8, 8, 3)).astype(dtype)[:, 0]
    made = Quantized(path, {"source_pixels": quiet}, tmp_path / "out", io=io, settings={"full_integer": True})
    assert made.made.signature.inputs[0].dtype == dtype
    names = [operator.name for operator in graph.read(made.artifact)[0].operators]
    assert "CAST" not in names
    assert "DIV" not in names
    loud = random.integers(limits.min, limits.max, quiet.shape, endpoint=True).astype(dtype)  # beyond what was seen
    assert np.array_equal(made.outputs({"source_pixels": quiet}).keys(), made.wanted({"source_pixels": quiet}).keys())
    assert min(made.sqnr_db().values()) > 25
    assert min(made.sqnr_db({"source_pixels": loud}).values()) > 8  # the layer's own range saturates, the pixels do not


@pytest.mark.parametrize("dtype", ["int32", "int16"])
def test_integers_of_another_kind_keep_their_cast(dtype: str, tmp_path: Path) -> None:
    """LiteRT's quantizer dies of integers of 16 bits that have no scale, such as samples of sound."""
    path = camera(tmp_path / "waist.tflite", dtype, (("MUL", 1 / 255),))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 1, 8, 8, 3)).astype(dtype)
    made = Quantized(path, {"source_pixels": pixels}, tmp_path / "out")
    assert made.made.signature.inputs[0].dtype == dtype
    assert min(made.sqnr_db().values()) > 25


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_narrow_integers_that_the_network_makes_stay_what_they_are(dtype: str, tmp_path: Path) -> None:
    """LiteRT's quantizer dies of a result that is cast to them."""
    net = networks.Network()
    x = net.input("x", (1, 6))
    weights, bias = net.constant("w", networks.weights(4, 6) * 9), net.constant("b", np.zeros(4, np.float32))
    y = net.operator("FULLY_CONNECTED", [x, weights, bias], (1, 4), kind="FullyConnectedOptions")
    cast = net.operator("CAST", [y], (1, 4), name="whole", dtype=dtype, kind="CastOptions")
    path = net.save(tmp_path / "waist.tflite", y, cast)
    made = Quantized(path, normal(path), tmp_path / "out")
    assert [spec.dtype for spec in made.made.signature.outputs][1] == dtype
    assert min(made.sqnr_db().values()) > 12
