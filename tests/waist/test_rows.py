"""Arrays written piece by piece are those that numpy would have written."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from edgekit.waist import rows
from edgekit.waist.tensors import arrays


@given(values=arrays_of.arrays(st.sampled_from(["f4", "i8", "u1", "?", ">i2"]), arrays_of.array_shapes(min_side=0)))
def test_blocks_are_written_as_numpy_reads_them(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> None:
    path = Path(tempfile.gettempdir()) / "edgekit-rows.npy"
    for given_values in (values, np.asfortranarray(values), values[::-1]):
        rows.write_array(path, given_values)
        found = np.load(path)
        np.testing.assert_array_equal(found, given_values)
        assert (found.dtype, found.flags.c_contiguous) == (values.dtype, True)
    path.unlink()


@pytest.mark.parametrize("packed", [False, True])
def test_rows_come_one_by_one_and_are_mapped_unless_packed(tmp_path: Path, packed: bool) -> None:
    wanted = np.random.default_rng(0).random((5, 1, 3)).astype(np.float32)
    path = rows.write_rows(tmp_path / "rows.npz", ({"a/b": row, "n": np.int64(i)} for i, row in enumerate(wanted)))
    if packed:
        np.savez_compressed(path, **dict(np.load(path)))
    found = arrays(path)
    np.testing.assert_array_equal(found["a/b"], wanted)
    assert found["n"].tolist() == [0, 1, 2, 3, 4]
    assert isinstance(found["a/b"].base, np.memmap) != packed
    assert [file.name for file in tmp_path.iterdir()] == ["rows.npz"]


@given(
    values=st.lists(
        arrays_of.arrays(st.sampled_from(["f4", "i8", "u1", "?", ">i2"]), arrays_of.array_shapes(min_side=0)),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_archives_are_read_as_numpy_reads_them(
    values: "list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]",
) -> None:
    path = Path(tempfile.gettempdir()) / "edgekit-rows.npz"
    named = {f"ä{i}/x": np.asfortranarray(value) if i % 2 else value for i, value in enumerate(values)}
    np.savez(path, **named)
    found = arrays(path)
    assert list(found) == list(named)
    for name, value in named.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype
    path.unlink()


def test_rows_of_different_shapes_are_faults(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one result is \[3\], another \[2\]"):
        rows.write_rows(tmp_path / "a.npz", [{"x": np.zeros(2)}, {"x": np.zeros(3)}])
    assert not list(tmp_path.iterdir())
