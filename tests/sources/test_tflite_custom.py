"""Custom operators: MediaPipe's are read as builtin ones, others are refused by their names."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.sources.tflite import TfliteSource
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks

SAME, VALID = 1, 2
"""Paddings in LiteRT's C API."""

PLAIN = SourceOptions()


def deconvolution(path: Path, padding: int, stride: tuple[int, int], kernel: tuple[int, int], size: int = 5) -> Path:
    """A ``Convolution2DTransposeBias`` between two other operators, with the shape that MediaPipe's kernel gives it."""
    net = networks.Network()
    x = net.input("x", (1, size, size + 1, 3))
    before = net.operator("RELU", [x], (1, size, size + 1, 3))
    weights = net.constant("weights", networks.weights(4, *kernel, 3))
    bias = net.constant("bias", networks.weights(4))
    gone = [
        max(0, k - (n - 1) % s - 1) if padding == SAME else 0
        for n, s, k in zip((size, size + 1), stride, kernel, strict=True)
    ]
    rows, columns = (s * (n - 1) + k - off for n, s, k, off in zip((size, size + 1), stride, kernel, gone, strict=True))
    options = struct.pack("<3i", padding, stride[1], stride[0])
    (made,) = net.custom("Convolution2DTransposeBias", [before, weights, bias], [(1, rows, columns, 4)], options)
    return net.save(path, net.operator("ABS", [made], (1, rows, columns, 4)))


