"""Products of 64-bit integers wrap round in a file of 32: this is said, unless they are indices."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource, narrowing
from edgekit.sources.onnx.prepare import prepare
from tests.sources.onnx.onnx_cases import build, i64, save

WIDE, NARROW, FLOATS = "int64[1,4] x", "int32[1,4] x", "float[1,4] x"

TOLD: dict[str, onnx.ModelProto] = {
    "by a constant": build(WIDE, "y = Mul(x, c)", "int64[] y", c=i64(1000003)),
    "by itself": build(WIDE, "y = Mul(x, x)", "int64[] y"),
    "raised": build(WIDE, "y = Pow(x, c)", "int64[] y", c=i64(3)),
    "all of them": build(WIDE, "y = ReduceProd<axes=[1]>(x)", "int64[] y"),
    "as a float": build(WIDE, "h = Mul(x, c) m = Mod(h, p) y = Cast<to=1>(m)", c=i64(1000003), p=i64(97)),
    "compared": build(WIDE, "h = Mul(x, x) y = Less(h, c)", "bool[] y", c=i64(9)),
    "moved": build(WIDE, "h = Mul(x, x) t = Transpose<perm=[1,0]>(h) y = Add(t, c)", "int64[] y", c=i64(9)),
    "in a table": build(WIDE, "h = Mul(x, x) y = Gather<axis=1>(h, c)", "int64[] y", c=i64(0, 2)),
    "of a float": build(FLOATS, "i = Cast<to=7>(x) y = Mul(i, i)", "int64[] y"),
}

NOT_TOLD: dict[str, onnx.ModelProto] = {
    "an index": build(WIDE, "h = Mul(x, c) y = Gather(t, h)", c=i64(2), t=(400, 3)),
    "a class": build(WIDE, "h = Mul(x, c) y = OneHot<axis=-1>(h, d, v)", c=i64(2), d=i64(9), v=np.float32([0, 1])),
    "of 32 bits": build(NARROW, "y = Mul(x, x)", "int32[] y"),
    "of floats": build(FLOATS, "y = Mul(x, x)"),
    "a sum": build(WIDE, "y = Add(x, c)", "int64[] y", c=i64(1)),
    "a shape": build(FLOATS, "s = Shape(x) m = Mul(s, o) y = Reshape(x, m)", o=i64(1, 1)),
    "read by nobody": build(WIDE, "h = Mul(x, x) y = Add(x, c)", "int64[] y", c=i64(1)),
}


@pytest.mark.parametrize("name", sorted(TOLD))
def test_products_that_may_wrap_round_are_told(name: str) -> None:
    (said,) = narrowing.warning(prepare(TOLD[name]), sampled=True)
    assert "2,147,483,647" in said
    assert "--eval" in said


@pytest.mark.parametrize("name", sorted(NOT_TOLD))
def test_what_cannot_wrap_round_is_not(name: str) -> None:
    assert narrowing.warning(prepare(NOT_TOLD[name]), sampled=False) == ()


def test_several_are_counted() -> None:
    model = build(WIDE, "a = Mul(x, x) b = Mul(a, x) y = Mul(b, x)", "int64[] y")
    assert narrowing.warning(prepare(model), sampled=True)[0].startswith("a and 2 more: ")


SUMS = {
    "over an axis": build("int64[1,400] x", "s = ReduceSum(x) y = Cast<to=1>(s)"),
    "one after the other": build("int64[1,400] x", "y = CumSum(x, a)", "int64[] y", a=np.int64(1)),
    "of two": build("int64[1,4] x, int64[1,4] z", "a = Add(x, z) y = Cast<to=1>(a)"),
    "less another": build(WIDE, "n = Neg(x) a = Sub(x, n) y = Abs(a)", "int64[] y"),
    "of magnitudes": build("int64[2,400] x", "y = ReduceL1<axes=[1]>(x)", "int64[] y"),
}


@pytest.mark.parametrize("name", sorted(SUMS))
def test_sums_of_many_are_told_if_no_samples_show_how_far_they_go(name: str) -> None:
    network = prepare(SUMS[name])
    assert narrowing.warning(network, sampled=True) == ()
    assert "added up" in narrowing.warning(network, sampled=False)[0]


def test_what_32_bits_do_not_hold_is_named(tmp_path: Path) -> None:
    model = build("int64[1,3] x", "a = Add(x, x) b = Add(a, a) c = Mul(b, h) y = Cast<to=1>(c)", h=i64(2))
    path = save(tmp_path, model)
    np.savez(tmp_path / "samples.npz", x=np.array([[[1, 2, 600_000_000]]]))
    (tmp_path / "waist").mkdir()
    with pytest.raises(Unsupported, match=r"'b' reaches 2,400,000,000") as caught:
        OnnxSource().to_waist(path, SourceOptions(), tmp_path / "waist", tmp_path / "samples.npz")
    assert "float32" in caught.value.fix
