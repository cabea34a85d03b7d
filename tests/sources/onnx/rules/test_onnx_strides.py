"""Convolutions whose stride leaps over the end of an axis compute the same on XNNPACK."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("size", "kernel", "strides"),
    [((8, 8), (3, 3), (4, 4)), ((8, 7), (1, 3), (2, 2)), ((9, 10), (2, 2), (3, 4)), ((6, 8), (5, 1), (1, 2))],
)
def test_a_stride_that_leaps_over_the_end(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], groups: int, tmp_path: Path
) -> None:
    after = [-(-n // stride) for n, stride in zip(size, strides, strict=True)]
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]> net
        (float[1,2,{size[0]},{size[1]}] x) => (float[1,4,{after[0]},{after[1]}] y)
        {{ y = Conv <auto_pad="SAME_UPPER", group={groups}, kernel_shape=[{kernel[0]},{kernel[1]}],
                    strides=[{strides[0]},{strides[1]}]> (x, w) }}""")
    weights = np.random.default_rng(0).standard_normal((4, 2 // groups, *kernel)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(model, tmp_path / "net.onnx")
    OnnxSource().to_waist(tmp_path / "net.onnx", SourceOptions(), tmp_path)  # checks that it computes the same
