"""Third-party ONNX models: all real ones convert faithfully, single operators too or for a stated reason not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.waist.tensors import Array
from tests.sources.onnx.onnx_proof import assert_faithful, computed, convert, expected, sqnr_db

pytestmark = [pytest.mark.shared, pytest.mark.slow, pytest.mark.study]

REAL = {
    "FastestDet": {},
    "basic_pitch_nmp": {},
    "deeploy_autoencoder1d": {},
    "deeploy_cct_2_32_32_128_op20": {},
    "dtln_model_1": {},
    "espcn_subpixel_float": {},
    "mnist-8_cntk": {},
    "ppocrv4_cls": {"x": (1, 3, 48, 192)},
    "silero_vad_v5_16k_op15": {"input": (1, 512)},
    "super_resolution_10": {},
    "tract_byte_sb_bidi_lstm": {"input": (1, 20)},
    "tract_keras_tf2_example": {},
    "ultraface_version-RFB-320_without_postprocessing": {},
    "ultraface_version-slim-320": {},
}
"""Model → the shapes that its dynamic dimensions need."""

STEERED = "an input's value decides about shapes"
REFUSED = {
    "BatchNorm1D_15": "training mode: ONNX Runtime's own result differs from run to run",
    "BatchNorm2D_15": "training mode: ONNX Runtime's own result differs from run to run",
    "BatchNorm3D_15": "training mode: ONNX Runtime's own result differs from run to run",
    "DFT_17": STEERED,
    "DFT_17_irfft": "ONNX and ONNX Runtime make two different things of it",
    "DFT_17_onesided": STEERED,
    "DFT_20": STEERED,
    "DFT_20_irfft": "ONNX and ONNX Runtime make two different things of it",
    "DFT_20_onesided": STEERED,
    "DeformConv_19": "ONNX Runtime refuses it: the offsets have too few channels",
    "If_p1_11": "the branches give different shapes",
    "If_p2_11": "its output is a sequence",
    "Inverse_11": "the inverse of 224 × 224 matrices, which float32 does not hold to 60 dB",
    "Loop_2_16": STEERED,
    "Loop_3_16": STEERED,
    "Squeeze_var_13": STEERED,
    "StringNormalizer_model_monday_casesensintive_nochangecase": "strings",
    "StringNormalizer_strnorm_model_monday_casesensintive_lower": "strings",
    "StringNormalizer_strnorm_model_monday_casesensintive_upper": "strings",
    "StringNormalizer_strnorm_model_monday_empty_output": "strings",
    "StringNormalizer_strnorm_model_monday_insensintive_upper_twodim": "strings",
    "StringNormalizer_strnorm_model_nostopwords_nochangecase": "strings",
    "Unsqueeze_var_13": STEERED,
}
"""Single-operator models that are Unsupported, each with its reason."""

OPERATOR_SHAPES = {"LSTM.tanh.bidirectional": {"Input3": (7, 1, 2)}}


def models(shared: Path, folder: str) -> set[str]:
    return {path.stem for path in (shared / "models" / folder).glob("*.onnx")}


def test_the_list_of_real_models_is_complete(shared: Path) -> None:
    assert set(REAL) == models(shared, "onnx")


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_models_convert_faithfully(name: str, worker: Worker, shared: Path, tmp_path: Path) -> None:
    options = SourceOptions(shapes=REAL[name])
    assert_faithful(worker, shared / "models" / "onnx" / f"{name}.onnx", tmp_path, options)


def references(shared: Path, name: str) -> tuple[dict[str, Array], list[Array]]:
    """Inputs by name and outputs in order, as the model's own authors recorded them."""
    refs = shared / "models" / "onnx" / "refs"
    model = onnx.load(shared / "models" / "onnx" / f"{name}.onnx")
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in known]
    if name.startswith("mnist"):
        read = [onnx.TensorProto.FromString((refs / f"mnist_{side}_0.pb").read_bytes()) for side in ("input", "output")]
        arrays = [numpy_helper.to_array(tensor) for tensor in read]
        return {inputs[0]: arrays[0][None]}, [arrays[1]]
    with np.load(refs / f"{name}_inputs.npz") as x, np.load(refs / f"{name}_outputs.npz") as y:
        # what follows the inputs in such a file are the weights
        return {n: x[k][None] for n, k in zip(inputs, x.files, strict=False)}, [y[k] for k in y.files]


@pytest.mark.parametrize("name", ["mnist-8_cntk", "deeploy_autoencoder1d", "deeploy_cct_2_32_32_128_op20"])
def test_the_authors_recorded_outputs_come_out(name: str, worker: Worker, shared: Path, tmp_path: Path) -> None:
    samples, recorded = references(shared, name)
    waist = convert(worker, shared / "models" / "onnx" / f"{name}.onnx", tmp_path / "waist")
    got = computed(waist, tmp_path / "waist", {k: v.astype(np.float32) for k, v in samples.items()})
    for value, wanted in zip(got.values(), recorded, strict=True):
        assert sqnr_db(wanted.reshape(value[0].shape), value[0]) >= 60


def test_every_refusal_belongs_to_a_model(shared: Path) -> None:
    assert set(REFUSED) <= models(shared, "onnx_ops")


@pytest.fixture(scope="module")
def operators(shared: Path, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of every model of ``onnx_ops``: ``""`` or why it was refused."""
    became = {}
    for name in sorted(models(shared, "onnx_ops")):
        path, folder = shared / "models" / "onnx_ops" / f"{name}.onnx", tmp_path_factory.mktemp("op")
        try:
            assert_faithful(worker, path, folder, SourceOptions(shapes=OPERATOR_SHAPES.get(name, {})))
            became[name] = ""
        except Unsupported as error:
            became[name] = error.problem
    return became


@pytest.mark.study
def test_single_operators_convert_or_are_refused_as_listed(operators: dict[str, str]) -> None:
    assert {name for name, reason in operators.items() if reason} == set(REFUSED)


@pytest.mark.study
def test_refusals_name_the_operator_or_the_input(operators: dict[str, str]) -> None:
    named = {"BatchNorm1D_15": "BatchNormalization", "If_p1_11": "If ", "Inverse_11": "Inverse", "DFT_20": "dft_length",
             "Loop_2_16": "Loop", "StringNormalizer_strnorm_model_monday_empty_output": "StringNormalizer",
             "Squeeze_var_13": "onnx::Unsqueeze_1"}  # fmt: skip
    for name, word in named.items():
        assert word in operators[name]


def test_state_goes_in_and_out(worker: Worker, shared: Path, tmp_path: Path) -> None:
    """Silero's state, fed back over three chunks, stays that of ONNX Runtime."""
    path = shared / "models" / "onnx" / "silero_vad_v5_16k_op15.onnx"
    options = SourceOptions(shapes={"input": (1, 512)})
    waist = convert(worker, path, tmp_path / "waist", options)
    random = np.random.default_rng(3)
    states: list[Array] = [np.zeros((1, 2, 1, 128), np.float32)] * 2
    for _ in range(3):
        chunk = {"input": random.standard_normal((1, 1, 512)).astype(np.float32), "sr": np.asarray([16000])}
        reference = expected(worker, path, tmp_path, {**chunk, "state": states[0]}, options)
        got = computed(waist, tmp_path / "waist", {**chunk, "state": states[1]})
        states = [reference["stateN"], got["stateN"]]
        assert sqnr_db(reference["output"], got["output"]) >= 60
    assert sqnr_db(states[0], states[1]) >= 60