def unpooling(path: Path, rows: int, columns: int, padding: int = SAME, *, told: bool = False) -> Path:
    """A pooling, and two unpoolings to its places: of what was pooled, and of another input."""
    net = networks.Network()
    whole, pooled = (1, 6, 12, 3), (1, 6 // rows, 12 // columns, 3)
    options = struct.pack("<6i16x", padding, columns, rows, columns, rows, 0)
    x, y = net.input("x", whole), net.input("y", pooled)
    maxima, places = net.custom("MaxPoolingWithArgmax2D", [x], [pooled, pooled], options)
    ends = [net.custom("MaxUnpooling2D", [given, places], [whole], options)[0] for given in (maxima, y)]
    return net.save(path, maxima, *ends, *([places] if told else []))


def read(path: Path, out: Path) -> tuple[Waist, set[str]]:
    """The waist of a file, and the names of its operators."""
    waist = TfliteSource().to_waist(path, PLAIN, out)
    return waist, {operator.name for operator in graph.read(out / waist.file)[0].operators}


def assert_same(path: Path, waist: Path) -> None:
    """Both files give the same for ordinary numbers."""
    random = np.random.default_rng(3)
    main = graph.read(path)[0]
    given = {
        tensor.name: random.normal(size=(4, *tensor.shape)).astype(np.float32)
        for tensor in (main.tensors[index] for index in main.inputs)
    }
    before, after = run.run(path, given), run.run(waist, given)
    assert before.keys() == after.keys()
    assert all(before[name].any() and sqnr_db(before[name], after[name]) > 100 for name in before)


@pytest.mark.parametrize(
    ("padding", "stride", "kernel"),
    [
        (padding, stride, kernel)
        for padding, stride, kernel in product((SAME, VALID), ((1, 1), (2, 2), (3, 2)), ((2, 2), (3, 3), (3, 4)))
        if stride <= kernel  # XNNPACK takes no others
    ],
)
def test_a_transposed_convolution_of_mediapipes_is_a_builtin_one(
    padding: int, stride: tuple[int, int], kernel: tuple[int, int], tmp_path: Path
) -> None:
    path = deconvolution(tmp_path / "net.tflite", padding, stride, kernel)
    waist, operators = read(path, tmp_path / "out")
    assert operators == {"RELU", "TRANSPOSE_CONV", "ABS"}
    assert any("1 Convolution2DTransposeBias" in note for note in waist.notes)
    assert_same(path, tmp_path / "out" / waist.file)


@pytest.mark.parametrize(("rows", "columns", "padding"), [(2, 2, SAME), (2, 2, VALID), (1, 3, SAME), (3, 2, VALID)])
def test_numbers_that_are_put_back_to_where_maxima_were(rows: int, columns: int, padding: int, tmp_path: Path) -> None:
    path = unpooling(tmp_path / "net.tflite", rows, columns, padding)
    waist, operators = read(path, tmp_path / "out")
    assert not any(name.startswith("CUSTOM") for name in operators)
    assert_same(path, tmp_path / "out" / waist.file)


def test_places_that_leave_the_network_stay(tmp_path: Path) -> None:
    """Runtimes number them otherwise."""
    _, operators = read(unpooling(tmp_path / "net.tflite", 2, 2, told=True), tmp_path / "out")
    assert {"CUSTOM:MaxPoolingWithArgmax2D", "CUSTOM:MaxUnpooling2D"} <= operators


def test_what_is_not_proven_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.rewrites.proof.alike", lambda *_, **__: False)
    _, operators = read(deconvolution(tmp_path / "net.tflite", SAME, (2, 2), (3, 3)), tmp_path / "out")
    assert "CUSTOM:Convolution2DTransposeBias" in operators


@pytest.mark.parametrize("options", [b"", b"\1", struct.pack("<3i", 7, 2, 2), struct.pack("<3i", SAME, 0, -1)])
def test_options_that_are_none_end_in_a_remedy(options: bytes, tmp_path: Path) -> None:
    """XNNPACK may still take the file as it is, or refuse it; a guess is never made."""
    path = deconvolution(tmp_path / "net.tflite", SAME, (2, 2), (2, 2))
    tree = graph.load(path)
    tree.subgraphs[0].operators[1].customOptions = np.frombuffer(options, np.uint8)
    path.write_bytes(graph.pack(tree))
    with pytest.raises(Unsupported):
        read(path, tmp_path / "out")


def test_the_first_tensor_that_differs_is_found_behind_one(tmp_path: Path) -> None:
    path = deconvolution(tmp_path / "net.tflite", SAME, (2, 2), (3, 3))
    other = tmp_path / "other.tflite"
    tree = graph.load(path)
    bias = next(t for t in tree.subgraphs[0].tensors if t.name == b"bias")
    tree.buffers[bias.buffer].data = np.frombuffer(np.full(4, 9, np.float32).tobytes(), np.uint8)
    other.write_bytes(graph.pack(tree))
    waist, _ = read(other, tmp_path / "out")
    waist = Waist(file=str(tmp_path / "out" / waist.file), signature=waist.signature)
    np.savez(tmp_path / "in.npz", x=networks.weights(1, 1, 5, 6, 3))
    found = TfliteSource().first_divergence(path, PLAIN, waist, tmp_path / "in.npz", 60.0)
    assert found is not None
    assert found.operator == "TRANSPOSE_CONV"


@pytest.mark.parametrize(
    ("names", "fix"),
    [
        (["Landmarks2TransformMatrix"], "builtin operators"),
        (["FlexErfc", "FlexFancy"], "SELECT_TF_OPS"),
        (["FlexErfc", "Own"], "builtin operators"),
    ],
)
def test_operators_that_nothing_has_are_named_with_what_would_help(names: list[str], fix: str, tmp_path: Path) -> None:
    net = networks.Network()
    made = net.input("x", (1, 4))
    for name in names:
        (made,) = net.custom(name, [made], [(1, 4)])
    path = net.save(tmp_path / "net.tflite", made)
    with pytest.raises(Unsupported) as caught:
        read(path, tmp_path / "out")
    assert all(name in caught.value.problem for name in names)
    assert fix in caught.value.fix
    assert caught.value.place == str(path)


def test_a_cut_leaves_constants_out(tmp_path: Path) -> None:
    """Those of float16 stand behind a DEQUANTIZE, which makes a tensor of them."""
    net = networks.Network()
    made = net.input("x", (1, 4))
    for layer in range(2):
        held = net.constant(f"held{layer}", networks.weights(4, 4).astype(np.float16))
        weights = net.operator("DEQUANTIZE", [held], (4, 4), name=f"weights{layer}")
        made = net.operator(
            "FULLY_CONNECTED", [made, weights, -1], (1, 4), name=f"dense{layer}", kind="FullyConnectedOptions"
        )
    (end,) = net.custom("Own", [made], [(1, 4)])
    path = net.save(tmp_path / "net.tflite", end)
    with pytest.raises(Unsupported) as caught:
        read(path, tmp_path / "out")
    assert "--outputs dense1" in caught.value.fix
    assert not any(f"{name}{layer}" in caught.value.fix for name in ("weights", "held") for layer in range(2))
