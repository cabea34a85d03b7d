"""OpenVINO files compute what their source computes, from ONNX directly and from the waist."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper

from edgekit import samples, verify
from edgekit.backends.openvino.half_precision import FLOOR_DB, SMALLEST, loses
from edgekit.backends.openvino.libraries import CORE
from edgekit.backends.openvino.npu import compile_blob
from edgekit.backends.openvino.reading.waist_scalars import mend
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Built, Job
from edgekit.nouns.model import Model, Signature, SourceOptions
from edgekit.waist import graph, run, tensors
from tests import networks

ENOUGH_DB = {"float32": 100, "float16": 55, "int8": 20}
SHAPES = {
    "basic_pitch_nmp": {"serving_default_input_2:0": (1, 43844, 1)},
    "ppocrv4_cls": {"x": (1, 3, 48, 192)},
    "super_resolution_10": {"input": (1, 1, 224, 224)},
    "tract_byte_sb_bidi_lstm": {"input": (1, 20)},
    "silero_vad_v5_16k_op15": {"input": (1, 512), "state": (2, 1, 128)},
}


def build(worker: Worker, job: Job, out: Path, file: str = "model.xml") -> Built:
    out.mkdir(exist_ok=True)
    made = worker.call("backends", "openvino", "build", job=job, file=file, out=out)
    assert isinstance(made, Built)
    assert {path.name for path in out.iterdir()} == set(made.files)
    return made


def outputs(worker: Worker, made: Built, out: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    samples.write_npz(out / "inputs.npz", inputs)
    worker.call(
        "backends", "openvino", "run",
        artifact=out / made.files[0], signature=made.signature, inputs=out / "inputs.npz", outputs=out / "outputs.npz",
    )  # fmt: skip
    with np.load(out / "outputs.npz") as found:
        return dict(found)


@pytest.mark.study
def test_a_permutation_of_samples_gives_the_same_weights_and_ranges(worker: Worker, tmp_path: Path) -> None:
    """Also if only some of them are used."""
    waist = networks.classifier(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 24)
    contents = set()
    for seed in range(3):
        order = np.arange(24) if not seed else np.random.default_rng(seed).permutation(24)
        given = {name: values[order] for name, values in samples.items()}
        job = networks.job(waist, "int8", calibration=given, settings={"weights": "auto", "subset_size": 10})
        made = build(worker, job, tmp_path / f"out{seed}")
        contents.add(tuple((tmp_path / f"out{seed}" / file).read_bytes() for file in made.files))
    assert len(contents) == 1


# --- from the waist ----------------------------------------------------------------------------


@pytest.fixture
def waist(tmp_path: Path) -> Path:
    return networks.classifier(tmp_path / "waist.tflite")


def calibrated(waist: Path, **settings: Any) -> Job:
    """A job whose channels are not evened unless that is asked for: two more quantizations would be tried."""
    given = networks.samples(networks.signature(waist), 64)
    return networks.job(waist, "int8", calibration=given, settings={"equalization": "off"} | settings)


@pytest.mark.parametrize("precision", ENOUGH_DB)
@pytest.mark.parametrize("device", ["CPU", "NPU"])
def test_every_precision_computes_what_the_waist_computes(
    worker: Worker, waist: Path, tmp_path: Path, precision: str, device: str
) -> None:
    calibration = networks.samples(networks.signature(waist, nchw=True), 64) if precision == "int8" else None
    wishes = {"target_device": device, "equalization": "off"}
    job = networks.job(waist, precision, nchw=True, calibration=calibration, settings=wishes)
    made = build(worker, job, tmp_path / "out")
    inputs = networks.samples(made.signature, 16, seed=1)
    reference = run.run(waist, {"image": inputs["source_image"].transpose(0, 1, 3, 4, 2)})["probabilities"]
    found = outputs(worker, made, tmp_path / "out", inputs)["source_probabilities"]
    assert found.shape == (16, 1, 5)
    assert found.dtype == np.float32
    assert tensors.sqnr_db(reference, found) > ENOUGH_DB[precision]
    assert made.files[:2] == ("model.xml", "model.bin")
    assert set(made.tools) == {"openvino", "nncf"}


def test_int8_computes_in_int8(worker: Worker, waist: Path, tmp_path: Path) -> None:
    floats = build(worker, networks.job(waist, "float32"), tmp_path / "float32")
    integers = build(worker, calibrated(waist, equalization="auto"), tmp_path / "int8")
    assert {place.status for place in floats.placements} == {"f32"}
    heavy = [p for p in integers.placements if p.operator in {"Convolution", "FullyConnected"}]
    assert heavy
    assert {place.status for place in heavy} <= {"u8", "i8"}
    assert {place.runs_on for place in integers.placements} == {"CPU"}


def test_float16_halves_and_int8_quarters_large_weights(worker: Worker, tmp_path: Path) -> None:
    waist = networks.element_wise(tmp_path / "wide.tflite", "RELU")
    size = {}
    for precision in ENOUGH_DB:
        calibration = networks.samples(networks.signature(waist), 64) if precision == "int8" else None
        out = tmp_path / precision
        made = build(worker, networks.job(waist, precision, calibration=calibration), out)
        size[precision] = (out / made.files[1]).stat().st_size
    assert size["int8"] < size["float32"]
    assert size["float16"] == size["float32"], "144 weights are not worth the loss"


@pytest.mark.study
def test_the_same_job_gives_the_same_network(worker: Worker, waist: Path, tmp_path: Path) -> None:
    job = calibrated(waist, weights="auto", equalization="auto")
    for name in ("one", "two"):
        build(worker, job, tmp_path / name)
    assert (tmp_path / "one" / "model.bin").read_bytes() == (tmp_path / "two" / "model.bin").read_bytes()
    # OpenVINO numbers the operators that it adds through the whole life of a process.
    texts = [re.sub(r"_\d+", "", (tmp_path / name / "model.xml").read_text()) for name in ("one", "two")]
    assert texts[0] == texts[1]


def test_no_machine_path_gets_into_the_file(worker: Worker, waist: Path, tmp_path: Path) -> None:
    build(worker, networks.job(waist, "float32"), tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "model.xml").read_text()


@pytest.mark.parametrize(
    ("fields", "error", "complaint"),
    [
        ({"precision": "int8"}, InputError, "int8 needs calibration samples"),
        ({"precision": "int4"}, Unsupported, "no int4"),
        ({"io": "int8"}, Unsupported, "keep the source's dtypes at their boundary, not int8"),
        ({"settings": {"presett": "mixed"}}, InputError, "presett"),
        ({"settings": {"preset": "fastest"}}, InputError, "fastest"),
        ({"settings": {"subset_size": 0}}, InputError, "subset_size"),
        ({"settings": {"target_device": "TPU"}}, InputError, "TPU"),
    ],
)
def test_wrong_wishes_are_refused_and_leave_nothing(
    worker: Worker, waist: Path, tmp_path: Path, fields: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    job = networks.job(waist, fields.pop("precision", "float32"), **fields)
    with pytest.raises(error, match=complaint) as info:
        worker.call("backends", "openvino", "build", job=job, file="model.xml", out=out)
    assert info.value.fix
    assert not list(out.iterdir())


def test_a_file_that_is_no_xml_is_refused(worker: Worker, waist: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.bin is no name for OpenVINO IR"):
        worker.call("backends", "openvino", "build", job=networks.job(waist, "float32"), file="model.bin", out=tmp_path)


@pytest.mark.parametrize("damage", [b"", b"no xml", b"<?xml version='1.0'?><net/>"])
def test_a_damaged_file_is_refused_when_run(worker: Worker, waist: Path, tmp_path: Path, damage: bytes) -> None:
    made = build(worker, networks.job(waist, "float32"), tmp_path / "out")
    (tmp_path / "out" / "model.xml").write_bytes(damage)
    with pytest.raises(Unsupported, match=r"cannot run model.xml"):
        outputs(worker, made, tmp_path / "out", networks.samples(made.signature, 1))


def padded(path: Path, pad_value: Any) -> Path:
    """Vector [1, 12] → a column of ``pad_value`` on either side."""
    net = networks.Network()
    x = net.input("x", (1, 12))
    pads, value = net.constant("pads", np.array([[0, 0], [1, 1]], np.int32)), net.constant("value", pad_value)
    return net.save(path, net.operator("PADV2", [x, pads, value], (1, 14), name="padded"))


@pytest.mark.parametrize("pad_value", [np.float32([7]), np.float32(7)], ids=["vector", "scalar"])
def test_scalars_that_are_stored_as_vectors_are_read(worker: Worker, tmp_path: Path, pad_value: Any) -> None:
    waist = padded(tmp_path / "waist.tflite", pad_value)
    before = waist.read_bytes()
    made = build(worker, networks.job(waist, "float32"), tmp_path / "out")
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 12)
    found = outputs(worker, made, tmp_path / "out", {"source_x": x})["source_padded"]
    assert found.ravel().tolist() == [7, *range(12), 7]
    assert waist.read_bytes() == before


def test_only_vectors_are_mended(tmp_path: Path, waist: Path) -> None:
    assert not mend(graph.load(waist))
    assert not mend(graph.load(padded(tmp_path / "scalar.tflite", np.float32(7))))
    model = graph.load(padded(tmp_path / "vector.tflite", np.float32([7])))
    assert mend(model)
    (main,) = graph.describe(model)
    assert [main.tensors[i].shape for i in main.operators[0].inputs] == [(1, 12), (2, 2), ()]


@pytest.mark.parametrize(
    ("estimator", "preset"), [("histogram", "mixed"), ("minmax", "performance"), ("nncf", "mixed")]
)
def test_every_setting_builds(worker: Worker, waist: Path, tmp_path: Path, estimator: str, preset: str) -> None:
    wishes = {
        "weights": "auto",
        "range_estimator": estimator,
        "preset": preset,
        "fast_bias_correction": False,
        "subset_size": 20,
    }
    build(worker, calibrated(waist, **wishes), tmp_path / "out")
    text = (tmp_path / "out" / "model.xml").read_text()
    assert f'<preset value="{preset}" />' in text
    assert '<subset_size value="20" />' in text
    assert '<fast_bias_correction value="False" />' in text


def largest_weights(file: Path) -> list[int]:
    """The largest 8-bit weight of each layer."""
    model = CORE.read_model(str(file))
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    return [
        int(np.abs(c.get_data().astype(int)).max()) for c in constants if c.get_element_type().get_type_name() == "i8"
    ]


@pytest.mark.parametrize(("fix", "half"), [("first_layer_only", (0,)), ("disable", ())])
def test_products_may_overflow_16_bits_if_wished(
    worker: Worker, waist: Path, tmp_path: Path, fix: str, half: tuple[int, ...]
) -> None:
    """What is built otherwise, and why: tests/backends/openvino/test_openvino_sums.py."""
    build(worker, calibrated(waist, overflow_fix=fix), tmp_path / "out")
    convolution_depthwise_dense = largest_weights(tmp_path / "out" / "model.xml")
    assert len(convolution_depthwise_dense) == 3
    for i, weight in enumerate(convolution_depthwise_dense):
        assert (2 * 255 * weight < 2**15) == (i in half)


# --- from ONNX ---------------------------------------------------------------------------------


def onnx_file(path: Path, nodes: list[Any], inputs: dict[str, Any], names: list[str]) -> Path:
    """An ONNX model of opset 17; every input is (dtype, shape)."""
    types = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64, "uint8": onnx.TensorProto.UINT8}
    values = [helper.make_tensor_value_info(name, types[dtype], shape) for name, (dtype, shape) in inputs.items()]
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
    made = helper.make_model(
        helper.make_graph(nodes, "g", values, results), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 9
    onnx.save(made, path)
    return path


def described(worker: Worker, path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> Model:
    model = worker.call("sources", "onnx", "describe", path=path, options=SourceOptions(shapes=shapes or {}))
    assert isinstance(model, Model)
    return model


def direct(model: Model, path: Path, precision: Any, **fields: Any) -> Job:
    return Job(
        waist=None, source=str(path), source_format="onnx", signature=model.signature,
        source_signature=model.signature, precision=precision, **fields,
    )  # fmt: skip


def reference(
    worker: Worker, path: Path, options: SourceOptions, inputs: dict[str, Any], folder: Path
) -> dict[str, Any]:
    samples.write_npz(folder / "in.npz", inputs)
    worker.call(
        "sources", "onnx", "run", path=path, options=options, inputs=folder / "in.npz", outputs=folder / "ref.npz"
    )
    with np.load(folder / "ref.npz") as found:
        return dict(found)


def test_inputs_and_outputs_of_one_shape_are_told_apart_by_name(worker: Worker, tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["b", "a"], ["second"]), helper.make_node("Div", ["a", "b"], ["first"])]
    inputs = {"b": ("float32", (1, 4)), "a": ("float32", (1, 4))}
    path = onnx_file(tmp_path / "m.onnx", nodes, inputs, ["first", "second"])
    made = build(worker, direct(described(worker, path), path, "float32"), tmp_path / "out")
    a, b = np.full((3, 1, 4), 6, np.float32), np.full((3, 1, 4), 2, np.float32)
    found = outputs(worker, made, tmp_path / "out", {"a": a, "b": b})
    assert list(found) == ["first", "second"]
    assert found["first"].ravel().tolist() == [3] * 12
    assert found["second"].ravel().tolist() == [-4] * 12


def test_integers_scalars_and_any_name_pass(worker: Worker, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["file:0/x"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["n"], ["g"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "g"], ["file"]),
    ]
    inputs = {"file:0/x": ("uint8", (1, 3)), "n": ("int64", ())}
    path = onnx_file(tmp_path / "m.onnx", nodes, inputs, ["file"])
    made = build(worker, direct(described(worker, path), path, "float32"), tmp_path / "out")
    assert [spec.dtype for spec in made.signature.inputs] == ["uint8", "int64"]
    x, n = np.arange(6, dtype=np.uint8).reshape(2, 1, 3), np.array([10, -1], np.int64)
    assert outputs(worker, made, tmp_path / "out", {"file:0/x": x, "n": n})["file"].tolist() == [
        [[0, 10, 20]],
        [[-3, -4, -5]],
    ]


def test_dynamic_shapes_are_fixed(worker: Worker, tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": ("float32", ("n", "t"))}, ["y"]
    )
    made = build(worker, direct(described(worker, path, {"x": (1, 7)}), path, "float32"), tmp_path / "out")
    assert made.signature.inputs[0].shape == (1, 7)
    assert "-1" not in (tmp_path / "out" / "model.xml").read_text()


def test_outputs_whose_shape_depends_on_data_are_refused(worker: Worker, tmp_path: Path, waist: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    path = onnx_file(tmp_path / "m.onnx", nodes, {"x": ("float32", (1, 4))}, ["y"])
    fake = networks.signature(networks.element_wise(tmp_path / "w.tflite", "RELU"))
    job = direct(SimpleNamespace(signature=Signature(inputs=(), outputs=fake.outputs)), path, "float32")  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match=r"inputs of m.onnx|NonZero"):
        worker.call("backends", "openvino", "build", job=job, file="model.xml", out=tmp_path)


def test_what_openvino_cannot_read_comes_through_the_waist_and_says_why(
    worker: Worker, waist: Path, tmp_path: Path
) -> None:
    mystery = helper.make_node("Mystery", ["image"], ["probabilities"], domain="com.example")
    path = onnx_file(tmp_path / "m.onnx", [mystery], {"image": ("float32", (1, 8, 8, 3))}, ["probabilities"])
    fields = msgspec.structs.asdict(networks.job(waist, "float32")) | {"source": str(path), "source_format": "onnx"}
    made = build(worker, Job(**fields), tmp_path / "out")
    assert made.notes[0] == "OpenVINO read the TFLite waist"
    assert "com.example.Mystery" in made.notes[1]
    with pytest.raises(Unsupported, match=r"cannot read m.onnx: .*com.example.Mystery") as info:
        worker.call(
            "backends", "openvino", "build", job=Job(**fields | {"waist": None}), file="model.xml", out=tmp_path
        )
    assert info.value.fix


MODELS = ["FastestDet", "basic_pitch_nmp", "deeploy_autoencoder1d", "deeploy_cct_2_32_32_128_op20", "dtln_model_1",
          "espcn_subpixel_float", "mnist-8_cntk", "ppocrv4_cls", "silero_vad_v5_16k_op15", "super_resolution_10",
          "tract_byte_sb_bidi_lstm", "tract_keras_tf2_example", "ultraface_version-RFB-320_without_postprocessing",
          "ultraface_version-slim-320"]  # fmt: skip
SIBLINGS = {"basic_pitch_nmp", "super_resolution_10", "ultraface_version-RFB-320_without_postprocessing"}
"""Dear ones that show no more than others; a study builds them."""


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.study, pytest.mark.long] if name in SIBLINGS else []) for name in MODELS],
)
def test_real_onnx_models_are_read_directly_and_agree_with_onnx_runtime(
    worker: Worker, shared: Path, tmp_path: Path, name: str
) -> None:
    path = shared / "models" / "onnx" / f"{name}.onnx"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    options = SourceOptions(shapes=SHAPES.get(name, {}))
    model = described(worker, path, SHAPES.get(name))
    inputs = samples.random(model.signature, 4).inputs
    if "sr" in inputs:
        inputs["sr"] = np.full(4, 16000, np.int64)
    expected = reference(worker, path, options, inputs, tmp_path)
    made = build(worker, direct(model, path, "float32"), tmp_path / "out")
    judged = verify.judge(
        verify.Case(precision="float32", origin="random"), expected, outputs(worker, made, tmp_path / "out", inputs)
    ).verification
    assert judged.verdict == "pass", judged.reason
    assert made.notes == ("OpenVINO read the source",)
    assert all(spec.permutation is None for spec in (*made.signature.inputs, *made.signature.outputs))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


# --- traps of the libraries --------------------------------------------------------------------


@pytest.mark.shared
def test_recurrent_networks_keep_their_accuracy_in_int8(worker: Worker, shared: Path, tmp_path: Path) -> None:
    """OpenVINO's int8 LSTM kernel gave 2.6 dB on this network."""
    path = shared / "models" / "onnx" / "dtln_model_1.onnx"
    model = described(worker, path)
    calibration = samples.random(model.signature, 32)
    calibration.save(tmp_path / "c.npz")
    expected = reference(worker, path, SourceOptions(), calibration.inputs, tmp_path)
    floats = build(worker, direct(model, path, "float32"), tmp_path / "float32")
    wishes = {"weights": "nearest", "equalization": "off"}
    job = direct(model, path, "int8", calibration=str(tmp_path / "c.npz"), settings=wishes)
    made = build(worker, job, tmp_path / "out")
    found = outputs(worker, made, tmp_path / "out", calibration.inputs)
    assert min(tensors.sqnr_db(expected[name], found[name]) for name in expected) > 30
    assert any("recurrent operators stay float" in note for note in made.notes)
    size = [(tmp_path / folder / "model.bin").stat().st_size for folder in ("out", "float32")]
    assert size[0] < 0.55 * size[1], floats.files


