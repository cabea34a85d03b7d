"""Models in the shape of public problem reports: each comes out as is right, on samples of its own, and in an app's loop."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.nouns.manifest import Manifest
from edgekit.verbs import build as verb
from edgekit.waist import run
from tests.studies.coverage.cases import Case, found
from tests.studies.coverage.rows import measure

pytestmark = pytest.mark.shared

SECONDS = 240.0

RIGHT = {
    "cnn_qdq.onnx": 40,  # its own integers
    "cnn_qdyn.onnx": 30,
    "gridsample.onnx": 30,  # coordinates stay float
    "input_is_output.keras": 35,
    "lstm_memory.keras": 34,
    "mask_add_100_works.onnx": 28,
    "mask_add_1e4.onnx": 28,  # as with -100
    "mask_add_1e9.onnx": 25,
    "mask_padding_input.onnx": 25,
    "mel_frontend.onnx": 30,  # the front end stays float by itself
    "mixed_float16.keras": 38,
    "normalize_add.onnx": 38,
    "normalize_clip.onnx": 37,
    "prelu_full_slope.onnx": 32,
    "resize_antialias.onnx": 33,
    "resize_nearest_x1.5.onnx": 34,
    "rms_divisor.onnx": 27,  # the divisor stays float
    "rnn.keras": 30,
    "same_tensor_twice.keras": 38,
    "sat.keras": 35,
    "scatternd.onnx": 23,
    "split_concat.onnx": 40,
    "uint8_rescaling.keras": 42,
    "unit_norm.keras": 36,
    "yolo_concat.onnx": 27,  # of the scores, the worse part
}
"""The least SQNR in dB of the android int8 file; the float32 file has at least 110."""

ROUNDED = {"cnn_qdyn.onnx": 40}
"""Sources that round activations anew at every run: the least SQNR in dB of the float32 file, which does not."""

REFUSED = {
    "integer_lookup.keras": r"integer_lookup \(IntegerLookup",
}
"""What cannot be had, and what the refusal names."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("reported")
    with Session(Store(folder / "cache"), folder / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Case]:
    return {case.path.name: case for case in found(shared, ("reported",))}


def build(session: Session, case: Case, out: Path, **options: object) -> Manifest:
    project = Project(calibration=str(case.samples), output_folder=str(out), **options)  # type: ignore[arg-type]
    (result,) = verb.build(session, project, case.path)
    assert result.manifest is not None, result.error
    return result.manifest


def test_every_model_has_its_right_value(cases: dict[str, Case]) -> None:
    assert {*RIGHT, *REFUSED} == {*cases}


@pytest.mark.parametrize("name", RIGHT)
def test_it_builds_and_computes_what_its_source_computes(
    name: str, session: Session, cases: dict[str, Case], tmp_path: Path
) -> None:
    row = measure(session, cases[name], tmp_path, SECONDS, ("float32", "int8"))
    single, integer = row.outcomes["float32"], row.outcomes["int8"]
    assert (single.sqnr_db or 0) >= ROUNDED.get(name, 110), single.reason
    assert (integer.sqnr_db or 0) >= RIGHT[name], integer.reason
    assert single.verdict.startswith("pass")
    assert integer.verdict.startswith("pass")


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name: str, session: Session, cases: dict[str, Case], tmp_path: Path) -> None:
    outcome = measure(session, cases[name], tmp_path, SECONDS, ("float32",)).outcomes["float32"]
    assert outcome.exit_code == 4
    assert re.search(REFUSED[name], outcome.reason)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", ["normalize_clip.onnx", "normalize_add.onnx", "unit_norm.keras", "rms_divisor.onnx"])
def test_silence_gives_no_nan(
    name: str, precision: str, session: Session, cases: dict[str, Case], tmp_path: Path
) -> None:
    build(session, cases[name], tmp_path / "out", targets=("android",), precision=precision, io="float32" if precision == "int8" else None)  # fmt: skip
    (file,) = (tmp_path / "out").glob("*.tflite")
    shapes = {detail["name"]: detail["shape"] for detail in run.interpreter(file).get_input_details()}
    outputs = run.run(file, {key: np.zeros((3, *shape), np.float32) for key, shape in shapes.items()})
    assert all(np.isfinite(values).all() for values in outputs.values())


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", ["lstm_memory.keras", "rnn.keras"])
def test_every_run_begins_without_memory(
    name: str, precision: str, session: Session, cases: dict[str, Case], tmp_path: Path
) -> None:
    build(session, cases[name], tmp_path / "out", targets=("android",), precision=precision, io="float32" if precision == "int8" else None)  # fmt: skip
    (file,) = (tmp_path / "out").glob("*.tflite")
    (detail,) = run.interpreter(file).get_input_details()
    sample = np.random.default_rng(0).standard_normal(detail["shape"]).astype(np.float32)
    other = np.full(detail["shape"], 3, np.float32)
    (values,) = run.run(file, {detail["name"]: np.stack([sample, other, sample, sample])}).values()
    assert (values[0] == values[2]).all()
    assert (values[0] == values[3]).all()


@pytest.mark.parametrize("name", ["uint8_rescaling.keras", "yolo_concat.onnx", "sat.keras", "input_is_output.keras"])
def test_it_builds_for_the_edge_tpu(name: str, session: Session, cases: dict[str, Case], tmp_path: Path) -> None:
    (file,) = build(session, cases[name], tmp_path / "out", targets=("edgetpu",)).artifacts
    assert file.verification is not None
    assert file.verification.verdict == "pass"
