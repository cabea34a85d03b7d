"""Networks of Keras 2 and 3 that compute in 16 bits are read as the float32 networks that they stand for."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.waist import run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db
from tests.lazy import Lazy

archive: Any = Lazy("edgekit.sources.keras.archive")
policies: Any = Lazy("edgekit.sources.keras.policies")
PLAIN = SourceOptions()


@pytest.fixture(scope="module")
def models(keras_files: Callable[[str], Path]) -> dict[str, Path]:
    """A folder for each library with the models that it wrote."""
    return {library: keras_files(f"policies/{library}") for library in ("k3", "legacy")}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "suffix"), [("k3", ".keras"), ("k3", ".h5"), ("legacy", ".h5")])
@pytest.mark.parametrize(
    ("name", "policy", "least_db"),
    [
        ("images_mixed_float16", "mixed_float16", 60),
        ("images_mixed_bfloat16", "mixed_bfloat16", 40),
        ("signals_float16", "float16", 55),
        ("signals_float64", "float64", 110),
    ],
)
def test_a_network_of_another_policy_is_read_in_float32(
    worker: Worker,
    models: dict[str, Path],
    tmp_path: Path,
    library: str,
    suffix: str,
    name: str,
    policy: str,
    least_db: float,
) -> None:
    path = models[library] / f"{name}{suffix}"
    expected = np.load(path.with_suffix(".npz"))
    waist = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=tmp_path)
    (given,), (made,) = waist.signature.inputs, waist.signature.outputs
    assert (given.source_dtype, made.source_dtype) == ("float32", "float32")
    samples = {given.source_name: expected["x"][:, None]}
    stored = run.run(tmp_path / waist.file, inputs_to_file(waist.signature, samples))
    found = outputs_to_source(waist.signature, stored)[made.source_name][:, 0]
    assert sqnr_db(expected["float32"], found) >= 110
    own = sqnr_db(expected["own"], found)
    assert own >= least_db
    (note,) = [note for note in waist.notes if note.startswith(f"read in float32 instead of {policy}")]
    told = re.search(r"([\d.]+) dB", note)
    assert told is not None
    assert float(told[1]) == pytest.approx(own, abs=6, rel=0.1)  # of other samples


@pytest.mark.shared
@pytest.mark.slow
def test_the_reported_network_comes_to_its_source(worker: Worker, shared: Path, tmp_path: Path) -> None:
    path = shared / "models/reported/mixed_float16.keras"
    waist = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=tmp_path)
    (note,) = [note for note in waist.notes if note.startswith("read in float32 instead of mixed_float16")]
    assert float(re.search(r"([\d.]+) dB", note)[1]) >= 70  # type: ignore[index]
    (values,) = dict(np.load(path.with_suffix(".npz"))).values()
    given = {waist.signature.inputs[0].source_name: values[:, None]}
    samples = tmp_path / "in.npz"
    np.savez(samples, **given)  # type: ignore[arg-type]
    worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=samples, outputs=tmp_path / "out.npz")
    wanted = dict(np.load(tmp_path / "out.npz"))
    stored = run.run(tmp_path / waist.file, inputs_to_file(waist.signature, given))
    found = outputs_to_source(waist.signature, stored)
    assert all(sqnr_db(wanted[name], values) >= 120 for name, values in found.items())


CONFIG = {
    "class_name": "Sequential",
    "config": {
        "dtype": {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}},
        "layers": [
            {"class_name": "InputLayer", "config": {"dtype": "float16", "name": "float16"}},
            {"class_name": "Dense", "config": {"dtype": {"class_name": "Policy", "config": {"name": "bfloat16"}}}},
            {"class_name": "Embedding", "config": {"dtype": "int32", "name": "mixed_float16"}},
        ],
    },
}
PLAIN_CONFIG = {"class_name": "Sequential", "config": {"dtype": "float32", "layers": []}}


def test_every_policy_is_found_and_names_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
    described = archive.Archive("2.15", CONFIG, 0)
    assert set(policies.others(described)) == {"mixed_float16", "float16", "bfloat16"}
    before = path.read_bytes()
    with policies.in_float32(path, described, zipped=False) as copy:
        changed = archive.read(copy, zipped=False)
    assert policies.others(changed) == ()
    assert path.read_bytes() == before
    names = [layer["config"].get("name") for layer in changed.config["config"]["layers"]]
    assert names == ["float16", None, "mixed_float16"]


def test_what_keras_quantized_is_refused_by_name() -> None:
    assert policies.QUANTIZED
    for kind in policies.QUANTIZED:
        policy = {"class_name": kind, "config": {"mode": "int8", "source_name": "float32"}}
        layer = {"class_name": "Dense", "config": {"dtype": policy}}
        described = archive.Archive("3.15", {"class_name": "Sequential", "config": {"layers": [layer, layer]}}, 0)
        with pytest.raises(Unsupported, match=r"quantized already.*int8; 2 layers"):
            policies.refuse_quantized(Path("net.keras"), described)


def test_a_float32_network_is_not_touched() -> None:
    assert policies.others(archive.Archive("3.0", PLAIN_CONFIG, 0)) == ()


def test_a_class_that_is_no_text_is_no_policy() -> None:
    named = {"class_name": {"x": 1}, "config": {"name": "mixed_float16"}}
    assert policies.others(archive.Archive("3.0", {"dtype": named, "layers": [[named]]}, 0)) == ()


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_a_policy_that_overflows_is_a_warning_without_a_number(lost: float) -> None:
    wanted = np.ones((3, 4), np.float32)
    have = wanted.copy()
    have[1, 2] = lost
    notes, (warning,) = policies.compared("mixed_float16", [(wanted, wanted), (wanted, have)])
    assert notes == ()
    assert "in mixed_float16 the network itself gives NaN or infinity" in warning
    assert "dB" not in warning


def test_what_no_precision_makes_finite_is_compared_elsewhere() -> None:
    both = np.array([[1.0, np.nan]], np.float32)
    assert policies.compared("float16", [(both, both)])[0][0].endswith("the same of it on random samples")
