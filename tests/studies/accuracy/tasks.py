"""Real models with labelled data: which rows calibrate, which are judged, and what is demanded.

Calibration rows are never judged. All data comes from the shared folder.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Split = tuple[Any, Any, Any]
"""Calibration inputs, inputs to judge, their labels (None: there are none): ``[N, ...]``, ``[M, ...]`` float32, ``[M]``."""

CALIBRATION = 200
"""Samples that every quantizer gets."""


@dataclass(frozen=True)
class Task:
    """A model, its data, and the demand of the mission.

    ``at_least`` is a top-1 in percent; ``within`` are points below the float network. ``reference``
    is an int8 file that the model's makers published. ``shapes`` are what a user says with ``--shape``; with
    ``per_channel`` False a layer's weights have one scale. ``scores`` are the channels of a detector's output that hold
    scores, the axis of channels first.
    """

    name: str
    model: str
    data: Callable[[Path], Split]
    split: str
    at_least: float | None = None
    within: float | None = None
    reference: str | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    per_channel: bool = True
    scores: slice | None = None


def keywords(shared: Path) -> Split:
    """Keyword clips as MFCC, dequantized; rows come shuffled."""
    with np.load(shared / "data/kws01.npz") as file:
        x, y = (file["x"].astype(np.float32) - 83) * np.float32(0.5847029), file["y"]
    return x[:CALIBRATION], x[CALIBRATION:], y[CALIBRATION:]


def _mnist(shared: Path, scale: float) -> Split:
    with np.load(shared / "data/mnist_test.npz") as file:
        x, y = file["x"][..., None].astype(np.float32) * np.float32(scale), file["y"]
    return x[:CALIBRATION], x[CALIBRATION:], y[CALIBRATION:]


def digits_in_0_1(shared: Path) -> Split:
    """MNIST's test digits, x/255."""
    return _mnist(shared, 1 / 255)


def digits_in_0_255(shared: Path) -> Split:
    """MNIST's test digits, 0..255."""
    return _mnist(shared, 1.0)


def _gesture(file: Path) -> Split:
    table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    x, y = table[:, 1:].astype(np.float32), table[:, 0].astype(int)
    chosen = np.zeros(len(x), bool)
    chosen[np.linspace(0, len(x) - 1, CALIBRATION).round().astype(int)] = True
    return x[chosen], x[~chosen], y[~chosen]


def key_points(shared: Path) -> Split:
    """Hand key points."""
    return _gesture(shared / "data/gesture/keypoint.csv")


def point_history(shared: Path) -> Split:
    """Paths of a finger tip."""
    return _gesture(shared / "data/gesture/point_history.csv")


def images(file: Path, most: int, size: tuple[int, int] | None = None, mode: str = "RGB") -> tuple[Any, Any]:
    """Images taken evenly from a set, ``[N, H, W]`` or ``[N, H, W, 3]`` in 0..255, and their labels.

    ``size`` is (height, width) if they are resized; ``mode`` is one of Pillow's.
    """
    with np.load(file) as stored:
        blob, offsets, y = stored["blob"].tobytes(), stored["offsets"], stored["y"]
    rows = np.linspace(0, len(y) - 1, min(most, len(y))).round().astype(int)
    pictures = [Image.open(io.BytesIO(blob[offsets[i] : offsets[i + 1]])).convert(mode) for i in rows]
    pictures = pictures if size is None else [picture.resize(size[::-1]) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32), y[rows]


def small_photos(shared: Path) -> Split:
    """CIFAR-10-JPEG, raw 0..255 RGB."""
    calibration, _ = images(shared / "data/cifar10jpeg_train10k.npz", CALIBRATION)
    return (calibration, *images(shared / "data/cifar10jpeg_test2k.npz", 2000))


_FIRST = f"first {CALIBRATION} rows calibrate, the rest is judged"
_EVENLY = f"{CALIBRATION} rows taken evenly calibrate, the rest is judged"
_PHOTOS = f"{CALIBRATION} training images calibrate, the 2,000 test images are judged"

TASKS = (
    Task(
        name="DS-CNN keywords",
        model="models/mlperf_tiny/kws_ref_model",
        data=keywords,
        split=_FIRST,
        at_least=90.0,
        reference="models/mlperf_tiny/kws_ref_model.tflite",
    ),
    Task(name="LeNet MNIST", model="models/keras/nncf_LeNet.h5", data=digits_in_0_1, split=_FIRST, at_least=98.5),
    Task(
        name="mnist-8 (ONNX)",
        model="models/onnx/mnist-8_cntk.onnx",
        data=digits_in_0_255,
        split=_FIRST,
        within=0.3,
    ),
    Task(
        name="gesture key points",
        model="models/keras/gesture_keypoint_classifier.hdf5",
        data=key_points,
        split=_EVENLY,
        within=0.5,
    ),
    Task(
        name="gesture point history",
        model="models/keras/gesture_point_history_classifier.hdf5",
        data=point_history,
        split=_EVENLY,
        within=0.5,
    ),
    Task(
        name="ResNet-8 CIFAR-10-JPEG",
        model="models/mlperf_tiny/pretrainedResnet.h5",
        data=small_photos,
        split=_PHOTOS,
        within=0.5,
        reference="models/mlperf_tiny/pretrainedResnet_quant.tflite",
    ),
    Task(
        name="ResNet-8 fine-tuned, CIFAR-10-JPEG",
        model="models/resnet8_cifar10jpeg.h5",
        data=small_photos,
        split=_PHOTOS,
        within=0.5,
    ),
)
"""What is demanded of int8 on the device runtime."""

SOON = ("LeNet MNIST", "gesture key points", "ResNet-8 CIFAR-10-JPEG")
"""Those that CI has time for, one of each kind."""

PARAMETERS = [pytest.param(task, id=task.name, marks=[] if task.name in SOON else pytest.mark.long) for task in TASKS]
"""For tests."""
