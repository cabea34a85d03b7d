"""Weights of OpenVINO's int8 files: no two products overflow 16 bits, and more than half of the range is used."""

import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.backends.openvino import sums
from edgekit.waist.tensors import sqnr_db
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")

WORST = 2**15 // 255
"""What two weights of one sign may come to."""


def overflows(integers: Any) -> bool:
    """Whether two products that a kernel may add up overflow; ``[outputs, inputs]``."""
    rows = integers.astype(int)
    return any(
        np.any((rows[:, i] * rows[:, j] > 0) & (np.abs(rows[:, i] + rows[:, j]) > WORST))
        for i, j in combinations(range(rows.shape[1]), 2)
        if j - i <= sums.APART
    )


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e3, 1e3, width=32)))
def test_weights_on_the_widest_range_overflow_nowhere(rows: Any) -> None:
    scale = np.maximum(sums.largest(rows), 1e-30) / np.float32(127)
    integers = np.rint(rows / scale[:, None])
    assert np.abs(integers).max(initial=0) <= 127
    assert not overflows(integers)


def test_a_large_weight_beside_small_ones_has_all_bits() -> None:
    assert sums.largest(np.array([[0.1, -1.0, 0.9, 0.0, 0.0, -0.9], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]], np.float32)) == (
        pytest.approx([1.0, 2.0])
    )


def layer(kind: str, weights: Any) -> Any:
    """A network of one layer of positive inputs."""
    op, ov = libraries.operators, libraries.ov
    dense = kind.startswith("MatMul")
    x = op.parameter([1, 12] if dense else [1, 12, 6, 6], np.float32)
    constant = op.constant(weights)
    if dense:
        made = op.matmul(x, constant, transpose_a=False, transpose_b=kind == "MatMul, transposed")
    else:
        name = {
            "Convolution": "convolution",
            "GroupConvolution": "group_convolution",
            "ConvolutionBackpropData": "convolution_backprop_data",
        }
        more = {} if kind == "ConvolutionBackpropData" else {"dilations": [1, 1]}
        made = getattr(op, name[kind])(x, constant, strides=[1, 1], pads_begin=[1, 1], pads_end=[1, 1], **more)
    return ov.Model([made], [x])


def quantized(kind: str, weights: Any, samples: list[Any], fix: str, *, per_channel: bool = True) -> Any:
    nncf = libraries.nncf
    advanced = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix(fix),
        weights_quantization_params=libraries.QuantizationParameters(per_channel=per_channel),
    )
    return nncf.quantize(layer(kind, weights), nncf.Dataset(samples), advanced_parameters=advanced)


SHAPES = {
    "Convolution": (8, 12, 3, 3),
    "GroupConvolution": (3, 2, 4, 3, 3),
    "ConvolutionBackpropData": (12, 8, 3, 3),
    "MatMul": (12, 8),
    "MatMul, transposed": (8, 12),
}


def drawn(kind: str) -> Any:
    """Weights, most of them positive, so that sums are large."""
    return np.random.default_rng(1).normal(0.3, 1, SHAPES[kind]).astype(np.float32)


def samples(kind: str) -> list[Any]:
    shape = (1, 12) if kind.startswith("MatMul") else (1, 12, 6, 6)
    return list(np.random.default_rng(2).uniform(0, 1, (20, *shape)).astype(np.float32))


def stored(model: Any, kind: str) -> Any:
    """The integers of its layer, ``[outputs, inputs]`` in the order of memory."""
    (found,) = (
        node.get_data()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "i8"
    )
    order = sums.OUTPUTS_FIRST.get(kind)
    if order is None:
        return found if kind == "MatMul, transposed" else found.T
    made = found.transpose(order)
    return made.reshape(6 if kind == "GroupConvolution" else len(made), -1)


@pytest.mark.parametrize("kind", SHAPES)
def test_layers_take_more_than_half_of_the_range_and_overflow_nowhere(kind: str) -> None:
    with sums.bounded():
        made = quantized(kind, drawn(kind), samples(kind), "enable")
    integers = stored(made, kind)
    assert not overflows(integers)
    assert np.abs(integers.astype(int)).max(1).mean() > 70
    assert np.abs(stored(quantized(kind, drawn(kind), samples(kind), "enable"), kind).astype(int)).max() <= 64


def test_one_scale_for_all_channels_is_that_of_the_worst() -> None:
    kind = "Convolution"
    with sums.bounded():
        made = quantized(kind, drawn(kind), samples(kind), "enable", per_channel=False)
    assert not overflows(stored(made, kind))
    assert np.abs(stored(made, kind).astype(int)).max() > 64


RUN = """
import sys, numpy as np
from edgekit.backends.openvino.libraries import CORE, EXACT
compiled = CORE.compile_model(CORE.read_model(sys.argv[1]), "CPU", EXACT)
np.save(sys.argv[2], np.stack([compiled(row)[0] for row in np.load(sys.argv[3])]))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="vpmaddubsw is an instruction of x86")
def test_without_vnni_a_file_computes_the_same(tmp_path: Path) -> None:
    """OpenVINO's kernels are told to do without; weights of all 8 bits show that they then overflow."""
    kind, levels = "Convolution", {}
    large = np.random.default_rng(1).uniform(0.7, 1, SHAPES[kind]).astype(np.float32)
    np.save(tmp_path / "rows.npy", np.ones((2, 1, 12, 6, 6), np.float32))
    wanted = libraries.CORE.compile_model(layer(kind, large), "CPU")(np.ones((1, 12, 6, 6), np.float32))
    for fix in ("enable", "disable"):
        with sums.bounded() if fix == "enable" else nullcontext():
            libraries.ov.save_model(
                quantized(kind, large, samples(kind), fix),
                tmp_path / f"{fix}.xml",
                compress_to_fp16=False,
            )
        words = ["-c", RUN, tmp_path / f"{fix}.xml", tmp_path / "out.npy", tmp_path / "rows.npy"]
        subprocess.run([sys.executable, *words], check=True, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"})
        levels[fix] = sqnr_db(np.asarray(wanted[0]), np.load(tmp_path / "out.npy")[0])
    assert levels["enable"] > 35
    assert levels["disable"] < 25