@pytest.mark.study
@pytest.mark.shared
def test_attention_is_quantized_as_a_transformer(worker: Worker, shared: Path, waist: Path, tmp_path: Path) -> None:
    path = shared / "models" / "onnx" / "deeploy_cct_2_32_32_128_op20.onnx"
    model = described(worker, path)
    samples.random(model.signature, 8).save(tmp_path / "c.npz")
    made = build(worker, direct(model, path, "int8", calibration=str(tmp_path / "c.npz")), tmp_path / "cct")
    assert any("quantized as a transformer" in note for note in made.notes)
    assert '<model_type value="transformer" />' in (tmp_path / "cct" / "model.xml").read_text()
    assert not any("transformer" in note for note in build(worker, calibrated(waist), tmp_path / "cnn").notes)


def test_a_network_without_anything_to_quantize_says_so(worker: Worker, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": ("float32", (1, 4))}, ["y"])
    model = described(worker, path)
    samples.random(model.signature, 8).save(tmp_path / "c.npz")
    made = build(worker, direct(model, path, "int8", calibration=str(tmp_path / "c.npz")), tmp_path / "out")
    assert any("computes in float" in note for note in made.notes)


@pytest.mark.shared
def test_an_epsilon_survives_float16(worker: Worker, shared: Path, tmp_path: Path) -> None:
    """The 1e-10 under basic_pitch's logarithm is 0 in float16."""
    path = shared / "models" / "onnx" / "basic_pitch_nmp.onnx"
    model = described(worker, path, SHAPES["basic_pitch_nmp"])
    made = build(worker, direct(model, path, "float16"), tmp_path / "out")
    constants = [
        n.data for n in CORE.read_model(tmp_path / "out" / "model.xml").get_ops() if n.get_type_name() == "Constant"
    ]
    assert any(c.dtype == np.float32 and c.size == 1 and np.isclose(c.item(), 1e-10, atol=0) for c in constants)
    assert any(c.dtype == np.float16 for c in constants), made.files


@given(hnp.arrays(np.float32, st.integers(1, 2000), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
@settings(max_examples=100)
def test_float16_keeps_what_it_can_hold(values: Any) -> None:
    with np.errstate(over="ignore"):
        held = values.astype(np.float16).astype(np.float64)
    exact = values.astype(np.float64)
    good = values.size >= SMALLEST and (np.array_equal(held, exact) or tensors.sqnr_db(exact, held) >= FLOOR_DB)
    assert loses(values) != good


CALM = """
import os, socket, sys
def refuse(*args, **kwargs): os._exit(9)  # it tried to reach the network
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from pathlib import Path
import numpy as np
from edgekit import samples
sys.path.insert(0, sys.argv[1])
from tests import networks
from edgekit.backends.openvino import OpenVINOBackend
here = Path(sys.argv[2])
waist = networks.classifier(here / "waist.tflite")
given = networks.samples(networks.signature(waist), 16)
job = networks.job(waist, "int8", calibration=given, settings={"equalization": "off"})
OpenVINOBackend().build(job, "model.xml", here)
assert "openvino_telemetry.main" not in sys.modules
"""


def test_it_neither_calls_home_nor_talks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CALM, str(Path(networks.__file__).parent), str(tmp_path)],
        env={k: v for k, v in os.environ.items() if k != "CI"} | {"HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "━" not in done.stderr
    assert not list(home.iterdir())


# --- the NPU -----------------------------------------------------------------------------------


def npu(waist: Path, **wishes: Any) -> Job:
    return calibrated(waist, target_device="NPU", **wishes)


def test_without_a_compiler_the_reason_says_what_would_help(worker: Worker, waist: Path, tmp_path: Path) -> None:
    made = build(worker, npu(waist, npu_platform="4000"), tmp_path / "out")
    if "compiled" not in made.unavailable:
        assert made.files[2] == "model.blob"  # this machine has an NPU, or its compiler
        return
    assert "libopenvino_intel_npu_compiler_loader" in made.unavailable["compiled"]
    assert "driver" in made.unavailable["compiled"]
    assert {place.runs_on for place in made.placements} == {"NPU"}
    assert not any(place.status for place in made.placements)


@pytest.mark.parametrize(
    ("nodes", "operator", "reason"),
    [
        ([helper.make_node("Softsign", ["x"], ["y"])], "SoftSign", "not in the table"),
        (
            [
                helper.make_node("Constant", [], ["s"], value_ints=[1, 1, 1, 2, 1, 2]),
                helper.make_node("Reshape", ["x", "s"], ["r"]),
                helper.make_node("Transpose", ["r"], ["y"], perm=[0, 1, 2, 5, 4, 3]),
            ],
            "Transpose",
            "has 6 dimensions; the NPU compiler takes 5",
        ),
    ],
)
def test_operators_that_the_npu_compiler_does_not_take_are_named(
    worker: Worker, tmp_path: Path, nodes: list[Any], operator: str, reason: str
) -> None:
    path = onnx_file(tmp_path / "m.onnx", nodes, {"x": ("float32", (1, 4))}, ["y"])
    job = direct(described(worker, path), path, "float16", settings={"target_device": "NPU"})
    made = build(worker, job, tmp_path / "out")
    (place,) = [place for place in made.placements if place.operator == operator]
    assert place.runs_on == "?"
    assert reason in place.status
    assert any("the NPU may refuse" in note and operator in note for note in made.notes)


class Compiler:
    """Stands in for OpenVINO's core where there is an NPU, or where its compiler fails."""

    def __init__(self, devices: list[str], answer: Callable[[], bytes]) -> None:
        self.available_devices = devices
        self.asked: list[dict[str, str]] = []
        self._answer = answer

    def compile_model(self, model: object, device: str, wishes: dict[str, str]) -> Any:
        assert device == "NPU"
        self.asked.append(wishes)
        blob = self._answer()
        return SimpleNamespace(export_model=lambda: blob)


def refusing(message: str) -> Callable[[], bytes]:
    def answer() -> bytes:
        raise RuntimeError(message)

    return answer


def test_a_compiler_that_is_there_writes_the_blob(tmp_path: Path) -> None:
    here, offline = Compiler(["CPU", "NPU"], lambda: b"blob"), Compiler(["CPU"], lambda: b"blob")
    assert compile_blob(here, object(), "4000", tmp_path / "here.blob") == ""
    assert compile_blob(offline, object(), "4000", tmp_path / "offline.blob") == ""
    assert (tmp_path / "here.blob").read_bytes() == (tmp_path / "offline.blob").read_bytes() == b"blob"
    assert here.asked == [{}], "the NPU that is present decides"
    assert offline.asked == [{"NPU_COMPILER_TYPE": "PLUGIN", "NPU_PLATFORM": "4000"}]


@pytest.mark.parametrize(
    ("devices", "platform", "message", "reason"),
    [
        (["CPU"], "", "", "no NPU is present and the target names no npu_platform"),
        (["CPU"], "4000", 'Cannot load library "libopenvino_intel_npu_compiler_loader.so"', "is not installed here"),
        (
            ["CPU", "NPU"],
            "",
            "Exception from x.cpp:1:\nCheck 'a' failed\nRank 6 is not supported",
            "Rank 6 is not supp",
        ),
    ],
)
def test_a_compiler_that_fails_gives_its_reason(
    tmp_path: Path, devices: list[str], platform: str, message: str, reason: str
) -> None:
    told = compile_blob(Compiler(devices, refusing(message)), object(), platform, tmp_path / "m.blob")
    assert reason in told
    assert not (tmp_path / "m.blob").exists()
