"""Channels of activations brought nearer to one size before NNCF quantizes: integers that err less, in the same file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.backends.openvino import OpenVINOBackend, diagnosis
from edgekit.backends.openvino.diagnosis import diagnose
from edgekit.backends.openvino.quantization import choice, control, evening, telling
from edgekit.nouns.building import Built, Job
from edgekit.nouns.model import Signature, TensorSpec, Waist
from edgekit.waist.tensors import arrays, sqnr_db
from tests import networks
from tests.equalization.spread import KINDS, RELU6, branched, in_a_row
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")

EVENED = "channels of activations are brought nearer to one size"

COUNT, SIZE = 16, 6


class Onnx:
    """An ONNX network, channels first, of 1 × 1 convolutions whose channels are 100:1 apart, or whatever ``spread`` says."""

    def __init__(self, *, spread: float = 100.0, seed: int = 0) -> None:
        self._random, self._spread = np.random.default_rng(seed), spread
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._sizes: dict[str, Any] = {}

    def op(self, kind: str, *given: str, sizes: Any = None, **options: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [*given], [name], name=f"{kind}_{name}", **options))
        self._sizes[name] = self._sizes.get(given[0]) if sizes is None else sizes
        return name

    def constant(self, values: Any) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, given: str, made: int = COUNT, *, like: str = "", even: bool = False) -> str:
        """A convolution that makes up for the sizes of what it reads; with a ReLU unless it makes ``like`` another."""
        read = self._sizes.get(given, np.ones(3))
        sizes = self._spread ** self._random.uniform(-1, 0, made)
        sizes = np.ones(made) if even else self._sizes[like] if like else sizes
        weights = self._random.standard_normal((made, len(read))) / read / np.sqrt(len(read)) * sizes[:, None]
        bias = self._random.standard_normal(made) * sizes / 4
        if self._spread == 1:  # every channel is like every other one
            weights, bias = np.abs(weights[:1]).repeat(made, 0), bias[:1].repeat(made)
        held = [self.constant(each.astype("f")) for each in (weights.reshape(made, -1, 1, 1), bias)]
        done = self.op("Conv", given, *held, sizes=sizes)
        return done if like or even else self.op("Relu", done)

    def save(self, path: Path, inputs: tuple[str, ...], output: str, channels: int) -> Path:
        shape, kind = [1, 3, SIZE, SIZE], onnx.TensorProto.FLOAT
        given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
        made = [helper.make_tensor_value_info(output, kind, [1, channels, SIZE, SIZE])]
        graph = helper.make_graph(self._nodes, "net", given, made, self._constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path


def row(net: Onnx) -> str:
    return net.conv(net.conv("x"))


def residual(net: Onnx) -> str:
    first = net.conv("x")
    return net.op("Relu", net.op("Add", net.conv(net.conv(first), like=first), first))


def shuffled(net: Onnx) -> str:
    both = net.conv("x")
    halves = COUNT // 2
    sizes = net._sizes[both]
    apart = net.op("Reshape", both, net.constant(np.array([1, 2, halves, SIZE, SIZE])))
    turned = net.op("Transpose", apart, perm=[0, 2, 1, 3, 4])
    dealt = sizes.reshape(2, -1).T.ravel()
    h = net.op("Reshape", turned, net.constant(np.array([1, COUNT, SIZE, SIZE])), sizes=dealt)
    ends = [net.constant(np.array([end])) for end in (0, halves, 1)]
    first = net.op("Slice", h, *ends, sizes=dealt[:halves])
    ends = [net.constant(np.array([end])) for end in (halves, COUNT, 1)]
    second = net.op("Slice", h, *ends, sizes=dealt[halves:])
    other = net.conv(first)
    return net.op("Concat", other, second, axis=1, sizes=np.concatenate([net._sizes[other], dealt[halves:]]))


def two_inputs(net: Onnx) -> str:
    one, other = net.conv("x"), net.conv("z")
    return net.op("Concat", one, other, axis=1, sizes=np.concatenate([net._sizes[one], net._sizes[other]]))


def gated(net: Onnx) -> str:
    h = net.conv("x")
    mean = net.op("GlobalAveragePool", h)
    return net.op("Mul", h, net.op("Sigmoid", net.conv(net.conv(mean), even=True)))


SHAPES: dict[str, Callable[[Onnx], str]] = {
    made.__name__: made for made in (row, residual, shuffled, two_inputs, gated)
}


def of_onnx(path: Path, kind: str, *, spread: float = 100.0) -> Path:
    net = Onnx(spread=spread)
    last = net.conv(SHAPES[kind](net), 5, even=True)
    return net.save(path, ("x", "z") if kind == "two_inputs" else ("x",), last, 5)


def signature(path: Path) -> Signature:
    graph = onnx.load(path).graph

    def spec(value: Any) -> TensorSpec:
        shape = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        return TensorSpec(
            name=value.name, shape=shape, dtype="float32", source_name=value.name, source_shape=shape,
            source_dtype="float32",
        )  # fmt: skip

    return Signature(inputs=tuple(map(spec, graph.input)), outputs=tuple(map(spec, graph.output)))


class Case:
    """A network of ONNX or TFLite with samples, and its files."""

    def __init__(self, folder: Path, path: Path, count: int = 48) -> None:
        self.folder = folder
        self.is_onnx = path.suffix == ".onnx"
        self.path = path
        self.signature = signature(path) if self.is_onnx else networks.signature(path)
        self.samples = networks.samples(self.signature, count)
        np.savez(folder / "calibration.npz", **self.samples)
        np.savez(folder / "fresh.npz", **networks.samples(self.signature, 32, 7))

    def build(self, name: str, precision: Any = "int8", **settings: Any) -> Built:
        job = Job(
            waist=None if self.is_onnx else str(self.path), source=str(self.path),
            source_format="onnx" if self.is_onnx else "tflite", signature=self.signature,
            source_signature=self.signature, precision=precision, calibration=str(self.folder / "calibration.npz"),
            settings={"weights": "nearest"} | settings if precision == "int8" else {},
        )  # fmt: skip
        return OpenVINOBackend().build(job, f"{name}.xml", self.folder)

    def level_db(self, made: Built) -> float:
        """Of a file on inputs that nobody saw."""
        floats = self.build("float32", "float32")
        found = []
        for each in (floats, made):
            out = self.folder / "out.npz"
            OpenVINOBackend().run(self.folder / each.files[0], each.signature, self.folder / "fresh.npz", out)
            (values,) = arrays(out).values()
            found.append(np.array(values))
        return sqnr_db(*found)

    def content(self, name: str) -> tuple[bytes, bytes]:
        return (self.folder / f"{name}.xml").read_bytes(), (self.folder / f"{name}.bin").read_bytes()


def case(folder: Path, kind: str) -> Case:
    if kind in SHAPES:
        return Case(folder, of_onnx(folder / "model.onnx", kind))
    if kind in KINDS:
        return Case(folder, branched(folder / "model.tflite", kind, 0))
    return Case(folder, in_a_row(folder / "model.tflite", 2, activation=RELU6))


def shown(kinds: Iterable[str], *always: str) -> list[Any]:
    """Kinds of networks as parameters; all but some are tried in the long part of the tests only."""
    return [kind if kind in always else pytest.param(kind, marks=pytest.mark.study) for kind in kinds]


@pytest.mark.parametrize("kind", shown([*SHAPES, *KINDS, "capped"], "shuffled"))
def test_evened_channels_err_less_on_inputs_that_nobody_saw(kind: str, tmp_path: Path) -> None:
    net = case(tmp_path, kind)
    made = {way: net.build(way, equalization=way) for way in ("off", "auto", "activations")}
    levels = {way: net.level_db(each) for way, each in made.items()}
    assert levels["auto"] > levels["off"] + 2
    assert [way for way, each in made.items() if EVENED in each.notes] == ["auto", "activations"]
    assert len({each.signature for each in made.values()}) == 1
    assert made["auto"].chosen == {"weights": "nearest", "ranges": "least-squares", "equalization": "activations"}
    asked = {str(one.settings["equalization"]): one.level_db for one in made["auto"].tried}
    assert asked["activations"] == made["auto"].level_db
    assert (asked["activations"] or 0) > (asked["off"] or 0) + choice.TIE_DB
    assert net.content("auto")[1] == net.content("activations")[1], "what was chosen makes the same file again"


@pytest.mark.parametrize("kind", shown(["row", "residual"], "residual"))
def test_networks_whose_channels_have_one_size_make_the_same_file_as_ever(kind: str, tmp_path: Path) -> None:
    net = Case(tmp_path, of_onnx(tmp_path / "model.onnx", kind, spread=1.0))
    made = {way: net.build(way, equalization=way) for way in ("off", "auto", "activations")}
    contents = [net.content(way) for way in made]
    assert contents[0][1] == contents[1][1] == contents[2][1]
    assert not any(EVENED in each.notes for each in made.values())
    assert "equalization=activations comes to nothing here" in made["activations"].notes
    (problem,) = [one.problem for one in made["auto"].tried if one.covers({"equalization": "activations"})]
    assert problem == telling.NO_GAIN


@pytest.mark.study
def test_the_best_ways_are_tried_with_evened_channels_as_well(tmp_path: Path) -> None:
    net = case(tmp_path, "residual")
    made = net.build("auto", weights="auto")
    plain = {repr(one.settings): one.level_db or 0 for one in made.tried if one.settings["equalization"] == "off"}
    even = [one for one in made.tried if one.settings["equalization"] == "activations"]
    assert len(even) == choice.AGAIN < len(plain)
    assert made.level_db == max(one.level_db or 0 for one in even)
    assert any(note.startswith("channels are evened: as they are ") for note in made.notes)
    again = net.build("again", **made.chosen)
    assert again.chosen == made.chosen
    assert net.content("again")[1] == net.content("auto")[1]


def test_large_networks_are_evened_only_if_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = case(tmp_path, "row")
    monkeypatch.setattr(control, "MOST_MACS", 0)
    assert EVENED not in net.build("auto").notes
    assert EVENED in net.build("asked", equalization="activations").notes


@pytest.mark.study
def test_operators_stay_float_by_their_names_and_for_decibels_as_ever(tmp_path: Path) -> None:
    net = case(tmp_path, "row")
    named = net.build("named", float_operators=["Conv_t0/WithoutBiases"])
    assert EVENED in named.notes
    assert any(note.startswith("stays float32: Convolution") for note in named.notes)
    level = net.build("plain").level_db or 0
    more = net.build("more", equalization="activations", least_db=level + 1)
    assert more.chosen["equalization"] == "activations"
    assert (more.level_db or 0) >= level + 1 - control.PRECISION_DB


@pytest.mark.parametrize("kind", shown(["residual", "shuffled", "shuffles"], "residual"))
def test_divided_channels_are_blamed_on_no_layer(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = case(tmp_path, kind)
    floats = net.build("float32", "float32")
    assert EVENED in net.build("int8", equalization="activations").notes
    model = libraries.CORE.read_model(tmp_path / "float32.xml")
    names = [spec.name for spec in net.signature.inputs]
    samples = [dict(zip(names, row, strict=True)) for row in zip(*net.samples.values(), strict=True)]
    libraries.ov.save_model(evening.evened(model, samples), tmp_path / "evened.xml", compress_to_fp16=False)
    whole, own = (
        Waist(file=str(tmp_path / f"{each}.xml"), signature=floats.signature) for each in ("float32", "evened")
    )
    file, given = tmp_path / "int8.xml", tmp_path / "calibration.npz"
    found, wanted = (diagnose(file, each, given) for each in (whole, own))
    assert not found.unmatched
    levels, known = ([one.alone_db or 99 for one in each.operators] for each in (found, wanted))
    assert levels == pytest.approx(known, abs=1.5), "as held against the network that NNCF read"
    monkeypatch.setattr(diagnosis, "followed", lambda source, _: source)
    monkeypatch.setattr(diagnosis, "OWN", 0.0)
    blamed = [one.alone_db or 99 for one in diagnose(file, whole, given).operators]
    assert min(np.subtract(blamed, known)) < -6
