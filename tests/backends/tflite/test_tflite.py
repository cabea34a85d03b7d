from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.backends import tflite
from edgekit.backends.tflite import judge, ranges, weights
from edgekit.equalization import observing
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Built, Job
from edgekit.nouns.model import CALIBRATED, Cost
from edgekit.waist import edit, graph, run
from tests import networks

ENOUGH_DB = {"float32": 120, "float16": 55, "dynamic-int8": 25, "int4": 5, "int8": 20, "int16x8": 25}


@pytest.fixture
def waist(tmp_path: Path) -> Path:
    return networks.classifier(tmp_path / "waist.tflite")


def built(job: Job, tmp_path: Path) -> tuple[Built, Path]:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    made = tflite.TFLiteBackend().build(job, "model.tflite", out)
    assert [path.name for path in out.iterdir()] == ["model.tflite"]
    return made, out / "model.tflite"


def outputs(made: Built, artifact: Path, inputs: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    np.savez(tmp_path / "inputs.npz", **inputs)
    tflite.TFLiteBackend().run(artifact, made.signature, tmp_path / "inputs.npz", tmp_path / "outputs.npz")
    with np.load(tmp_path / "outputs.npz") as found:
        return dict(found)


def sqnr_db(reference: Any, got: Any) -> float:
    noise = ((reference.astype(np.float64) - got) ** 2).sum()
    return 300.0 if noise == 0 else float(10 * np.log10((reference.astype(np.float64) ** 2).sum() / noise))


@pytest.mark.parametrize("precision", ENOUGH_DB)
def test_every_precision_computes_what_the_waist_computes(precision: str, waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist, nchw=True), 64)
    needed = calibration if precision in CALIBRATED else None
    made, artifact = built(networks.job(waist, precision, nchw=True, calibration=needed), tmp_path)
    inputs = networks.samples(made.signature, 16, seed=1)
    channels_last = {"image": inputs["source_image"].transpose(0, 1, 3, 4, 2)}
    reference = run.run(waist, channels_last)["probabilities"]
    found = outputs(made, artifact, inputs, tmp_path)["source_probabilities"]
    assert found.shape == (16, 1, 5)
    assert found.dtype == np.float32
    assert sqnr_db(reference, found) > ENOUGH_DB[precision]
    inner = [place for place in made.placements if place.operator not in graph.BORDER]
    assert [place.operator for place in inner] == [operator.name for operator in graph.read(waist)[0].operators]
    assert len(made.placements) <= len(inner) + 2, "what unpacks a constant does not run"
    assert {(place.runs_on, place.status) for place in made.placements} == {("CPU", "")}


def test_float32_is_the_waist_byte_for_byte(waist: Path, tmp_path: Path) -> None:
    made, artifact = built(networks.job(waist, "float32"), tmp_path)
    assert artifact.read_bytes() == waist.read_bytes()
    assert made.signature == networks.signature(waist)


@pytest.mark.parametrize("precision", ENOUGH_DB)
def test_a_file_lists_no_operator_that_it_does_not_have(precision: str, waist: Path, tmp_path: Path) -> None:
    """Rewrites and quantizers leave codes behind, and a runtime asks for the kernel of each code before it loads."""
    model = graph.load(waist)
    main = model.subgraphs[0]
    for place, builtin in ((0, "ELU"), (len(main.operators), "COS")):
        number = edit.opcode(model, getattr(schema.BuiltinOperator, builtin))
        model.operatorCodes.insert(place and number, model.operatorCodes.pop(number))
        for operator in main.operators if not place else ():
            operator.opcodeIndex += 1
    waist.write_bytes(graph.pack(model))
    reference = graph.read(waist)[0]
    calibration = networks.samples(networks.signature(waist), 32) if precision in CALIBRATED else None
    made, artifact = built(networks.job(waist, precision, calibration=calibration), tmp_path)
    file = graph.load(artifact)
    used = {operator.opcodeIndex for subgraph in file.subgraphs for operator in subgraph.operators}
    assert used == set(range(len(file.operatorCodes)))
    inner = [place.operator for place in made.placements if place.operator not in graph.BORDER]
    assert inner == [operator.name for operator in reference.operators]
    inputs = networks.samples(made.signature, 4, seed=1)
    wanted = next(iter(run.run(waist, {"image": inputs["source_image"]}).values()))
    (found,) = outputs(made, artifact, inputs, tmp_path).values()
    assert sqnr_db(wanted, found.reshape(wanted.shape)) > ENOUGH_DB[precision]


