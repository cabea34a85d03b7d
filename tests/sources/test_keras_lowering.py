"""Networks with operators that TFLite's converter refuses compute what Keras computes all the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions
from edgekit.waist import graph, run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db

pytestmark = pytest.mark.slow
PLAIN = SourceOptions()
CHOICES = ["argmax", "argmax_between", "argmin_relu", "one_hot", "signbit"]
RESIZED = ["bicubic_up", "bicubic_one_axis", "lanczos3", "lanczos5_down", "antialiased"]
RECURRENT = ["open_gru", "open_simple", "open_lstm", "open_bidirectional", "open_old_gru"]


@pytest.fixture(scope="module")
def models(keras_files: Callable[[str], Path]) -> Path:
    """A folder of them."""
    return keras_files("lowering")


def outputs(
    worker: Worker, path: Path, out: Path, scale: float = 1
) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """The file's operators, what the source gives for random samples of this scale, and what the file gives."""
    waist = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=out)
    random = np.random.default_rng(7)
    values = {
        spec.source_name: (random.standard_normal((4, *spec.source_shape)) * scale).astype(np.float32)
        for spec in waist.signature.inputs
    }
    np.savez(out / "in.npz", **values)  # type: ignore[arg-type]
    worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=out / "in.npz", outputs=out / "out.npz")
    found = outputs_to_source(waist.signature, run.run(out / waist.file, inputs_to_file(waist.signature, values)))
    with np.load(out / "out.npz") as held:
        wanted = {name: held[name] for name in held.files}
    assert set(wanted) == set(found)
    kinds = [operator.name for operator in graph.read(out / waist.file)[0].operators]
    return kinds, [wanted[name] for name in sorted(wanted)], [found[name] for name in sorted(wanted)]


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_the_same_without_a_look_at_bits(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    kinds, wanted, found = outputs(worker, models / f"{name}.keras", tmp_path)
    assert all(np.array_equal(w, f) for w, f in zip(wanted, found, strict=True))
    assert not {"BITWISE_AND", "BITCAST", "SELECT_V2", "LOGICAL_AND"} & set(kinds)


@pytest.mark.parametrize("name", RESIZED)
def test_every_resizing_is_a_product_for_each_axis(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    kinds, wanted, found = outputs(worker, models / f"{name}.keras", tmp_path)
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))
    assert {"BATCH_MATMUL", "FULLY_CONNECTED"} & set(kinds)


def test_pooling_of_volumes_is_pooling_of_images_twice(worker: Worker, models: Path, tmp_path: Path) -> None:
    kinds, wanted, found = outputs(worker, models / "volumes.keras", tmp_path)
    assert len(wanted) == 4
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))
    assert kinds.count("AVERAGE_POOL_2D") == kinds.count("MAX_POOL_2D") == 4


@pytest.mark.parametrize(("name", "count"), [("sparse_volumes", 4), ("sparse_transposed", 2)])
def test_dilations_and_groups_are_what_image_operators_do(
    worker: Worker, models: Path, tmp_path: Path, name: str, count: int
) -> None:
    _, wanted, found = outputs(worker, models / f"{name}.keras", tmp_path)
    assert len(wanted) == count
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize("name", ["leap", "leap_depthwise"])
def test_strides_that_leap_over_the_end_are_right_on_xnnpack(
    worker: Worker, models: Path, tmp_path: Path, name: str
) -> None:
    _, wanted, found = outputs(worker, models / f"{name}.keras", tmp_path)
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_saved_model_whose_batch_was_open_recurs(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    _, wanted, found = outputs(worker, models / name, tmp_path)
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize("scale", [1, 30, 1000])
def test_what_grows_is_finite_far_from_zero(worker: Worker, models: Path, tmp_path: Path, scale: float) -> None:
    """The converter's softplus is log(1 + eˣ), which is infinite beyond 88."""
    _, wanted, found = outputs(worker, models / "far.keras", tmp_path, scale)
    assert len(wanted) == 5
    assert all(np.isfinite(value).all() for value in wanted)
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))


def test_functions_that_tflite_lacks_are_made_of_others(worker: Worker, models: Path, tmp_path: Path) -> None:
    _, wanted, found = outputs(worker, models / "curves.keras", tmp_path)
    assert len(wanted) == 10
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize(("name", "count"), [("gelus", 4), ("no_gelus", 0)])
def test_a_gelu_in_any_order_is_one_operator(
    worker: Worker, models: Path, tmp_path: Path, name: str, count: int
) -> None:
    kinds, wanted, found = outputs(worker, models / name, tmp_path)
    assert len(wanted) == 4
    assert all(sqnr_db(w, f) >= 100 for w, f in zip(wanted, found, strict=True))
    assert kinds.count("GELU") == count


def test_what_a_network_divides_by_is_known_although_the_file_does_not_show_it(
    worker: Worker, models: Path, tmp_path: Path
) -> None:
    waist = worker.call("sources", "keras", "to_waist", path=models / "scaled.keras", options=PLAIN, out=tmp_path)
    ranges = {name: pytest.approx(ends) for name, ends in waist.input_ranges.items()}
    assert ranges == {
        "rescaled": (0, 255), "centred": (0, 255), "divided": (0, 255), "shifted": (64, 192), "bytes": (0, 255),
    }  # fmt: skip
    kinds = [operator.name for operator in graph.read(tmp_path / waist.file)[0].operators]
    assert "CONV_2D" in kinds
