from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import tensors

DTYPES = st.sampled_from(["int8", "uint8", "int16"])
SCALES = st.floats(2**-13, 10, width=32)
VALUES = arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(-1000, 1000, width=32))


@st.composite
def grids(draw: st.DrawFn) -> tuple[str, float, int]:
    """A dtype with a scale and a zero point that it can hold."""
    dtype = draw(DTYPES)
    limits = np.iinfo(dtype)
    return dtype, draw(SCALES), draw(st.integers(int(limits.min), int(limits.max)))


def spec(shape: tuple[int, ...], permutation: tuple[int, ...] | None = None, **fields: object) -> TensorSpec:
    source = shape if permutation is None else tuple(shape[permutation.index(axis)] for axis in range(len(shape)))
    known = {"dtype": "float32", "source_dtype": "float32"} | fields
    return TensorSpec(
        name="file", shape=shape, source_name="source", source_shape=source, permutation=permutation, **known
    )  # type: ignore[arg-type]


@given(VALUES, grids())
def test_quantizing_errs_by_at_most_half_a_step_inside_the_range(
    values: np.ndarray, grid: tuple[str, float, int]
) -> None:
    dtype, scale, zero = grid
    limits = np.iinfo(dtype)
    low, high = scale * (int(limits.min) - zero), scale * (int(limits.max) - zero)
    back = tensors.dequantize(tensors.quantize(values, scale, zero, dtype), scale, zero)
    expected = np.clip(values.astype(np.float64), low, high)
    assert (np.abs(back - expected) <= scale / 2 + 1e-3).all()


@given(grids(), st.data())
def test_stored_values_survive_a_round_trip(grid: tuple[str, float, int], data: st.DataObject) -> None:
    dtype, scale, zero = grid
    limits = np.iinfo(dtype)
    stored = np.array(data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1)), dtype)
    assert np.array_equal(tensors.quantize(tensors.dequantize(stored, scale, zero), scale, zero, dtype), stored)


@given(VALUES, grids())
def test_quantizing_keeps_order(values: np.ndarray, grid: tuple[str, float, int]) -> None:
    dtype, scale, zero = grid
    assert (np.diff(tensors.quantize(np.sort(values), scale, zero, dtype).astype(int)) >= 0).all()


def test_zero_is_exact_and_ties_go_to_even() -> None:
    assert tensors.quantize(np.zeros(1, np.float32), 0.3, -5, "int8").tolist() == [-5]
    assert tensors.quantize(np.array([0.5, 1.5, -0.5, -1.5]), 1.0, 0, "int8").tolist() == [0, 2, 0, -2]


@pytest.mark.parametrize(("dtype", "limits"), [("int8", [-128, 127]), ("uint8", [0, 255]), ("int16", [-32768, 32767])])
def test_what_does_not_fit_saturates(dtype: str, limits: list[int]) -> None:
    assert tensors.quantize(np.array([-1e9, 1e9]), 0.1, 0, dtype).tolist() == limits
    assert tensors.quantize(np.array([-np.inf, np.inf]), 0.1, 0, dtype).tolist() == limits


@given(st.permutations(range(4)), st.integers(1, 3), arrays.array_shapes(min_dims=4, max_dims=4, max_side=4))
def test_a_permutation_is_undone_on_the_way_back(order: list[int], count: int, shape: tuple[int, ...]) -> None:
    described = spec(shape, tuple(order))
    given_values = np.random.default_rng(0).standard_normal((count, *described.source_shape)).astype(np.float32)
    inside = tensors.to_file(described, given_values)
    assert inside.shape == (count, *shape)
    assert inside.flags.c_contiguous
    assert np.array_equal(tensors.to_source(described, inside), given_values)


def test_axis_k_of_the_file_is_axis_permutation_k_of_the_source() -> None:
    described = spec((1, 5, 6, 3), (0, 2, 3, 1))
    assert described.source_shape == (1, 3, 5, 6)
    values = np.arange(90, dtype=np.float32).reshape(1, 1, 3, 5, 6)
    assert tensors.to_file(described, values)[0, 0, 4, 2, 1] == values[0, 0, 1, 4, 2]


@given(grids(), st.permutations(range(3)))
def test_quantized_and_permuted_values_come_back_within_a_step(grid: tuple[str, float, int], order: list[int]) -> None:
    dtype, scale, zero = grid
    described = spec((2, 3, 4), tuple(order), dtype=dtype, scale=scale, zero_point=zero)
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(1).integers(limits.min, limits.max + 1, (2, *described.shape)).astype(dtype)
    real = tensors.to_source(described, stored)
    assert real.dtype == np.float32
    assert np.array_equal(tensors.to_file(described, real), stored)


def test_integers_of_the_source_are_cast_and_never_scaled() -> None:
    described = spec((1, 3), dtype="int32", source_dtype="int64", scale=0.5, zero_point=3)
    inside = tensors.to_file(described, np.array([[[1, 2, 70000]]]))
    assert inside.dtype == np.int32
    assert inside.tolist() == [[[1, 2, 70000]]]
    assert tensors.to_source(described, inside).dtype == np.int64


def test_a_signature_takes_each_tensor_by_its_name() -> None:
    first = TensorSpec(
        name="b", shape=(1,), dtype="int8", scale=0.5, zero_point=1,
        source_name="B", source_shape=(1,), source_dtype="float32",
    )  # fmt: skip
    second = TensorSpec(
        name="a", shape=(1,), dtype="float32", source_name="A", source_shape=(1,), source_dtype="float64"
    )
    signature = Signature(inputs=(first, second), outputs=(second, first))
    inside = tensors.inputs_to_file(signature, {"A": np.array([[1.5]]), "B": np.array([[2.0]], np.float32)})
    assert {name: (values.dtype.name, values.tolist()) for name, values in inside.items()} == {
        "b": ("int8", [[5]]),
        "a": ("float32", [[1.5]]),
    }
    outside = tensors.outputs_to_source(signature, inside)
    assert {name: (values.dtype.name, values.tolist()) for name, values in outside.items()} == {
        "A": ("float64", [[1.5]]),
        "B": ("float32", [[2.0]]),
    }


def test_stacking_empties_what_it_stacks() -> None:
    rows: list[tensors.Array] = [np.full((2, 3), i, np.int16) for i in range(4)]
    wanted = np.stack(rows)
    made = tensors.stacked(rows)
    assert not rows
    assert made.dtype == np.int16
    np.testing.assert_array_equal(made, wanted)
    with pytest.raises(ValueError, match="another"):
        tensors.stacked([np.zeros(2), np.zeros((2, 2))])


@pytest.mark.parametrize("values", [np.float32(3), np.zeros((3, 0), np.float32), np.asfortranarray(np.eye(3, 4))])
def test_an_archive_keeps_shapes(values: tensors.Array, tmp_path: Path) -> None:
    (read,) = tensors.arrays(tensors.write_npz(tmp_path / "x.npz", {"x": np.asarray(values)})).values()
    assert read.shape == values.shape
    assert np.array_equal(read, values)
