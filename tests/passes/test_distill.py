"""Distillation: a student of fewer channels, or another network; feature maps through adapters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edgekit.errors import InputError
from edgekit.nouns.recipe import Distill, FineTune
from edgekit.waist import graph
from tests.lazy import Lazy
from tests.training import digits
from tests.training.test_fitting import trained

distill = Lazy("edgekit.passes.distill")
features = Lazy("edgekit.training.features")
tf = Lazy("tensorflow")
lifting = Lazy("edgekit.trainable.lifting")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    waist = digits.network(folder / "net.tflite")
    passed, _ = trained(folder, waist, FineTune(epochs=5, learning_rate=5e-3, alpha=1.0), labels=True)
    return folder / "out" / str(passed.file)


def distilled(folder: Path, waist: Path, asked: Distill, **given: Any) -> tuple[Any, Path]:
    out = folder / "out"
    out.mkdir()
    passed = distill.DistillPass().apply(digits.task(folder, waist, asked, **given), out)
    return passed, out / passed.file


def test_a_student_of_half_the_width_learns_from_its_teacher(teacher: Path, tmp_path: Path) -> None:
    asked = Distill(width=0.5, epochs=6, rates=1, learning_rate=5e-3, features=("auto",))
    passed, file = distilled(tmp_path, teacher, asked)
    shapes = {tensor.name: tensor.shape for tensor in graph.read(file)[0].tensors}
    assert (shapes["kernel0"], shapes["kernel1"], shapes["dense"]) == ((4, 3, 3, 1), (8, 3, 3, 4), (10, 128))
    assert passed.figures["macs_share"] < 0.45
    assert digits.accuracy(file) > digits.accuracy(teacher) - 0.1
    assert digits.accuracy(file) > 0.8


def test_adapters_begin_as_what_fits_best(teacher: Path, tmp_path: Path) -> None:
    asked = Distill(width=0.5, epochs=2, rates=1, learning_rate=1e-6, features=("auto",), augmentation=())
    passed, _ = distilled(tmp_path, teacher, asked)  # next to no step is taken
    assert passed.epochs[0].loss - passed.epochs[0].held_out < 0.6  # 1 is as good as the mean of each map


def test_another_network_learns_from_feature_maps(teacher: Path, tmp_path: Path) -> None:
    student = digits.network(tmp_path / "student.tflite", width=3)
    asked = Distill(student="student.tflite", epochs=4, learning_rate=5e-3, features=("conv1=conv1",))
    passed, file = distilled(tmp_path, student, asked, teacher=teacher)
    assert not passed.figures  # it is a share of a network that it was not given
    assert not passed.warnings
    assert passed.epochs[-1].held_out < 0.7 * passed.epochs[0].held_out
    assert digits.accuracy(file) > 0.7


@pytest.mark.parametrize("gain", [0.003, 0.3])
def test_a_student_that_lets_no_signal_through_learns_all_the_same(gain: float, teacher: Path, tmp_path: Path) -> None:
    """As untrained layers in a row do, whose normalizations were folded."""
    student = digits.network(tmp_path / "student.tflite", gain=gain)
    asked = Distill(student="student.tflite", epochs=4, rates=1, learning_rate=5e-3)
    _, file = distilled(tmp_path, student, asked, teacher=teacher)
    assert digits.accuracy(file) > 0.7


@pytest.mark.parametrize("scores", [True, False])
def test_a_student_with_other_scores_than_its_teacher_is_told(scores: bool, teacher: Path, tmp_path: Path) -> None:
    """Both are compared as logits, and an app would take one for the other."""
    other = digits.network(tmp_path / "teacher.tflite", softmax=False) if scores else teacher
    student = digits.network(tmp_path / "student.tflite", width=3, softmax=scores)
    task = digits.task(tmp_path, student, Distill(student="student.tflite", epochs=1, rates=1), teacher=other)
    (own,), (theirs,) = task.signature.outputs, task.teacher_signature.outputs
    renamed = replace(task.teacher_signature, outputs=(replace(theirs, source_name=own.source_name),))
    (tmp_path / "out").mkdir()
    passed = distill.DistillPass().apply(replace(task, teacher_signature=renamed), tmp_path / "out")
    (told,) = passed.warnings
    wanted = "has a softmax, and the teacher's has none" if scores else "has no scores, and the teacher's has a softmax"
    assert wanted in told


def test_feature_maps_are_paired_by_name_or_by_size(teacher: Path, tmp_path: Path) -> None:
    forms = lifting.lift(digits.network(tmp_path / "student.tflite", width=3)), lifting.lift(teacher)
    found = features.pairs(*forms, ["auto"])
    names = [
        (f.main.tensors[t].name, int(f.tensors[t].shape[-1]))
        for p in found
        for f, t in zip(forms, (p.student, p.teacher), strict=True)
    ]
    assert names == [("conv0", 3), ("conv0", 8), ("conv1", 6), ("conv1", 16)]
    assert [tuple(pair.adapter.shape) for pair in found] == [(3, 8), (6, 16)]
    values = np.random.default_rng(0).standard_normal((2, 4, 4, 6)).astype(np.float32)
    assert float(found[1].loss(values, values @ found[1].adapter.numpy())) < 1e-10
    found[1].fit(values, values @ np.ones((6, 16), np.float32))
    np.testing.assert_allclose(found[1].adapter.numpy(), 1.0, atol=1e-3)
    found[1].fit(np.zeros_like(values), values @ np.ones((6, 16), np.float32))  # all channels are dead
    assert np.isfinite(found[1].adapter.numpy()).all()
    for wrong, problem in (
        ("conv1=conv0", "feature maps are"),
        ("none=conv0", "The teacher has no feature map called 'none'"),
        ("conv0=none", "The network that is trained has no feature map called 'none'"),
        ("=conv0", "The teacher has no feature map called ''"),
    ):
        with pytest.raises(InputError, match=problem):
            features.pairs(*forms, [wrong])


def test_feature_maps_are_compared_by_rows() -> None:
    """The gradient of a stack of matrices times the adapter writes past its memory in TensorFlow 2.21 with oneDNN."""
    pair = features.FeaturePair(0, 0, tf.Variable(np.eye(3, 5, dtype=np.float32)))
    maps = [tf.TensorSpec((None, 1, 8, channels)) for channels in (3, 5)]
    traced = tf.function(pair.loss).get_concrete_function(*maps)
    products = [one.type for one in traced.graph.get_operations() if "MatMul" in one.type]
    assert products == ["MatMul"]
