"""Weights of OpenVINO's int8 files: no two products overflow 16 bits, and more than half of the range is used."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.backends.openvino.quantization import reached, sums
from edgekit.waist.tensors import sqnr_db
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")


def overflows(integers: Any, most: Any = 255) -> bool:
    """Whether two products that a kernel may add up overflow; ``[outputs, inputs]`` of weights, and of inputs' most."""
    products = integers.astype(int) * np.asarray(most, int)
    return any(
        np.any((products[:, i] * products[:, j] > 0) & (np.abs(products[:, i] + products[:, j]) > 2**15 - 1))
        for i, j in combinations(range(products.shape[1]), 2)
        if j - i <= sums.APART
    )


ROWS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e3, 1e3, width=32))


@given(ROWS, st.data())
def test_weights_on_the_widest_range_overflow_nowhere(rows: Any, data: st.DataObject) -> None:
    columns = rows.shape[1]
    most = data.draw(st.none() | hnp.arrays(np.float64, (1, columns), elements=st.integers(0, 255).map(float)))
    scale = np.maximum(sums.largest(rows, most), 1e-30) / np.float32(127)
    integers = np.rint(rows / scale[:, None])
    assert np.abs(integers).max(initial=0) <= 127
    assert not overflows(integers, 255 if most is None else most)


def test_a_large_weight_beside_small_ones_has_all_bits() -> None:
    assert sums.largest(np.array([[0.1, -1.0, 0.9, 0.0, 0.0, -0.9], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]], np.float32)) == (
        pytest.approx([1.0, 2.0], rel=4e-3)
    )


def test_inputs_that_stay_low_leave_all_bits() -> None:
    """Two weights of 1 whose inputs come to 100 and 156 add up to 256 · 127, which fits."""
    rows = np.array([[1.0, 1.0]], np.float32)
    assert sums.largest(rows, np.array([[100.0, 156.0]])) == pytest.approx([1.0], rel=4e-3)
    assert sums.largest(rows, np.array([[255.0, 128.0]])) == pytest.approx([1.5], rel=4e-3)


KINDS = {
    "Convolution": ("convolution", (8, 12, 3, 3)),
    "Convolution, one axis": ("convolution", (8, 12, 3)),
    "GroupConvolution": ("group_convolution", (3, 2, 4, 3, 3)),
    "ConvolutionBackpropData": ("convolution_backprop_data", (12, 8, 3, 3)),
    "GroupConvolutionBackpropData": ("group_convolution_backprop_data", (3, 4, 2, 3, 3)),
    "MatMul": ("matmul", (12, 8)),
    "MatMul, transposed": ("matmul", (8, 12)),
}
"""Layers of 12 input channels: the operator's name, and the shape of its weights."""


def input_shape(kind: str) -> tuple[int, ...]:
    spatial = KINDS[kind][1][3 if kind.startswith("Group") else 2 :]
    return (1, 12, *(6 for _ in spatial))


def layer(kind: str, weights: Any) -> Any:
    """A network of one layer."""
    op, ov = libraries.operators, libraries.ov
    x = op.parameter(input_shape(kind), np.float32)
    name, shape = KINDS[kind]
    if name == "matmul":
        made = op.matmul(x, op.constant(weights), transpose_a=False, transpose_b=kind == "MatMul, transposed")
    else:
        ones = [1] * (len(input_shape(kind)) - 2)
        more = {} if name == "convolution_backprop_data" else {"dilations": ones}
        more |= {"output_padding": [0] * len(ones)} if name == "group_convolution_backprop_data" else {}
        made = getattr(op, name)(
            x, op.constant(weights.reshape(shape)), strides=ones, pads_begin=ones, pads_end=ones, **more
        )
    made.set_friendly_name("layer")
    return ov.Model([made], [x])


def quantized(
    kind: str,
    weights: Any,
    samples: list[Any],
    fix: str,
    *,
    per_channel: bool = True,
    reaches: Mapping[str, reached.Reach] | None = None,
) -> Any:
    """The network as NNCF makes it, its weights widened if it is told how far inputs reach."""
    nncf = libraries.nncf
    advanced = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix(fix),
        weights_quantization_params=libraries.QuantizationParameters(per_channel=per_channel),
    )
    with nullcontext() if reaches is None else sums.bounded(reaches):
        return nncf.quantize(layer(kind, weights), nncf.Dataset(samples), advanced_parameters=advanced)


def drawn(kind: str) -> Any:
    """Weights, most of them positive, so that sums are large."""
    return np.random.default_rng(1).normal(0.3, 1, KINDS[kind][1]).astype(np.float32)