@pytest.mark.parametrize(
    ("io", "dtype", "zero_point"),
    [(None, "int8", -128), ("int8", "int8", -128), ("uint8", "uint8", 0), ("float32", "float32", None)],
)
def test_the_boundary_of_int8(io: Any, dtype: str, zero_point: int | None, waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 32)
    made, artifact = built(networks.job(waist, "int8", calibration=calibration, io=io), tmp_path)
    file = graph.read(artifact)[0]
    image, probabilities = file.tensors[file.inputs[0]], file.tensors[file.outputs[0]]
    assert (image.name, probabilities.name) == ("image", "probabilities")
    assert {image.dtype, probabilities.dtype} == {dtype}
    described = made.signature.outputs[0]
    assert (described.dtype, described.zero_point) == (dtype, zero_point)
    assert described.scale == (None if io == "float32" else 1 / 256)
    assert described.source_name == "source_probabilities"


def test_boundaries_agree_with_one_another(waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 32)
    inputs = networks.samples(networks.signature(waist), 8, seed=2)
    results = []
    for io in ("int8", "uint8", "float32"):
        made, artifact = built(networks.job(waist, "int8", calibration=calibration, io=io), tmp_path)
        results.append(outputs(made, artifact, inputs, tmp_path)["source_probabilities"])
        assert {op.name for op in judge.float_operators(graph.read(artifact)[0])} == set()
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic-int8", "int4", "int16x8"])
def test_only_int8_has_an_integer_boundary(precision: str, waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 8)
    with pytest.raises(InputError, match="has float32 inputs and outputs"):
        built(networks.job(waist, precision, calibration=calibration, io="uint8"), tmp_path)


def test_int8_holds_integers_only(waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 32)
    made, artifact = built(networks.job(waist, "int8", calibration=calibration), tmp_path)
    file = graph.read(artifact)[0]
    assert not any(tensor.dtype == "float32" for tensor in file.tensors if tensor.constant_bytes)
    assert [operator.name for operator in file.operators] == [
        operator.name for operator in graph.read(waist)[0].operators
    ]
    assert {placement.status for placement in made.placements} == {""}
    assert artifact.stat().st_size < waist.stat().st_size


def test_weights_have_a_scale_for_each_channel_unless_told_otherwise(waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 16)
    lengths = []
    for per_channel in (True, False):
        job = networks.job(waist, "int8", calibration=calibration, settings={"per_channel": per_channel})
        file = graph.read(built(job, tmp_path)[1])[0]
        lengths.append(len(file.tensors[file.operators[0].inputs[1]].scales))
    assert lengths == [16, 1]


def test_int16x8_computes_in_16_bits(waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 16)
    _, artifact = built(networks.job(waist, "int16x8", calibration=calibration), tmp_path)
    file = graph.read(artifact)[0]
    convolution = next(operator for operator in file.operators if operator.name == "CONV_2D")
    assert [file.tensors[i].dtype for i in convolution.inputs] == ["int16", "int8", "int64"]


def test_float16_halves_every_constant(waist: Path, tmp_path: Path) -> None:
    _, artifact = built(networks.job(waist, "float16"), tmp_path)
    file = graph.read(artifact)[0]
    assert {tensor.dtype for tensor in file.tensors if tensor.constant_bytes} == {"float16", "int32"}
    kinds = [operator.name for operator in file.operators]
    assert kinds.count("DEQUANTIZE") == 6
    assert kinds[:6] == ["DEQUANTIZE"] * 6


