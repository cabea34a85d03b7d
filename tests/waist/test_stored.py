"""Constants that a file stores in fewer bits are decoded to what they stand for."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.backends.tflite import weights
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.tflite import TfliteSource
from edgekit.waist import graph, run, stored
from edgekit.waist.tensors import Array, sqnr_db
from tests import networks
from tests.verbs.test_finished_files import written


def _answers(file: Path) -> list[Array]:
    main = graph.read(file)[0]
    random = np.random.default_rng(1)
    inputs = [main.tensors[index] for index in main.inputs]
    given = {tensor.name: random.random((8, *tensor.shape), np.float32) for tensor in inputs}
    return list(run.run(file, given).values())


@pytest.mark.parametrize("bits", [8, 4])
def test_hybrid_files_are_decoded_to_their_own_weights(bits: int, tmp_path: Path) -> None:
    """The floats compute what the hybrid kernels compute, but for the rounding of their activations."""
    plain = networks.classifier(tmp_path / "net.tflite")
    hybrid = tmp_path / "hybrid.tflite"
    hybrid.write_bytes(weights.to_integer_weights(plain, bits, per_channel=True))
    source = TfliteSource()
    assert source.describe(hybrid, SourceOptions()).precision == ("dynamic-int8" if bits == 8 else "int4")
    made = source.to_waist(hybrid, SourceOptions(), tmp_path / "out")
    assert "quantized already" in made.warnings[0]
    main = graph.read(tmp_path / "out" / made.file)[0]
    assert not any(tensor.scales for tensor in main.tensors if tensor.constant_bytes)
    for expected, found in zip(_answers(hybrid), _answers(tmp_path / "out" / made.file), strict=True):
        assert sqnr_db(expected, found) > 25


def test_one_scale_for_a_tensor_is_decoded_too(tmp_path: Path) -> None:
    """Against the float network: LiteRT's depthwise hybrid kernel reads a scale for each channel, be there one or not."""
    plain, decoded = networks.classifier(tmp_path / "net.tflite"), tmp_path / "decoded.tflite"
    model = graph.parse(weights.to_integer_weights(plain, 8, per_channel=False), plain)
    assert stored.decode(model) == {"int8": 3}
    decoded.write_bytes(graph.pack(model))
    for expected, found in zip(_answers(plain), _answers(decoded), strict=True):
        assert sqnr_db(expected, found) > 35


def test_integers_of_integer_operators_are_left(tmp_path: Path) -> None:
    path = written(tmp_path / "net.tflite", "int8")
    model = graph.load(path)
    assert not stored.decode(model)
    with pytest.raises(Unsupported, match="quantized already"):
        TfliteSource().to_waist(path, SourceOptions(), tmp_path / "out")


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_a_first_state_of_float16_stays_a_state(first: float, tmp_path: Path) -> None:
    """TensorFlow's float16 files unpack an LSTM's zeros into its variable, which can hold no constant."""
    net = networks.Network()
    x = net.input("x", (1, 4))
    state = net.tensor("state", (1, 4), variable=True)
    stored_state = net.constant("half", np.full((1, 4), first, np.float16))
    net.operator("DEQUANTIZE", [stored_state], (1, 4))
    net.subgraph.operators[-1].outputs = [state]
    y = net.operator("ADD", [x, state], (1, 4), kind="AddOptions")
    model = graph.load(net.save(tmp_path / "net.tflite", y))
    stored.decode(model)
    assert graph.constant(model, 0, state) is None
    assert [operator.name for operator in graph.describe(model)[0].operators] == ["DEQUANTIZE"] * bool(first) + ["ADD"]
