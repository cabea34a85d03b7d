"""A refusal of what an input steers names the options that build it, ready to be pasted."""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser

from edgekit.errors import EdgekitError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource
from tests.sources.onnx.onnx_cases import save

LOOP = """(float[1,3] x, int64 n) => (float[d,3] y) {
    t = Constant<value = bool {1}>() y = Loop(n, t, x) <body = b (int64 i, bool c, float[1,3] v) => (bool m, float[1,3] w) {
        m = Identity(c) w = Sin(v)
    }>
}"""

COUNTED = """(float[3] x, int64 n) => (float[d] y) {
    k = Constant<value = int64 {9}>() t = Less(n, k) m = Constant<value = int64 {9223372036854775807}>()
    y, o = Loop(m, t, x, n) <body = b (int64 i, bool c, float[3] v, int64 a) => (bool q, float[3] w, int64 e) {
        s = Constant<value = int64 {1}>() w = Sin(v) e = Add(a, s) z = Constant<value = int64 {9}>() q = Less(e, z)
    }>
}"""

DECLARED = {
    "transform": ("(float[1,24,1] x, int64 n) => (float[1,24,2] y) { y = DFT <axis=1> (x, n) }", {"n": (24,)}),
    "a shorter one": ("(float[1,24,1] x, int64 n) => (float[1,16,2] y) { y = DFT <axis=1> (x, n) }", {"n": (16,)}),
    "its half": ("(float[1,24,1] x, int64 n) => (float[1,13,2] y) { y = DFT <axis=1, onesided=1> (x, n) }", {"n": (24,)}),
    "an axis taken away": ("(float[1,5,1] x, int64[1] a) => (float[1,5] y) { r = Relu(x) y = Squeeze(r, a) }", {"a": (2,)}),
    "an axis put in": ("(float[5,6] x, int64[1] a) => (float[5,1,6] y) { r = Relu(x) y = Unsqueeze(r, a) }", {"a": (1,)}),
    "an axis summed up": (
        "(float[2,5,6] x, int64[1] a) => (float[2,6] y) { y = ReduceSum <keepdims=0> (x, a) }", {"a": (1,)},
    ),
}  # fmt: skip
"""What the declared results tell: text, and the value of each input that steers."""


def saved(folder: Path, text: str) -> Path:
    return save(folder, parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g {text}'))


def proposed(path: Path, options: SourceOptions) -> tuple[SourceOptions, str]:
    """The options of the command in a refusal's fix, and the fix."""
    with pytest.raises(Unsupported) as refused:
        made(path, options, path.parent)
    command = re.search(r"`(edgekit build .*)`", refused.value.fix)
    assert command is not None
    words = shlex.split(command.group(1))
    flags: dict[str, dict[str, tuple[int, ...]]] = {"--constant": {}, "--shape": {}}
    for flag, value in itertools.pairwise(words):
        if flag in flags:
            name, _, numbers = value.rpartition("=")
            flags[flag][name] = tuple(map(int, numbers.split(",")))
    assert words[2] == str(path)
    return SourceOptions(shapes=flags["--shape"], constants=flags["--constant"]), refused.value.fix


def made(path: Path, options: SourceOptions, folder: Path) -> None:
    source = OnnxSource()
    source.describe(path, options)
    source.to_waist(path, options, folder)


@pytest.mark.parametrize("name", DECLARED)
def test_the_value_that_gives_the_declared_result_is_named_and_builds(name: str, tmp_path: Path) -> None:
    text, value = DECLARED[name]
    path = saved(tmp_path, text)
    options, fix = proposed(path, SourceOptions())
    assert options.constants == value
    assert "your value" not in fix
    made(path, options, tmp_path)


@pytest.mark.parametrize("text", [LOOP, COUNTED], ids=["trips", "a counter"])
def test_a_value_that_nothing_tells_is_an_example_that_builds(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, text)
    options, fix = proposed(path, SourceOptions())
    assert "each to your value, for instance" in fix
    made(path, options, tmp_path)


def test_shapes_that_were_given_are_given_again(tmp_path: Path) -> None:
    path = saved(tmp_path, "(float[1,t,1] x, int64 n) => (float[1,t,2] y) { y = DFT <axis=1> (x, n) }")
    options, _ = proposed(path, SourceOptions(shapes={"x": (1, 10, 1)}))
    assert options.shapes == {"x": (1, 10, 1)}
    made(path, options, tmp_path)


@pytest.mark.parametrize("opset", [17, 20])
def test_a_one_sided_inverse_is_refused_for_what_it_is(opset: int, tmp_path: Path) -> None:
    axis = ", a" if opset == 20 else ""
    text = f"(float[1,5,2] x, int64 n) => (float[1,8,1] y) {{ y = DFT <inverse=1, onesided=1> (x, n{axis}) }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {text}')
    model.graph.initializer.append(numpy_helper.from_array(np.int64(1), "a"))
    with pytest.raises(EdgekitError, match="defines real results, ONNX Runtime gives complex ones") as refused:
        made(save(tmp_path, model), SourceOptions(), tmp_path)
    assert "onesided=0" in refused.value.fix