def test_float16_keeps_what_it_cannot_hold(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    x = net.operator("MUL", [x, net.constant("huge", np.full(4, 1e6, np.float32))], (1, 4), kind="MulOptions")
    x = net.operator("MUL", [x, net.constant("tiny", np.full(4, 1e-3, np.float32))], (1, 4), kind="MulOptions")
    path = net.save(tmp_path / "waist.tflite", x)
    made, artifact = built(networks.job(path, "float16"), tmp_path)
    assert made.notes == ("kept float32, which float16 represents badly: huge",)
    found = outputs(made, artifact, {"source_x": np.ones((1, 1, 4), np.float32)}, tmp_path)
    assert found["source_mul_1"] == pytest.approx(1e3, rel=1e-3)


def band_pass(taps: int, bands: int) -> np.ndarray:
    """Windowed sines whose taps sum to nothing, ``[bands, 1, taps, 1]``, as spectrograms are made of."""
    time = np.arange(taps)
    waves = [np.sin(2 * np.pi * (i + 1) * time / taps) * np.hanning(taps) / taps for i in range(bands)]
    return np.array([wave - wave.mean() for wave in waves], np.float32).reshape(bands, 1, taps, 1)


@pytest.mark.parametrize("cancel", [True, False])
def test_float16_keeps_filters_whose_taps_cancel(cancel: bool, tmp_path: Path) -> None:
    """On samples with a mean, half the digits of such a filter are all of its output."""
    net = networks.Network()
    x = net.input("x", (1, 1, 256, 1))
    filters = band_pass(256, 4) if cancel else networks.weights(4, 1, 256, 1)
    bias = net.constant("bias", np.zeros(4, np.float32))
    y = net.operator("CONV_2D", [x, net.constant("bank", filters), bias], (1, 1, 1, 4), kind="Conv2DOptions",
                     strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1, padding=1)  # fmt: skip
    path = net.save(tmp_path / "waist.tflite", y)
    made, artifact = built(networks.job(path, "float16"), tmp_path)
    assert any("bank" in note for note in made.notes) == cancel
    samples = {"source_x": (100 + np.random.default_rng(0).random((4, 1, 1, 256, 1))).astype(np.float32)}
    exact = np.einsum("nijkl,okl->no", samples["source_x"].astype(np.float64), filters[:, 0].astype(np.float64))
    found = outputs(made, artifact, samples, tmp_path)
    assert sqnr_db(exact, next(iter(found.values())).reshape(4, 4)) > 40


def through_depthwise(path: Path, filters: NDArray[np.float32]) -> Path:
    """A network of one depthwise layer with these filters ``[1, size, size, channels]``, over inputs of their size."""
    _, *size, channels = filters.shape
    net = networks.Network()
    x, bias = net.input("x", (1, *size, channels)), net.constant("bias", np.zeros(channels, np.float32))
    y = net.operator("DEPTHWISE_CONV_2D", [x, net.constant("taps", filters), bias], (1, 1, 1, channels),
                     kind="DepthwiseConv2DOptions", strideW=1, strideH=1, depthMultiplier=1, dilationWFactor=1,
                     dilationHFactor=1, padding=1)  # fmt: skip
    return net.save(path, y)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_float16_keeps_depthwise_filters_of_which_one_takes_differences(seed: int, size: int, tmp_path: Path) -> None:
    """Of all channels' sums little is lost, of that channel's most; a smooth image shows it that sum alone."""
    random = np.random.default_rng(seed)
    filters = np.abs(random.standard_normal((1, size, size, 8))).astype(np.float32)
    half = size * size // 2
    taps = np.array([30.007] * half + [-30.0] * half)  # float16 rounds all of the former down, to 30
    filters[..., 5] = random.permutation([*taps, 0.02 - taps.sum()]).reshape(size, size)
    made, artifact = built(networks.job(through_depthwise(tmp_path / "waist.tflite", filters), "float16"), tmp_path)
    assert any("taps" in note for note in made.notes)
    samples = {"source_x": np.full((4, 1, size, size, 8), 3.0, np.float32)}
    exact = 3 * filters[..., 5].astype(np.float64).sum()
    found = next(iter(outputs(made, artifact, samples, tmp_path).values())).reshape(4, 8)
    assert sqnr_db(np.full(4, exact), found[:, 5]) > 50


@pytest.mark.parametrize("dead", [0.0, 1e-6])
@pytest.mark.parametrize("seed", range(4))
def test_float16_stores_depthwise_filters_of_which_one_is_next_to_nothing(
    seed: int, dead: float, tmp_path: Path
) -> None:
    """Its sum may be lost whole: nobody sees it beside the others. Weights without a channel's sum are no reason."""
    random = np.random.default_rng(seed)
    filters = np.abs(random.standard_normal((1, 3, 3, 8))).astype(np.float32)
    filters[..., 5] = dead * random.standard_normal((3, 3))
    filters[0, 0, 0, 5] -= filters[..., 5].sum()
    path = through_depthwise(tmp_path / "waist.tflite", filters)
    content, notes = weights.to_float16(path)
    stored = {tensor.name: tensor.dtype for tensor in graph.describe(graph.parse(content, path))[0].tensors}
    assert stored["taps_float16"] == "float16"
    assert not notes


def test_a_note_names_a_few_constants_and_counts_the_others(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    for i in range(5):
        x = net.operator("MUL", [x, net.constant(f"tiny{i}", np.full(4, 1e-9, np.float32))], (1, 4), kind="MulOptions")
    _, notes = weights.to_float16(net.save(tmp_path / "waist.tflite", x))
    assert notes == ("kept float32, which float16 represents badly: tiny0, tiny1, tiny2 and 2 more",)


@pytest.mark.shared
@pytest.mark.slow
def test_basic_pitch_is_float16_on_any_samples(shared: Path, tmp_path: Path) -> None:
    """A logarithm over a filter bank: on samples with a mean all float16 had 28 dB."""
    path = shared / "models/tflite/basic_pitch_nmp.tflite"
    content, notes = weights.to_float16(path)
    artifact = tmp_path / "float16.tflite"
    artifact.write_bytes(content)
    name = graph.read(path)[0].tensors[graph.read(path)[0].inputs[0]].name
    shape = graph.read(path)[0].tensors[graph.read(path)[0].inputs[0]].shape
    samples = {name: np.random.default_rng(0).random((2, *shape)).astype(np.float32)}
    wanted, found = run.run(path, samples), run.run(artifact, samples)
    assert min(sqnr_db(wanted[output], found[output]) for output in wanted) > 45
    assert len(content) < 0.9 * path.stat().st_size
    assert "normalized_log" in notes[0]


def test_float16_stores_a_shared_constant_once(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4096))
    shared = net.constant("shared", networks.weights(4096, 1).ravel())
    y = net.operator("MUL", [x, shared], (1, 4096), kind="MulOptions")
    twin = net.tensor("twin", (4096,))
    net.subgraph.tensors[twin].buffer = net.subgraph.tensors[shared].buffer
    path = net.save(tmp_path / "waist.tflite", net.operator("ADD", [y, twin], (1, 4096), kind="AddOptions"))
    content, _ = weights.to_float16(path)
    assert len(content) < 0.6 * path.stat().st_size


def test_int4_weights_are_packed(waist: Path, tmp_path: Path) -> None:
    _, artifact = built(networks.job(waist, "int4"), tmp_path)
    file = graph.read(artifact)[0]
    stored = {op.name: file.tensors[op.inputs[1]] for op in file.operators if len(op.inputs) == 3}
    assert stored["CONV_2D"].dtype == stored["FULLY_CONNECTED"].dtype == "int4"
    assert stored["CONV_2D"].constant_bytes == 16 * 27 // 2
    assert stored["DEPTHWISE_CONV_2D"].dtype == "int8"


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 12))
def test_clipping_never_makes_four_bits_worse(seed: int, rows: int, columns: int) -> None:
    values = np.random.default_rng(seed).standard_t(2, (rows, columns)).astype(np.float32)
    limits = weights.grid.scales(values[None].astype(np.float64), weights._CLIPPED)[0] * weights._CLIPPED.top
    clipped = np.clip(values, -limits, limits).astype(np.float32)

    def error(limit: Any) -> Any:
        step = np.maximum(np.abs(limit).max(1, keepdims=True) / 7, 1e-30)
        return ((np.clip(np.rint(values / step), -7, 7) * step - values) ** 2).sum(1)

    assert (error(clipped) <= error(values) * (1 + 1e-4) + 1e-9).all()


