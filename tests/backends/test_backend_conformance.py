"""What every backend must do, whichever it is: built-in leaves are found by their file name."""

import ast
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from edgekit.engine import registry
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Built
from edgekit.nouns.model import CALIBRATED, Precision, Signature
from tests import networks

ENOUGH_DB = {"float32": 60, "float16": 40, "dynamic-int8": 20, "int4": 5, "int8": 15, "int16x8": 20}
"""The least agreement of a tiny classifier with its waist; far below what is usual, far above a wrong layout."""

BASES = {"edgetpu": "tflite"}
"""Backends that compile another one's file further."""


def precisions(backend: str) -> tuple[str, ...]:
    """What a backend declares, read without importing it: its libraries are heavy, and warn while they load."""
    room = Path(registry.__file__).parents[1] / "backends"
    file = room / backend / "__init__.py"
    tree = ast.parse((file if file.is_file() else room / f"{backend}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "precisions" and node.value:
            declared: tuple[str, ...] = ast.literal_eval(node.value)
            return declared
    raise LookupError(f"{file} declares no precisions")


def build(worker: Worker, backend: str, precision: str, folder: Path, **fields: Any) -> tuple[Built, Path]:
    """Build a tiny classifier whose source has channels first."""
    folder.mkdir(exist_ok=True)
    waist = networks.classifier(folder / "waist.tflite")
    calibration = networks.samples(networks.signature(waist, nchw=True), 48)
    job = networks.job(waist, precision, nchw=True, calibration=calibration, **fields)
    if base := BASES.get(backend):
        (folder / "base").mkdir(exist_ok=True)
        first = worker.call("backends", base, "build", job=job, file="base.tflite", out=folder / "base")
        job = msgspec.structs.replace(job, waist=str(folder / "base/base.tflite"), signature=first.signature)
    out = folder / "out"
    out.mkdir()
    suffix = ".xml" if backend == "openvino" else ".tflite"
    return worker.call("backends", backend, "build", job=job, file=f"model{suffix}", out=out), out


def cases() -> list[Any]:
    return [
        pytest.param((backend, precision), id=f"{backend}-{precision}")
        for backend in registry.names("backends")
        for precision in precisions(backend)
    ]


@pytest.fixture(scope="module", params=cases())
def case(request: pytest.FixtureRequest, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A backend, a precision that it declares, what it built, and the folder that it was given."""
    backend, precision = request.param
    folder = tmp_path_factory.mktemp(f"{backend}-{precision}")
    made, out = build(worker, backend, precision, folder)
    return backend, precision, made, out


def test_declared_precisions_are_known() -> None:
    for backend in registry.names("backends"):
        assert set(precisions(backend)) <= set(get_args(Precision))


def test_every_file_is_named_and_no_other_is_there(case: Any) -> None:
    _, _, made, out = case
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert set(made.files) == found
    assert made.files
    assert not [path for path in out.rglob("*") if path.is_dir()]


def test_the_source_side_of_the_signature_is_untouched(case: Any) -> None:
    _, _, made, out = case
    asked = networks.signature(out.parent / "waist.tflite", nchw=True)

    def source_side(signature: Signature) -> list[Any]:
        return [
            (spec.source_name, spec.source_shape, spec.source_dtype, spec.source_layout)
            for spec in (*signature.inputs, *signature.outputs)
        ]

    assert source_side(made.signature) == source_side(asked)


def test_a_scale_comes_with_a_zero_point_and_an_integer_dtype(case: Any) -> None:
    _, _, made, _ = case
    for spec in (*made.signature.inputs, *made.signature.outputs):
        assert (spec.scale is None) == (spec.zero_point is None)
        assert spec.scale is None or spec.scale > 0
        assert (spec.scale is not None) == np.issubdtype(np.dtype(spec.dtype), np.integer)


def test_the_artifact_speaks_the_sources_language(case: Any, worker: Worker) -> None:
    backend, precision, made, out = case
    inputs = networks.samples(made.signature, 12, seed=5)
    folder = out.parent
    np.savez(folder / "inputs.npz", **inputs)
    results = []
    waist = networks.signature(folder / "waist.tflite", nchw=True)
    for leaf, artifact, signature in (
        ("tflite", folder / "waist.tflite", waist),
        (backend, out / made.files[0], made.signature),
    ):
        worker.call(
            "backends", leaf, "run", artifact=artifact, signature=signature,
            inputs=folder / "inputs.npz", outputs=folder / "outputs.npz",
        )  # fmt: skip
        with np.load(folder / "outputs.npz") as found:
            results.append(dict(found))
    assert results[1].keys() == {"source_probabilities"}
    wanted, got = (result["source_probabilities"].astype(np.float64) for result in results)
    assert got.shape == wanted.shape == (12, 1, 5)
    noise = max(float(((wanted - got) ** 2).sum()), 1e-30)
    assert 10 * np.log10(float((wanted**2).sum()) / noise) > ENOUGH_DB[precision]


def test_placements_name_operators_in_order(case: Any) -> None:
    _, _, made, _ = case
    assert all(placement.operator and placement.runs_on for placement in made.placements)
    assert [placement.index for placement in made.placements] == sorted(p.index for p in made.placements)


def test_tools_have_versions(case: Any) -> None:
    _, _, made, _ = case
    assert all(version[0].isdigit() for version in made.tools.values())


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        (backend, precision)
        for backend in registry.names("backends")
        for precision in sorted(CALIBRATED.intersection(precisions(backend)))
        if backend not in BASES
    ],
)
def test_missing_calibration_is_the_users_to_mend(backend: str, precision: str, worker: Worker, tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "waist.tflite")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError) as caught:
        worker.call("backends", backend, "build", job=networks.job(waist, precision), file="model.tflite", out=out)
    assert caught.value.fix
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("backend", registry.names("backends"))
def test_a_file_that_cannot_be_run_is_refused(backend: str, worker: Worker, tmp_path: Path) -> None:
    broken = tmp_path / ("model.xml" if backend == "openvino" else "model.tflite")
    broken.write_bytes(b"\x1c\0\0\0TFL3 this is no model")
    waist = networks.classifier(tmp_path / "waist.tflite")
    signature = networks.signature(waist)
    np.savez(tmp_path / "inputs.npz", **networks.samples(signature, 2))
    with pytest.raises((InputError, Unsupported)):
        worker.call(
            "backends", backend, "run", artifact=broken, signature=signature,
            inputs=tmp_path / "inputs.npz", outputs=tmp_path / "outputs.npz",
        )  # fmt: skip
    assert not (tmp_path / "outputs.npz").exists()
