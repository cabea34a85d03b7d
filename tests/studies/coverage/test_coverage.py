"""The floor of the coverage table: what built once must go on building."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from tests.studies.coverage.cases import Case, found, inputs, kind
from tests.studies.coverage.page import markdown
from tests.studies.coverage.rows import Outcome, Row, measure
from tests.watchdog import Watchdog, children, held_bytes

SECONDS = 120.0
"""Limit for one model in one precision."""

INT8_FLOOR_DB = {
    "mlperf_tiny/ad01.h5": 24,
    "mlperf_tiny/kws_ref_model": 39,
    "mlperf_tiny/pretrainedResnet.h5": 20,
    "mlperf_tiny/pretrainedResnet.tflite": 20,
    "mlperf_tiny/str_ww_ref_model.h5": 44,
    "mlperf_tiny/vww_96.h5": 49,
    "keras/basic_pitch_nmp_savedmodel": 11,
    "keras/fer2013_mini_XCEPTION.119-0.65.hdf5": 27,
    "keras/fiit_lstm1.keras": 25,
    "keras/gesture_keypoint_classifier.hdf5": 38,
    "keras/gesture_point_history_classifier.hdf5": 36,
    "keras/mlia_simple_mnist_convnet_non_quantized.h5": 34,
    "keras/nncf_LeNet.h5": 31,
    "keras/tiny_XCEPTION_KDEF.hdf5": 37,
    "onnx/basic_pitch_nmp.onnx": 11,
    "onnx/deeploy_autoencoder1d.onnx": 40,
    "onnx/deeploy_cct_2_32_32_128_op20.onnx": 28,
    "onnx/dtln_model_1.onnx": 22,
    "onnx/espcn_subpixel_float.onnx": 34,
    "onnx/FastestDet.onnx": 13,
    "onnx/mnist-8_cntk.onnx": 29,
    "onnx/ppocrv4_cls.onnx": 23,
    "onnx/silero_vad_v5_16k_op15.onnx": 2,
    "onnx/super_resolution_10.onnx": 22,
    "onnx/tract_byte_sb_bidi_lstm.onnx": 35,
    "onnx/tract_keras_tf2_example.onnx": 38,
    "onnx/ultraface_version-RFB-320_without_postprocessing.onnx": 10,  # of the boxes on noise, the worst branch
    "onnx/ultraface_version-slim-320.onnx": 39,
    "tflite/basic_pitch_nmp.tflite": 10,
    "tflite/dtln_model_1.tflite": 22,
    "tflite/gesture_keypoint_classifier.tflite": 38,
    "tflite/gesture_point_history_classifier.tflite": 44,
}
"""Every real model that is not quantized already, with the SQNR in dB that its int8 must reach on sampled inputs: the
page's figures less four or more (less one for Silero, which is poor on noise)."""

OPERATORS = (
    "Abs_11", "Abs_var_11", "Add_11", "Add_broadcast_11", "Add_var_11", "ArgMax_17", "ArgMax_17_opt", "Atan_11",
    "AvgPool1D", "AvgPool2D", "Cast_11", "Clip_11", "Clip_inf_11", "Clip_var_11", "Col2Im_18", "Concat_11",
    "Concat_var_11", "GridSample_11", "GridSample_16", "GroupNormalization_11", "GroupNormalization_18",
    "GroupNormalization_21", "HardSwish_14", "If_p3_11", "InstanceNormalization", "LSTM.tanh.bidirectional",
    "LayerNormalization1D_11", "LayerNormalization1D_17", "LayerNormalization2D_11", "LayerNormalization2D_17",
    "LayerNormalization3D_11", "LayerNormalization3D_17", "Loop_11", "Loop_16", "Loop_1_16", "STFT_17", "Squeeze_11",
    "Squeeze_all_13", "Unsqueeze_const_11",
)  # fmt: skip
"""Files of ``onnx_ops`` that must build in float32; the command tries all 66."""

