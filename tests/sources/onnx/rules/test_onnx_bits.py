"""And, or and not of integers: all pairs of bytes, and of wider ones the ends and what lies between."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import build, save
from tests.sources.onnx.onnx_proof import computed, convert, expected

BODY = "a = BitwiseAnd(x, z) o = BitwiseOr(x, z) n = BitwiseNot(x)"


def numbers(dtype: str, count: int) -> Any:
    """All of 8 bits; of more both ends, what lies around 0, and others at random."""
    limits = np.iinfo(dtype)
    if limits.bits == 8:
        return np.arange(limits.min, limits.max + 1).astype(dtype)
    ends = [limits.min, limits.min + 1, limits.max, limits.max - 1, 0, 1, 0xFFFF, 0x8000, 0x7FFF]
    ends += [-1, -0x8000, -0x10000] if limits.min < 0 and limits.bits > 16 else []
    kept = [number for number in ends if limits.min <= number <= limits.max]
    others = np.random.default_rng(0).integers(limits.min, limits.max, count - len(kept), dtype, endpoint=True)
    return np.concatenate([np.asarray(kept, dtype), others])


@pytest.mark.parametrize("both_flow", [True, False], ids=["both flow", "one is constant"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32"])
def test_bits_of_any_pair(dtype: str, both_flow: bool, worker: Worker, tmp_path: Path) -> None:
    one = numbers(dtype, 60)
    other = one[:, np.newaxis]
    inputs = f"{dtype}[1,{len(one)}] x" + (f", {dtype}[{len(one)},1] z" if both_flow else "")
    constants = {} if both_flow else {"z": other}
    model = build(inputs, BODY, ", ".join(f"{dtype}[] {name}" for name in "aon"), opset=18, **constants)
    assert_same(
        worker, model, tmp_path, {"x": one[np.newaxis, np.newaxis]} | ({"z": other[np.newaxis]} if both_flow else {})
    )


@pytest.mark.parametrize("mask", [[0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF], [12]])
def test_a_mask_of_31_bits_for_any_int64(mask: list[int], worker: Worker, tmp_path: Path) -> None:
    model = build("int64[1,40] x", "y = BitwiseAnd(z, x)", "int64[] y", opset=18, z=np.asarray(mask)[:, np.newaxis])
    assert_same(worker, model, tmp_path, {"x": numbers("int64", 40)[np.newaxis, np.newaxis]})


def assert_same(worker: Worker, model: Any, folder: Path, samples: dict[str, Any]) -> None:
    path = save(folder, model)
    waist = convert(worker, path, folder / "waist")
    reference, got = expected(worker, path, folder, samples), computed(waist, folder / "waist", samples)
    for name, values in reference.items():
        np.testing.assert_array_equal(got[name], values, name)


WIDE = {
    "int64 or": "y = BitwiseOr(x, z)",
    "mask of 33 bits": "y = BitwiseAnd(x, wide)",
    "negative mask": "y = BitwiseAnd(x, negative)",
    "no mask": "y = BitwiseAnd(x, z)",
}
"""What int32 does not hold."""


@pytest.mark.parametrize("name", WIDE)
def test_what_32_bits_do_not_hold_is_refused_by_name(name: str, worker: Worker, tmp_path: Path) -> None:
    constants = {"wide": np.int64(1 << 32), "negative": np.int64(-4)}
    used = {key: value for key, value in constants.items() if key in WIDE[name]}
    model = build("int64[1,6] x, int64[1,6] z", WIDE[name], "int64[] y", opset=18, **used)
    with pytest.raises(Unsupported, match="Bitwise"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")