def test_a_dead_channel_survives_four_bits(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    values = networks.weights(4, 8)
    values[2] = 0
    bias = net.constant("b", np.zeros(4, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, net.constant("k", values), bias], (1, 4), kind="FullyConnectedOptions")
    made, artifact = built(networks.job(net.save(tmp_path / "waist.tflite", x), "int4"), tmp_path)
    found = outputs(made, artifact, {"source_x": np.ones((1, 1, 8), np.float32)}, tmp_path)
    assert found["source_fully_connected_0"][0, 0, 2] == 0


@pytest.mark.parametrize("precision", sorted(CALIBRATED))
def test_missing_calibration(precision: str, waist: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs calibration samples") as caught:
        built(networks.job(waist, precision), tmp_path)
    assert "--calibration" in caught.value.fix


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda x: {"other": x}, "missing"),
        (lambda x: {"source_image": x[:, 0]}, "but are"),
        (lambda x: {"source_image": x[:0]}, "but are"),
        (lambda x: {"source_image": np.where(x > 2, np.nan, x)}, "NaN"),
        (lambda x: {"source_image": np.where(x > 2, np.inf, x)}, "NaN or infinity"),
        (lambda x: {"source_image": x * np.float32(3e38)}, "drives the network to NaN or infinity|hold NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_broken_calibration(broken: Any, complaint: str, waist: Path, tmp_path: Path) -> None:
    calibration = broken(networks.samples(networks.signature(waist), 32)["source_image"])
    with pytest.raises(InputError, match=complaint):
        built(networks.job(waist, "int8", calibration=calibration), tmp_path)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    x = net.operator("MUL", [x, net.constant("k", np.full(4, np.nan, np.float32))], (1, 4), kind="MulOptions")
    path = net.save(tmp_path / "waist.tflite", x)
    with pytest.raises(InputError, match=r"sample \d drives the network to NaN"):
        built(networks.job(path, "int8", calibration=networks.samples(networks.signature(path), 4)), tmp_path)


def test_no_waist(waist: Path, tmp_path: Path) -> None:
    job = Job(
        waist=None,
        source="net.onnx",
        source_format="onnx",
        signature=networks.signature(waist),
        source_signature=networks.signature(waist),
        precision="float32",
    )
    with pytest.raises(Unsupported, match="no LiteRT form"):
        built(job, tmp_path)


def test_an_unknown_way_to_choose_ranges(waist: Path, tmp_path: Path) -> None:
    job = networks.job(
        waist, "int8", calibration=networks.samples(networks.signature(waist), 4), settings={"ranges": "best"}
    )
    with pytest.raises(InputError, match="named best") as caught:
        built(job, tmp_path)
    assert "least-squares" in caught.value.fix


@pytest.mark.parametrize("method", ranges.METHODS)
def test_ranges_can_be_told(method: str, waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 16)
    made, _ = built(networks.job(waist, "int8", calibration=calibration, settings={"ranges": method}), tmp_path)
    assert f"with {method} ranges" in made.notes[0]


def test_an_operator_without_integer_form_is_named(tmp_path: Path) -> None:
    path = networks.element_wise(tmp_path / "waist.tflite", "FLOOR", "RELU")
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    assert any(note.startswith("stays float32: FLOOR") for note in made.notes)
    assert {(p.operator, p.status) for p in made.placements if p.status} == {("FLOOR", "stays float32")}
    assert made.signature.inputs[0].dtype == "int8"
    assert outputs(made, artifact, calibration, tmp_path)["source_relu_2"].shape == (32, 1, 12)
    job = networks.job(path, "int8", calibration=calibration, settings={"full_integer": True})
    with pytest.raises(Unsupported, match="FLOOR would stay float32"):
        built(job, tmp_path)


def test_a_float_operator_at_the_end_leaves_its_output_float(tmp_path: Path) -> None:
    path = networks.element_wise(tmp_path / "waist.tflite", "RELU", "FLOOR")
    calibration = networks.samples(networks.signature(path), 32)
    made, _ = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    assert made.signature.inputs[0].dtype == "int8"
    assert made.signature.outputs[0].dtype == "float32"
    assert made.signature.outputs[0].scale is None


@pytest.mark.parametrize(
    "builtin", ["LEAKY_RELU", "EXP", "ABS", "LOG_SOFTMAX", "RELU6", "TANH", "LOGISTIC", "HARD_SWISH"]
)
def test_operators_that_have_an_integer_form_get_it(builtin: str, tmp_path: Path) -> None:
    path = networks.element_wise(tmp_path / "waist.tflite", builtin)
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(
        networks.job(path, "int8", calibration=calibration, settings={"full_integer": True}), tmp_path
    )
    assert builtin in [operator.name for operator in graph.read(artifact)[0].operators]
    assert made.placements[-1].status == ""


def test_the_better_of_two_quantizers_is_kept(tmp_path: Path) -> None:
    """LiteRT's own gets SUM wrong (2.8 dB on normal values): ai-edge-quantizer's file must win."""
    net = networks.Network()
    x = net.input("x", (1, 8, 6))
    axis = net.constant("axis", np.array([1], np.int32))
    x = net.operator("SUM", [x, axis], (1, 6), kind="ReducerOptions", keepDims=False)
    path = net.save(tmp_path / "waist.tflite", x)
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    reference = run.run(path, {"x": calibration["source_x"]})["sum_0"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_sum_0"]) > 30


def test_a_division_stays_float_because_its_divisor_may_round_to_zero(tmp_path: Path) -> None:
    net = networks.Network()
    x, y = net.input("x", (1, 8)), net.input("y", (1, 8))
    root = net.operator("SQRT", [y], (1, 8))
    path = net.save(tmp_path / "waist.tflite", net.operator("DIV", [x, root], (1, 8), kind="DivOptions"))
    calibration = networks.samples(networks.signature(path), 32)
    calibration["source_y"] = np.abs(calibration["source_y"]) + 1
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    assert any("DIV" in note for note in made.notes)
    near_zero = {"source_x": calibration["source_x"], "source_y": np.full((32, 1, 8), 1e-4, np.float32)}
    assert outputs(made, artifact, near_zero, tmp_path)["source_div_1"].shape == (32, 1, 8)


def loop(path: Path) -> Path:
    """A dense layer, then a WHILE that adds 1 three times."""
    net = networks.Network()
    x, count = net.input("x", (1, 4)), net.constant("count", np.zeros(1, np.int32))
    dense, bias = net.constant("k", networks.weights(4, 4)), net.constant("b", np.zeros(4, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 4), kind="FullyConnectedOptions")
    net.operator(
        "WHILE", [count, x], (1,), dtype="int32", kind="WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2
    )
    result = net.tensor("result", (1, 4))
    net.subgraph.operators[-1].outputs = [net.subgraph.operators[-1].outputs[0], result]
    main = net.subgraph
    for part in ("condition", "body"):
        net.subgraph = schema.SubGraphT()
        net.subgraph.tensors, net.subgraph.operators, net.subgraph.inputs = [], [], []
        count, value = net.input("count", (1,), "int32"), net.input("x", (1, 4))
        if part == "condition":
            three = net.constant("three", np.full(1, 3, np.int32))
            net.subgraph.outputs = [net.operator("LESS", [count, three], (1,), dtype="bool")]
        else:
            one, unit = net.constant("one", np.ones(1, np.int32)), net.constant("unit", np.ones((1, 4), np.float32))
            counted = net.operator("ADD", [count, one], (1,), dtype="int32", kind="AddOptions")
            net.subgraph.outputs = [counted, net.operator("ADD", [value, unit], (1, 4), kind="AddOptions")]
        net.model.subgraphs.append(net.subgraph)
    net.subgraph = main
    return net.save(path, result)


def test_the_body_of_a_loop_stays_float(tmp_path: Path) -> None:
    path = loop(tmp_path / "waist.tflite")
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    assert "stays float32: WHILE" in made.notes
    reference = run.run(path, {"x": calibration["source_x"]})["result"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_result"]) > 30


def test_constant_batch_matmul_is_right(tmp_path: Path) -> None:
    """ai-edge-quantizer gives its weights a scale per channel, which the kernel does not read."""
    net = networks.Network()
    x = net.input("x", (1, 1, 32))
    factor = net.constant("k", networks.weights(10, 32).T.copy())
    x = net.operator("BATCH_MATMUL", [x, factor], (1, 1, 10), kind="BatchMatMulOptions")
    path = net.save(tmp_path / "waist.tflite", x)
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    reference = run.run(path, {"x": calibration["source_x"]})["batch_matmul_0"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_batch_matmul_0"]) > 30


def test_a_product_of_activations_is_right_on_xnnpack(tmp_path: Path) -> None:
    net = networks.Network()
    x, y = net.input("x", (1, 8, 16)), net.input("y", (1, 16, 8))
    product = net.operator("BATCH_MATMUL", [x, y], (1, 8, 8), kind="BatchMatMulOptions")
    path = net.save(tmp_path / "waist.tflite", product)
    calibration = networks.samples(networks.signature(path), 32)
    calibration["source_y"] += 0.5  # off centre, so that its zero point would not be 0
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    reference = run.run(path, {"x": calibration["source_x"], "y": calibration["source_y"]})["batch_matmul_0"]
    assert made.signature.inputs[1].zero_point == 0
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_batch_matmul_0"]) > 25


def test_integer_inputs_stay_integers(tmp_path: Path) -> None:
    net = networks.Network()
    ids = net.input("ids", (1, 4), "int32")
    table = net.constant("table", networks.weights(20, 8))
    x = net.operator("GATHER", [table, ids], (1, 4, 8), kind="GatherOptions", axis=0)
    path = net.save(tmp_path / "waist.tflite", x)
    calibration = {"source_ids": np.random.default_rng(0).integers(0, 20, (32, 1, 4), np.int32)}
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    assert made.signature.inputs[0].dtype == "int32"
    reference = run.run(path, {"ids": calibration["source_ids"]})["gather_0"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_gather_0"]) > 30


def test_outputs_that_share_a_name_prefix_keep_order_and_names(tmp_path: Path) -> None:
    net = networks.Network()
    a, b = net.input("a", (1, 6)), net.input("b", (1, 6))
    total = net.operator("ADD", [a, b], (1, 6), name="out", kind="AddOptions")
    other = net.operator("MUL", [a, b], (1, 6), name="out_1", kind="MulOptions")
    path = net.save(tmp_path / "waist.tflite", other, total)
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(networks.job(path, "int8", calibration=calibration, io="uint8"), tmp_path)
    assert [spec.name for spec in made.signature.outputs] == ["out_1", "out"]
    found = outputs(made, artifact, calibration, tmp_path)
    assert sqnr_db(calibration["source_a"] + calibration["source_b"], found["source_out"]) > 30
    assert sqnr_db(calibration["source_a"] * calibration["source_b"], found["source_out_1"]) > 30


def test_an_output_that_feeds_the_network_as_well(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    first = net.operator("RELU", [x], (1, 6), name="first")
    second = net.operator("TANH", [first], (1, 6), name="second")
    path = net.save(tmp_path / "waist.tflite", first, second)
    calibration = networks.samples(networks.signature(path), 32)
    for io in ("int8", "uint8", "float32"):
        made, artifact = built(networks.job(path, "int8", calibration=calibration, io=io), tmp_path)
        found = outputs(made, artifact, calibration, tmp_path)
        assert sqnr_db(np.maximum(calibration["source_x"], 0), found["source_first"]) > 30
        assert sqnr_db(np.tanh(np.maximum(calibration["source_x"], 0)), found["source_second"]) > 25


def test_signature_definitions_follow_the_boundary(waist: Path, tmp_path: Path) -> None:
    model = graph.load(waist)
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = b"serving_default", 0
    for side, tensors in (("inputs", model.subgraphs[0].inputs), ("outputs", model.subgraphs[0].outputs)):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = side.encode(), int(tensors[0])
        setattr(definition, side, [entry])
    model.signatureDefs = [definition]
    waist.write_bytes(graph.pack(model))
    calibration = networks.samples(networks.signature(waist), 16)
    for io in ("int8", "uint8", "float32"):
        _, artifact = built(networks.job(waist, "int8", calibration=calibration, io=io), tmp_path)
        runner = run.interpreter(artifact).get_signature_runner("serving_default")
        assert runner.get_input_details()["inputs"]["dtype"] == np.dtype(io)
        assert runner.get_output_details()["outputs"]["dtype"] == np.dtype(io)


def test_huge_logits_do_not_take_all_levels(tmp_path: Path) -> None:
    """Logits in the hundreds: min and max would leave steps of several units at the decision."""
    path = networks.classifier(tmp_path / "waist.tflite", logits=200.0)
    calibration = networks.samples(networks.signature(path), 64)
    inputs = networks.samples(networks.signature(path), 200, seed=3)
    reference = run.run(path, {"image": inputs["source_image"]})["probabilities"]
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    file = graph.read(artifact)[0]
    softmax = next(operator for operator in file.operators if operator.name == "SOFTMAX")
    float_logits = observing.observe(
        path, graph.read(path)[0], {"image": inputs["source_image"]}, np.array([0]), seed=0
    ).activations[graph.read(path)[0].operators[-1].inputs[0]]
    assert file.tensors[softmax.inputs[0]].scales[0] * 255 < 0.8 * (float_logits.high - float_logits.low)
    found = outputs(made, artifact, inputs, tmp_path)["source_probabilities"]
    assert (found.argmax(-1) == reference.argmax(-1)).mean() > 0.9


def test_saturating_functions_are_found_through_reshapes(waist: Path) -> None:
    main = graph.read(waist)[0]
    assert ranges.saturating(main) == {main.operators[-1].inputs[0]: "SOFTMAX"}


@given(st.integers(0, 200), st.sampled_from(list(ranges.METHODS)))
def test_ranges_hold_zero_and_stay_within_the_extremes(seed: int, method: str) -> None:
    values = np.random.default_rng(seed).standard_normal(500).astype(np.float32) * 3 + seed % 7 - 3
    seen = observing.Observed(low=float(values.min()), high=float(values.max()), values=[values])
    net = networks.Network()
    x = net.input("x", (1, 4))
    net.subgraph.outputs = [x]
    main = graph.Graph(tensors=(), operators=(), inputs=(0,), outputs=(0,))
    low, high = ranges.choose(main, {0: seen}, method)[0]
    assert min(seen.low, 0) - 1e-6 <= low <= 0 <= high <= max(seen.high, 0) + 1e-6


def test_masks_do_not_stretch_a_range() -> None:
    seen = observing.Observed()
    values = np.array([-np.inf, -3.4e38, -1, 0, 2], np.float32)
    observing._look(seen, values, 1, np.random.default_rng(0), rows=False)
    assert (seen.low, seen.high) == (-1, 2)


def test_duplicate_tensor_names_are_no_obstacle(waist: Path, tmp_path: Path) -> None:
    model = graph.load(waist)
    for tensor in model.subgraphs[0].tensors[1:4]:
        tensor.name = b"same"
    waist.write_bytes(graph.pack(model))
    for precision in ("dynamic-int8", "int4", "int8"):
        calibration = networks.samples(networks.signature(waist), 16)
        built(networks.job(waist, precision, calibration=calibration), tmp_path)


def test_nothing_is_written_when_it_fails(waist: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        built(networks.job(waist, "int8"), tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.study
def test_the_same_job_gives_the_same_bytes(waist: Path, tmp_path: Path) -> None:
    calibration = networks.samples(networks.signature(waist), 64)
    for precision in ("float16", "int8", "int16x8", "int4"):
        job = networks.job(waist, precision, calibration=calibration, seed=7, settings={"weights": "auto"})
        first = built(job, tmp_path)[1].read_bytes()
        assert built(job, tmp_path)[1].read_bytes() == first


def test_scores_are_capped_by_work(waist: Path) -> None:
    assert len(judge.scored(waist, graph.read(waist)[0], 1000)) == judge.SCORED_SAMPLES
    assert len(judge.scored(waist, graph.read(waist)[0], 3)) == 3


@pytest.mark.parametrize(
    ("macs", "samples", "expected"),
    [(250_000_000, 200, 40), (250_000_000, 60, 12), (250_000_000, 30, 8), (400_000_000, 1000, 25), (4 * 10**9, 500, 4)],
)
def test_of_many_samples_a_fifth_is_scored(
    waist: Path, monkeypatch: pytest.MonkeyPatch, macs: int, samples: int, expected: int
) -> None:
    monkeypatch.setattr(
        judge.cost, "count", lambda _: Cost(parameters=0, macs=macs, bytes=0, peak_activation_bytes=0, operators={})
    )
    assert len(judge.scored(waist, graph.read(waist)[0], samples)) == expected


def test_an_opcode_is_added_once(waist: Path) -> None:
    model = graph.load(waist)
    before = len(model.operatorCodes)
    first = edit.opcode(model, 114)
    assert edit.opcode(model, 114) == first == before


def test_padding_of_minus_infinity_before_a_max_pool(tmp_path: Path) -> None:
    """As ONNX exporters write it: no integer is -inf, and the least level serves as well."""
    net = networks.Network()
    x = net.input("x", (1, 4, 4, 2))
    pads = net.constant("pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    least = net.constant("least", np.array([-3.4e38], np.float32))
    x = net.operator("PADV2", [x, pads, least], (1, 6, 6, 2), kind="PadV2Options")
    window = {"filterWidth": 3, "filterHeight": 3, "strideW": 3, "strideH": 3}
    x = net.operator("MAX_POOL_2D", [x], (1, 2, 2, 2), kind="Pool2DOptions", padding=networks.VALID, **window)
    path = net.save(tmp_path / "waist.tflite", x)
    calibration = networks.samples(networks.signature(path), 32)
    calibration["source_x"] -= 2  # so that padding with 0 would be wrong
    made, artifact = built(networks.job(path, "int8", calibration=calibration), tmp_path)
    reference = run.run(path, {"x": calibration["source_x"]})["max_pool_2d_1"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_max_pool_2d_1"]) > 30


def test_a_fused_lstm_becomes_integers(tmp_path: Path) -> None:
    """LiteRT's quantizer reads past a list's end where an LSTM has no intermediate tensors."""
    net = networks.Network()
    x = net.input("x", (1, 6, 3))
    into = [net.constant(f"w{i}", networks.weights(5, 3, seed=i)) for i in range(4)]
    back = [net.constant(f"r{i}", networks.weights(5, 5, seed=i + 4)) for i in range(4)]
    bias = [net.constant(f"b{i}", np.full(5, float(i == 1), np.float32)) for i in range(4)]
    state = [net.tensor(name, (1, 5), variable=True) for name in ("hidden", "cell")]
    inputs = [x, *into, *back, -1, -1, -1, *bias, -1, -1, *state, -1, -1, -1, -1]
    kind, tanh = "UnidirectionalSequenceLSTMOptions", schema.ActivationFunctionType.TANH
    y = net.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (1, 6, 5), name="y", kind=kind, fusedActivationFunction=tanh
    )
    path = net.save(tmp_path / "waist.tflite", y)
    calibration = networks.samples(networks.signature(path), 32)
    made, artifact = built(
        networks.job(path, "int8", calibration=calibration, settings={"full_integer": True}), tmp_path
    )
    reference = run.run(path, {"x": calibration["source_x"]})["y"]
    assert sqnr_db(reference, outputs(made, artifact, calibration, tmp_path)["source_y"]) > 25
