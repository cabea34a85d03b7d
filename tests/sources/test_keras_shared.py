"""Keras networks that others trained: the waist computes what Keras computes."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.model import Model, SourceOptions, Waist
from edgekit.waist import run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db

pytestmark = [pytest.mark.shared, pytest.mark.slow, pytest.mark.study]
PLAIN = SourceOptions()

RANGES = {
    "mlperf_tiny/pretrainedResnet.h5": (0.0, 255.0),
    "mlperf_tiny/vww_96.h5": (0.0, 1.0),
    "mlperf_tiny/ad01.h5": (-30.0, 30.0),
    "mlperf_tiny/kws_ref_model": (-120.0, 30.0),
    "mlperf_tiny/str_ww_ref_model.h5": (0.0, 1.0),
    "resnet8_cifar10jpeg.h5": (0.0, 255.0),
    "keras/basic_pitch_nmp_savedmodel": (-1.0, 1.0),
    "keras/fer2013_mini_XCEPTION.119-0.65.hdf5": (-1.0, 1.0),
    "keras/fiit_lstm1.keras": (-1.0, 1.0),
    "keras/gesture_keypoint_classifier.hdf5": (-1.0, 1.0),
    "keras/gesture_point_history_classifier.hdf5": (-1.0, 1.0),
    "keras/mlia_simple_mnist_convnet_non_quantized.h5": (0.0, 1.0),
    "keras/nncf_LeNet.h5": (0.0, 1.0),
    "keras/tiny_XCEPTION_KDEF.hdf5": (-1.0, 1.0),
}
"""Every Keras network in the shared folder → what its inputs range over. None is left out."""


def test_every_network_is_in_the_list(shared: Path) -> None:
    found = [
        path.relative_to(shared / "models").as_posix()
        for folder in (shared / "models", shared / "models" / "mlperf_tiny", shared / "models" / "keras")
        for path in folder.iterdir()
        if path.suffix in {".h5", ".hdf5", ".keras"} or (path / "saved_model.pb").is_file()
    ]
    assert sorted(found) == sorted(RANGES)


@pytest.mark.parametrize("name", RANGES)
def test_the_waist_computes_what_keras_computes(worker: Worker, shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "models" / name
    made: Model = worker.call("sources", "keras", "describe", path=path, options=PLAIN)
    waist: Waist = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=tmp_path / "out")
    low, high = RANGES[name]
    random = np.random.default_rng(5)
    values = {
        spec.name: random.uniform(low, high, (16, *spec.shape)).astype(spec.dtype) for spec in made.signature.inputs
    }
    np.savez(tmp_path / "in.npz", **values)  # type: ignore[arg-type]
    worker.call(
        "sources", "keras", "run",
        path=path, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "reference.npz",
    )  # fmt: skip
    stored = run.run(tmp_path / "out" / waist.file, inputs_to_file(waist.signature, values))
    reference = np.load(tmp_path / "reference.npz")
    for output, found in outputs_to_source(waist.signature, stored).items():
        assert reference[output].shape == found.shape
        assert np.array_equal(reference[output], found) or sqnr_db(reference[output], found) >= 60, output
    found_none = worker.call(
        "sources", "keras", "first_divergence",
        path=path, options=PLAIN, inputs=tmp_path / "in.npz", threshold_db=60.0,
        waist=Waist(file=str(tmp_path / "out" / waist.file), signature=waist.signature),
    )  # fmt: skip
    assert found_none is None


def test_lenet_reads_mnist_as_well_as_its_authors_say(worker: Worker, shared: Path, tmp_path: Path) -> None:
    """98.69 % on the 10,000 test images, inputs divided by 255."""
    with np.load(shared / "data" / "mnist_test.npz") as held:
        images, labels = held["x"].astype(np.float32)[:, None, :, :, None] / 255, held["y"]
    np.savez(tmp_path / "in.npz", input_1=images)
    worker.call(
        "sources", "keras", "run",
        path=shared / "models" / "keras" / "nncf_LeNet.h5", options=PLAIN,
        inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
    )  # fmt: skip
    found = np.load(tmp_path / "out.npz")["dense_2"][:, 0]
    assert abs(np.mean(found.argmax(axis=1) == labels) - 0.9869) < 0.0005