NAMED = {
    "onnx_invalid/deeploy_mlperf_ic.onnx": "RequantShift",
    "onnx_invalid/superres_prepost_op18_customops.onnx": "com.microsoft.extensions",
}
"""What the refusal of an invalid file must name."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("coverage")
    with Session(Store(folder / "cache"), folder / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Case]:
    return {case.name: case for case in found(shared)}


def excused(row: Row) -> str:
    return "; ".join(f"{precision}: {outcome.reason}" for precision, outcome in row.outcomes.items() if outcome.reason)


@pytest.mark.shared
@pytest.mark.parametrize("name", INT8_FLOOR_DB)
def test_a_model_builds_in_float32_and_int8(
    name: str, session: Session, cases: dict[str, Case], tmp_path: Path
) -> None:
    row = measure(session, cases[name], tmp_path, SECONDS, ("float32", "int8"))
    assert not excused(row)
    assert (row.outcomes["float32"].sqnr_db or 0) >= 60
    assert (row.outcomes["int8"].sqnr_db or 0) >= INT8_FLOOR_DB[name]


@pytest.mark.long  # tests/sources/onnx/test_onnx_shared.py converts them in every run of CI
@pytest.mark.shared
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_builds_in_float32(name: str, session: Session, cases: dict[str, Case], tmp_path: Path) -> None:
    row = measure(session, cases[f"onnx_ops/{name}.onnx"], tmp_path, SECONDS, ("float32",))
    assert not excused(row)
    assert (row.outcomes["float32"].sqnr_db or 0) >= 60


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMED)
def test_an_invalid_model_is_refused_by_operator_or_domain(
    name: str, session: Session, cases: dict[str, Case], tmp_path: Path
) -> None:
    (outcome,) = measure(session, cases[name], tmp_path, SECONDS, ("float32",)).outcomes.values()
    assert outcome.exit_code in {2, 4}
    assert NAMED[name] in outcome.reason


@pytest.mark.shared
def test_every_real_model_is_in_the_floor_or_quantized_already(cases: dict[str, Case], session: Session) -> None:
    real = {name for name in cases if name.partition("/")[0] in {"mlperf_tiny", "keras", "onnx", "tflite"}}
    rest = sorted(real - {*INT8_FLOOR_DB})
    assert rest == [
        "mlperf_tiny/ad01_int8.tflite",
        "mlperf_tiny/kws_ref_model.tflite",
        "mlperf_tiny/kws_ref_model_float32.tflite",
        "mlperf_tiny/pretrainedResnet_quant.tflite",
        "mlperf_tiny/str_ww_ref_model.tflite",
        "mlperf_tiny/vww_96_int8.tflite",
    ]
    assert sum(name.startswith("onnx_ops/") for name in cases) == 66


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_the_watchdog_ends_what_takes_too_long() -> None:
    others = children(os.getpid())  # servers of other tests
    with sleeper() as child, Watchdog(0.1, 1 << 40, others) as watchdog:
        assert child.wait(timeout=20) < 0
    assert "took more than 0 s" in watchdog.why


def test_the_watchdog_ends_what_takes_too_much_memory() -> None:
    others = children(os.getpid())
    with sleeper() as child, Watchdog(60, 1, others) as watchdog:
        assert child.wait(timeout=20) < 0
    assert "of memory" in watchdog.why
    assert watchdog.peak_bytes > 1


def test_children_are_found_and_weighed() -> None:
    with sleeper() as child:
        assert child.pid in children(os.getpid())
        assert held_bytes(child.pid) > 0
        child.kill()
    assert held_bytes(child.pid) == 0


def test_the_page_shows_figures_reasons_and_no_machine_paths() -> None:
    good = Outcome(float("999"), 0)
    poor = Outcome(20.04, 0, note="quantized by LiteRT; stays float32: DIV")
    refused = Outcome(None, 4, "No way (/some/where/net.onnx)")
    page = markdown(
        [
            Row("keras/a.h5", "hdf5", "16 × normal", {"float32": good, "int8": poor}),
            Row("onnx/b.onnx", "onnx", "1 × normal", {"float32": refused}),
        ]
    )
    assert "| a.h5 | hdf5 | 16 × normal | exact | 20.0 | stays float32: DIV |" in page
    assert "| b.onnx | onnx | 1 × normal | – | – | float32: No way (net.onnx) (exit 4) |" in page
    assert "| Keras | 1 | 1 | 1 |" in page
    assert "| ONNX | 1 | 0 | 0 |" in page


@pytest.mark.shared
def test_sampled_inputs_are_always_the_same(cases: dict[str, Case], session: Session) -> None:
    from edgekit.nouns.model import SourceOptions  # noqa: PLC0415
    from edgekit.steps import reading  # noqa: PLC0415

    case = cases["mlperf_tiny/pretrainedResnet.tflite"]
    signature = reading.open_network(session, case.path, SourceOptions()).model.signature
    (first,), (second,) = (inputs(case, signature).values() for _ in range(2))
    assert (first == second).all()
    assert kind(case, signature.inputs[0]) == "uniform 0..255"
    assert 250 < first.max() <= 255
