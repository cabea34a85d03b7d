"""The networks of the study against peers: those of `tasks`, and others that are judged on real inputs without labels.

Inputs are in the layout of the source: channels first for networks of ONNX.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.waist import graph
from tests.backends.apart import as_float, spread_out
from tests.studies.accuracy.tasks import CALIBRATION, TASKS, Split, Task, digits_in_0_1, images


def photographs(
    size: tuple[int, int] = (224, 224),
    *,
    like: Callable[[Any], Any],
    calibrate: int,
    judge: int,
    mode: str = "RGB",
    first: bool = True,
    labelled: bool = False,
) -> Callable[[Path], Split]:
    """The ImageNet sample, resized to (height, width).

    Args:
        size: of the pictures.
        like: makes of 0..255 what the network takes, element by element or in the last axis.
        calibrate: how many pictures calibrate; others are judged.
        judge: how many are judged.
        mode: one of Pillow's.
        first: whether channels come first.
        labelled: whether ImageNet's labels are those of the network.
    """

    def data(shared: Path) -> Split:
        pictures, labels = images(shared / "data/imagenet_sample.npz", calibrate + judge, size, mode)
        x = like(pictures.reshape(*pictures.shape[:3], -1)).astype(np.float32)
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if first else x
        calibrates = np.zeros(len(x), bool)
        calibrates[np.linspace(0, len(x) - 1, calibrate).round().astype(int)] = True
        return x[calibrates], x[~calibrates], labels[~calibrates] if labelled else None

    return data


def _small_normalized(shared: Path) -> Split:
    """CIFAR-10-JPEG with a mean of 0 and a deviation of 1 for each channel."""
    both = [
        images(shared / f"data/cifar10jpeg_{name}.npz", n)[0]
        for name, n in (("train10k", CALIBRATION), ("test2k", 500))
    ]
    mean, deviation = both[0].mean((0, 1, 2)), both[0].std((0, 1, 2))
    calibration, judged = (((x - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2) for x in both)
    return calibration, judged, None


def _wake_words(shared: Path) -> Split:
    """Spectrograms of a streaming wake word: every other one calibrates."""
    with np.load(shared / "models/mlperf_tiny/str_ww_calibration.npz") as file:
        x = file["specs"].astype(np.float32)
    return x[::2], x[1::2], None


def _detector(shared: Path) -> Split:
    """The own samples of a detector: every other one calibrates."""
    with np.load(shared / "models/reported/yolo_concat.npz") as file:
        x = file["images"]
    return x[::2], x[1::2], None


def to_unit(x: Any) -> Any:
    """0..255 → 0..1."""
    return x / 255


def to_signs(x: Any) -> Any:
    """0..255 → -1..1."""
    return x / 127.5 - 1


def centred(x: Any) -> Any:
    """0..255 → (x - 127) / 128."""
    return (x - 127) / 128


def _task(name: str, model: str, data: Callable[[Path], Split], **more: Any) -> Task:
    return Task(name=name, model=f"models/{model}", data=data, split="", **more)


APART = "channels_apart.tflite"
"""The file of a network that `channels_apart` makes."""


def channels_apart(shared: Path) -> bytes:
    """DS-CNN for keywords with the channels between its layers up to 100:1 apart: the same float function."""
    model = graph.load(shared / "models/mlperf_tiny/kws_ref_model_float32.tflite")
    as_float(model)
    spread_out(model, 100)
    return graph.pack(model)


def _for_fastest(calibrate: int, judge: int) -> Callable[[Path], Split]:
    return photographs((352, 352), like=lambda x: to_unit(x[..., ::-1]), calibrate=calibrate, judge=judge)


FASTEST = "onnx/FastestDet.onnx"

FACES = photographs((240, 320), like=centred, calibrate=60, judge=40)

NETWORKS = (
    *TASKS,
    _task("Keras convnet, MNIST", "keras/mlia_simple_mnist_convnet_non_quantized.h5", digits_in_0_1),
    _task(
        "EfficientNet-Lite0, ImageNet", "phone/efficientnet_lite0.onnx",
        photographs(like=centred, calibrate=CALIBRATION, judge=300, labelled=True),
    ),
    Task(
        name="DS-CNN, channels 100:1 apart, one scale for all weights of a layer", model=APART,
        data=next(task for task in TASKS if task.name == "DS-CNN keywords").data, split="", per_channel=False,
    ),
    _task(
        "MobileNetV1-0.25 visual wake words", "mlperf_tiny/vww_96.h5",
        photographs((96, 96), like=to_unit, calibrate=CALIBRATION, judge=200, first=False),
    ),
    _task("streaming wake word", "mlperf_tiny/str_ww_ref_model.h5", _wake_words),
    _task(
        "mini-XCEPTION FER", "keras/fer2013_mini_XCEPTION.119-0.65.hdf5",
        photographs((48, 48), like=to_signs, calibrate=CALIBRATION, judge=200, mode="L", first=False),
    ),
    _task(
        "tiny-XCEPTION KDEF", "keras/tiny_XCEPTION_KDEF.hdf5",
        photographs((64, 64), like=to_signs, calibrate=CALIBRATION, judge=200, mode="L", first=False),
    ),
    _task("ultraface RFB-320", "onnx/ultraface_version-RFB-320_without_postprocessing.onnx", FACES),
    _task("ultraface slim-320", "onnx/ultraface_version-slim-320.onnx", FACES),
    _task("FastestDet", FASTEST, _for_fastest(60, 40), scores=slice(5, None)),
    _task("FastestDet, 200 pictures to calibrate", FASTEST, _for_fastest(200, 100), scores=slice(5, None)),
    _task("YOLO-like head", "reported/yolo_concat.onnx", _detector, scores=slice(4, None)),
    _task(
        "super-resolution", "onnx/super_resolution_10.onnx",
        photographs(like=to_unit, calibrate=30, judge=20, mode="L"),
    ),
    _task(
        "PP-OCRv4 text direction", "onnx/ppocrv4_cls.onnx",
        photographs((48, 192), like=to_signs, calibrate=100, judge=100), shapes={"x": (1, 3, 48, 192)},
    ),
    _task("CCT-2 transformer, weights never trained", "onnx/deeploy_cct_2_32_32_128_op20.onnx", _small_normalized),
)  # fmt: skip
"""What the study builds, in its order."""
