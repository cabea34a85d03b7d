"""Models of a few hundred bytes that ask for gigabytes, in each format that is read."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests import networks

KERAS = {
    "UpSampling2D": ((8, 8, 1), {"size": [4000, 4000]}),
    "UpSampling1D": ((8, 1), {"size": 500_000_000}),
    "UpSampling3D": ((2, 2, 2, 1), {"size": [900, 900, 900]}),
    "RepeatVector": ((64,), {"n": 50_000_000}),
    "ZeroPadding2D": ((4, 4, 1), {"padding": [[20_000, 20_000], [20_000, 20_000]]}),
    "ZeroPadding1D": ((4, 1), {"padding": [2_000_000_000, 0]}),
}
"""Layers without weights → the shape that they are given, and settings that make it gigabytes."""

ONNX = {
    "ConstantOfShape": "c = ConstantOfShape(s)",
    "Expand": "c = Expand(x, s)",
    "Tile": "c = Tile(x, s)",
    "Resize": 'c = Resize<mode="nearest">(x, , s)',
    "Pad": "c = Pad(x, s)",
}
"""Operators → their use; ``s`` says how large."""

TFLITE = ("TILE", "FILL", "BROADCAST_TO", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "PAD")
"""Operators whose result a constant makes large."""


def keras(path: Path, kind: str) -> Path:
    """A ``.keras`` of one layer, behind which all is averaged."""
    shape, settings = KERAS[kind]
    averaged = f"GlobalAveragePooling{len(shape) - 1 or 1}D"
    layers = [
        _layer("InputLayer", batch_shape=[None, *shape], dtype="float32"),
        _layer(kind, **settings),
        _layer(averaged),
    ]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "bomb", "layers": layers}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.12.0", "date_saved": "2026-01-01"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", _no_weights(path.parent))
    return path


def _layer(kind: str, **config: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": kind.lower(), **config},
        "registered_name": None,
    }


def _no_weights(folder: Path) -> bytes:
    import h5py  # noqa: PLC0415  only here

    with h5py.File(folder / "none.h5", "w"):
        pass
    content = (folder / "none.h5").read_bytes()
    (folder / "none.h5").unlink()
    return content


def onnx(path: Path, kind: str) -> Path:
    """An ONNX file of one operator, behind which all is averaged."""
    from tests.sources.onnx.onnx_cases import build, f32, i64, save  # noqa: PLC0415  onnx

    sizes = {
        "Resize": f32(1, 1, 12_000, 12_000), "Pad": i64(0, 0, 0, 0, 0, 0, 40_000, 40_000),
        "ConstantOfShape": i64(1, 1, 40_000, 40_000), "Expand": i64(400_000_000, 1, 4, 4), "Tile": i64(1, 1, 9_000, 9_000),
    }  # fmt: skip
    body = f"{ONNX[kind]} m = ReduceMean<keepdims=0>(c) y = Add(x, m)"
    return save(path.parent, build("float[1,1,4,4] x", body, s=sizes[kind]), path.name)


def tflite(path: Path, kind: str, *, declared: bool) -> Path:
    """A TFLite file of one operator, whose result is declared as large as it is, or as one number."""
    net = networks.Network()
    x = net.input("x", (1, 4, 4, 1))
    given, constant, shape = {
        "TILE": ([x], np.array([1, 10_000, 10_000, 1]), (1, 40_000, 40_000, 1)),
        "FILL": ([], np.array([40_000, 40_000]), (40_000, 40_000)),
        "BROADCAST_TO": ([x], np.array([100_000_000, 4, 4, 1]), (100_000_000, 4, 4, 1)),
        "RESIZE_NEAREST_NEIGHBOR": ([x], np.array([40_000, 40_000]), (1, 40_000, 40_000, 1)),
        "RESIZE_BILINEAR": ([x], np.array([40_000, 40_000]), (1, 40_000, 40_000, 1)),
        "PAD": ([x], np.array([[0, 0], [40_000, 0], [0, 40_000], [0, 0]]), (1, 40_004, 40_004, 1)),
    }[kind]
    size = net.constant("s", constant.astype(np.int32))
    after = [net.constant("one", np.float32(1))] if kind == "FILL" else []
    options = {"RESIZE_BILINEAR": "ResizeBilinearOptions", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions"}
    large = net.operator(
        kind, [*given, size, *after], shape if declared else (1,), name="large", kind=options.get(kind, "")
    )
    net.model.operatorCodes[0].version = 2 if kind == "BROADCAST_TO" else 1
    axes = net.constant("axes", np.arange(len(shape), dtype=np.int32))
    mean = net.operator("MEAN", [large, axes], (), name="mean", kind="ReducerOptions", keepDims=False)
    return net.save(path, net.operator("ADD", [x, mean], (1, 4, 4, 1), name="y", kind="AddOptions"))


LARGE = {
    "an output of 256 MiB": ("float[1,1,4,4] x", "y = Tile(x, s)", "float[] y", (1, 1, 2048, 2048)),
    "an input and an output of 128 MiB": ("float[1,1,4096,8192] x", "y = Add(x, x)", "float[] y", ()),
    "two outputs of 128 MiB": (
        "float[1,1,4,4] x",
        "y = Tile(x, s) z = Neg(y)",
        "float[] y, float[] z",
        (1, 1, 2048, 1024),
    ),
}
"""Networks that are in order and give much → inputs, operators, outputs, and the constant ``s``."""


def large(path: Path, what: str) -> Path:
    """An ONNX file of `LARGE`."""
    from tests.sources.onnx.onnx_cases import build, i64, save  # noqa: PLC0415  onnx

    inputs, body, outputs, repeats = LARGE[what]
    return save(path.parent, build(inputs, body, outputs, s=i64(*repeats)), path.name)


def names() -> list[str]:
    """The files that `written` writes."""
    hidden = [f"{kind}_{how}.tflite" for kind in TFLITE for how in ("declared", "hidden")]
    return [*(f"{kind}.keras" for kind in KERAS), *(f"{kind}.onnx" for kind in ONNX), *hidden]


def written(folder: Path) -> Iterator[Path]:
    """All of them in a folder."""
    for path in map(folder.joinpath, names()):
        kind, _, how = path.stem.rpartition("_") if path.suffix == ".tflite" else (path.stem, "", "")
        match path.suffix:
            case ".keras":
                yield keras(path, kind)
            case ".onnx":
                yield onnx(path, kind)
            case _:
                yield tflite(path, kind, declared=how == "declared")
