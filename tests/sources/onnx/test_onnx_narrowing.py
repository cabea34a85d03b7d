"""Products of 64-bit integers wrap round in a file of 32: this is said, unless they are indices."""

import numpy as np
import onnx
import pytest

from edgekit.sources.onnx import narrowing
from edgekit.sources.onnx.prepare import prepare
from tests.sources.onnx.onnx_cases import build, i64

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
    (said,) = narrowing.warning(prepare(TOLD[name]))
    assert "2,147,483,647" in said
    assert "--eval" in said


@pytest.mark.parametrize("name", sorted(NOT_TOLD))
def test_what_cannot_wrap_round_is_not(name: str) -> None:
    assert narrowing.warning(prepare(NOT_TOLD[name])) == ()


def test_several_are_counted() -> None:
    model = build(WIDE, "a = Mul(x, x) b = Mul(a, x) y = Mul(b, x)", "int64[] y")
    assert narrowing.warning(prepare(model))[0].startswith("a and 2 more: ")