def samples(kind: str, channels: Any = 1.0, count: int = 20) -> list[Any]:
    """Positive inputs, each channel up to a value."""
    shape = input_shape(kind)
    most = np.broadcast_to(channels, 12).reshape(1, 12, *(1 for _ in shape[2:]))
    return list((np.random.default_rng(2).uniform(0, 1, (count, *shape)) * most).astype(np.float32))


def stored(model: Any, kind: str) -> Any:
    """The integers of its layer, ``[outputs, inputs]`` in the order of memory: input channels last."""
    (found,) = (
        node.get_data()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "i8"
    )
    if kind.startswith("MatMul"):
        return found if kind == "MatMul, transposed" else found.T
    if "Backprop" in kind:
        found = np.swapaxes(found, *((1, 2) if kind.startswith("Group") else (0, 1)))
    made = np.moveaxis(found, 2 if kind.startswith("Group") else 1, -1)
    return made.reshape(6 if kind.startswith("Group") else 8, -1)


def channels_of(kind: str, channels: Any, integers: Any) -> Any:
    """What belongs to each of 12 input channels, beside weights ``[outputs, inputs]``."""
    groups = np.reshape(channels, (3 if kind.startswith("Group") else 1, -1))
    each = np.tile(groups, integers.shape[1] // groups.shape[1])
    return np.repeat(each, len(integers) // len(groups), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_take_more_than_half_of_the_range_and_overflow_nowhere(kind: str) -> None:
    integers = stored(quantized(kind, drawn(kind), samples(kind), "enable", reaches={}), kind)
    assert not overflows(integers)
    assert np.abs(integers.astype(int)).max(1).mean() > 68
    assert np.abs(stored(quantized(kind, drawn(kind), samples(kind), "enable"), kind).astype(int)).max() <= 64


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_stay_low_leave_weights_more_bits(kind: str) -> None:
    channels = np.where(np.arange(12) % 4, 0.2, 1)
    given = samples(kind, channels)
    plain = stored(quantized(kind, drawn(kind), given, "enable", reaches={}), kind)
    reaches = reached.inputs(layer(kind, drawn(kind)), [{0: row} for row in given])
    integers = stored(quantized(kind, drawn(kind), given, "enable", reaches=reaches), kind)
    assert np.abs(integers.astype(int)).max(1).mean() > np.abs(plain.astype(int)).max(1).mean() + 8
    assert not overflows(integers, channels_of(kind, np.minimum(255, 1.2 * 255 * channels), integers))


def test_one_scale_for_all_channels_is_that_of_the_worst() -> None:
    kind = "Convolution"
    made = quantized(kind, drawn(kind), samples(kind), "enable", per_channel=False, reaches={})
    assert not overflows(stored(made, kind))
    assert np.abs(stored(made, kind).astype(int)).max() > 64


RUN = """
import sys, numpy as np
from edgekit.backends.openvino.libraries import CORE, EXACT
compiled = CORE.compile_model(CORE.read_model(sys.argv[1]), "CPU", EXACT)
np.save(sys.argv[2], np.stack([compiled(row)[0] for row in np.load(sys.argv[3])]))
"""


@pytest.mark.study
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="vpmaddubsw is an instruction of x86")
def test_without_vnni_a_file_computes_the_same(tmp_path: Path) -> None:
    """OpenVINO's kernels are told to do without; weights of all 8 bits show that they then overflow."""
    kind, levels = "Convolution", {}
    large = np.random.default_rng(1).uniform(0.7, 1, KINDS[kind][1]).astype(np.float32)
    channels = np.where(np.arange(12) % 4 < 2, 1, 0.3)
    given = samples(kind, channels)
    reaches = reached.inputs(layer(kind, large), [{0: row} for row in given])
    farthest = np.broadcast_to(channels.reshape(12, 1, 1), input_shape(kind)).astype(np.float32)
    np.save(tmp_path / "rows.npy", np.stack([farthest, farthest]))
    wanted = libraries.CORE.compile_model(layer(kind, large), "CPU")(farthest)
    for name, fix, known in (("known", "enable", reaches), ("unknown", "enable", {}), ("all bits", "disable", None)):
        file = tmp_path / f"{name}.xml"
        libraries.ov.save_model(quantized(kind, large, given, fix, reaches=known), file, compress_to_fp16=False)
        words = ["-c", RUN, file, tmp_path / "out.npy", tmp_path / "rows.npy"]
        subprocess.run([sys.executable, *words], check=True, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"})
        levels[name] = sqnr_db(np.asarray(wanted[0]), np.load(tmp_path / "out.npy")[0])
    assert levels["known"] > 35
    assert levels["unknown"] > 35
    assert levels["all bits"] < 25
