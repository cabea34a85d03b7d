"""Values that inputs are bound to, and names that are no tensor's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.waist import naming

FILE = Path("model.onnx")


@given(st.lists(st.integers(1, 4), max_size=4), st.data())
def test_as_many_values_as_an_input_holds_fill_it_in_order(shape: list[int], data: st.DataObject) -> None:
    count = int(np.prod(shape, dtype=int))
    values = tuple(data.draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count)))
    made = naming.bound("x", values, shape, np.dtype(np.int64))
    assert made.shape == tuple(shape)
    assert tuple(made.reshape(-1)) == values


@pytest.mark.parametrize(
    ("values", "declared", "shape"),
    [
        ((16000,), [], ()),
        ((16000,), ["N"], (1,)),
        ((1,), ["N", 128], (1, 128)),
        ((1,), ["N", "T"], (1, 1)),
        ((1, 2, 3), ["N"], (3,)),
        ((1, 2, 3), ["N", "T"], (1, 3)),
        ((1, 2, 3, 4), ["?", 2], (2, 2)),
        ((5,), None, ()),
        ((5, 6), None, (2,)),
        ((True,), [2], (2,)),
    ],
)
def test_open_sizes_follow_from_the_values(
    values: tuple[int, ...], declared: list[int | str] | None, shape: tuple[int, ...]
) -> None:
    assert naming.bound("x", values, declared, np.dtype(np.int64)).shape == shape


@pytest.mark.parametrize(
    ("values", "declared", "dtype"),
    [
        ((1, 2), [3], "int64"),
        ((1, 2, 3), ["N", 2], "int64"),
        ((0.5,), [], "int64"),
        ((300,), [], "uint8"),
        ((2,), [], "bool"),
    ],
)
def test_what_does_not_fit_is_refused(values: tuple[float, ...], declared: list[int | str], dtype: str) -> None:
    with pytest.raises(InputError) as refused:
        naming.bound("x", values, declared, np.dtype(dtype))
    assert "x" in str(refused.value)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(InputError) as refused:
        naming.require_tensors(FILE, ["conv_3"], ["conv_2/out", "conv3"])
    assert "conv3" in refused.value.fix
    assert "--tensors" in refused.value.fix


def test_inputs_that_are_left_out_are_named() -> None:
    with pytest.raises(InputError) as refused:
        naming.require_reached(FILE, ["a"], {"a", "sr"})
    assert "--constant sr=VALUE" in refused.value.fix
    with pytest.raises(InputError, match="reads b"):
        naming.require_reached(FILE, ["a", "b"], {"a"})
