"""What an inference of an IR takes: honest work earns its time, a declared number of rounds does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import effort
from edgekit.backends.openvino.libraries import operators as op
from edgekit.backends.openvino.libraries import ov
from edgekit.waist.effort import MOST_TRIPS
from tests.backends.openvino.looped_ir import looped, saved, sliced


def given(*shape: int) -> Any:
    return op.parameter(list(shape), np.float32)


def zeros(*shape: int) -> Any:
    return op.constant(np.zeros(shape, np.float32))


def convolution(x: Any) -> Any:
    return op.convolution(x, zeros(4, 3, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])


def grouped(x: Any) -> Any:
    return op.group_convolution(x, zeros(3, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])


def backwards(x: Any) -> Any:
    return op.convolution_backprop_data(x, zeros(3, 4, 3, 3), [2, 2])


def grouped_backwards(x: Any) -> Any:
    return op.group_convolution_backprop_data(x, zeros(3, 1, 4, 3, 3), [2, 2])


def sequence(x: Any) -> Any:
    state, lengths = zeros(2, 1, 4), op.constant(np.full(2, 50, np.int32))
    return op.lstm_sequence(
        x, state, state, lengths, zeros(1, 16, 8), zeros(1, 16, 4), zeros(1, 16), 4, "forward"
    ).output(0)


def gated(x: Any) -> Any:
    return op.gru_cell(x, zeros(2, 4), zeros(12, 8), zeros(12, 4), zeros(12), 4)


def attention(x: Any) -> Any:
    return op.scaled_dot_product_attention(x, zeros(1, 2, 7, 8), zeros(1, 2, 7, 5))


@pytest.mark.parametrize(
    ("shape", "of", "macs"),
    [
        ((1, 3, 8, 8), convolution, 4 * 64 * 27),
        ((1, 3, 8, 8), grouped, 3 * 64 * 9),
        ((1, 3, 4, 4), backwards, 48 * 36),
        ((1, 3, 4, 4), grouped_backwards, 48 * 36),
        ((5, 8), lambda x: op.matmul(x, zeros(8, 3), transpose_a=False, transpose_b=False), 5 * 3 * 8),
        ((8, 5), lambda x: op.matmul(x, zeros(8, 3), transpose_a=True, transpose_b=False), 5 * 3 * 8),
        ((2, 50, 8), sequence, 100 * 16 * 12),
        ((2, 8), gated, 2 * 12 * 12),
        ((1, 2, 6, 8), attention, 12 * 7 * (8 + 5)),
        ((1, 8), op.sin, 0),
    ],
)
def test_macs_are_those_of_the_shapes(
    shape: tuple[int, ...], of: Callable[[Any], Any], macs: int, tmp_path: Path
) -> None:
    x = given(*shape)
    made = of(x)
    found = effort.of(saved(ov.Model([made], [x]), tmp_path / "net.xml"))
    assert found.macs == macs
    assert found.values >= np.prod(shape)
    assert not found.loops


@pytest.mark.parametrize(
    ("trips", "counted"), [(7, 7), (1, 1), (0, 0), (10**9, MOST_TRIPS), (2**62, MOST_TRIPS), (-1, 4)]
)
def test_bodies_of_a_loop_count_as_often_as_the_file_says(trips: int, counted: int, tmp_path: Path) -> None:
    found = effort.of(saved(looped(trips, products=True), tmp_path / "net.xml"))
    assert found.macs == counted * 16
    assert found.loops == ("Loop again",)


def test_bodies_of_a_tensor_iterator_count_for_each_slice(tmp_path: Path) -> None:
    found = effort.of(saved(sliced(30), tmp_path / "net.xml"))
    assert found.macs == 30 * 16
    assert found.loops == ("TensorIterator steps",)


def test_loops_in_loops_multiply_and_earn_no_more_than_all_may(tmp_path: Path) -> None:
    assert effort.of(saved(looped(20, inner=30), tmp_path / "few.xml")).macs == 20 * 30 * 16
    assert effort.of(saved(looped(10**6, inner=10**6), tmp_path / "many.xml")).macs == MOST_TRIPS * 16


def test_what_is_no_ir_is_said(tmp_path: Path) -> None:
    path = tmp_path / "net.xml"
    path.write_text("<net><layers>")
    with pytest.raises(ValueError, match="no element found"):
        effort.of(path)
