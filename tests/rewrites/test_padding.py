"""PAD in front of convolutions: folded if "same" padding puts the very zeros there, and only then."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import networks
from tests.rewrites import rewriting


def padded_convolution(
    path: Path,
    *,
    size: tuple[int, int] = (9, 8),
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    before: tuple[int, int] = (1, 1),
    behind: tuple[int, int] = (1, 1),
    depthwise: bool = False,
    value: float = 0.0,
    readers: int = 1,
) -> Path:
    """PAD, then one or more VALID convolutions of it, which are the outputs."""
    net = networks.Network()
    x = net.input("x", (1, *size, 2))
    wide = tuple(a + b + c for a, b, c in zip(size, before, behind, strict=True))
    amounts = net.constant("amounts", np.array([[0, 0], *zip(before, behind, strict=True), [0, 0]], np.int32))
    extra = [net.constant("value", np.array([value], np.float32))] if value else []
    name = "PADV2" if value else "PAD"
    inner = net.operator(name, [x, amounts, *extra], (1, *wide, 2), kind="PadV2Options" if value else "PadOptions")
    made = tuple((w - k) // s + 1 for w, k, s in zip(wide, kernel, stride, strict=True))
    options = {"strideH": stride[0], "strideW": stride[1], "dilationHFactor": 1, "dilationWFactor": 1}
    outputs = []
    for number in range(readers):
        if depthwise:
            weights = net.constant(f"k{number}", networks.weights(1, *kernel, 2, seed=number))
            kind, channels = "DepthwiseConv2DOptions", 2
            options["depthMultiplier"] = 1
        else:
            weights = net.constant(f"k{number}", networks.weights(3, *kernel, 2, seed=number))
            kind, channels = "Conv2DOptions", 3
        bias = net.constant(f"b{number}", np.ones(channels, np.float32))
        builtin = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        outputs.append(
            net.operator(
                builtin, [inner, weights, bias], (1, *made, channels), kind=kind, padding=networks.VALID, **options
            )
        )
    return net.save(path, *outputs)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("readers", [1, 2])
def test_what_same_padding_puts_there_is_folded(tmp_path: Path, *, depthwise: bool, readers: int) -> None:
    path = padded_convolution(tmp_path / "model.tflite", depthwise=depthwise, readers=readers)
    told, after = rewriting.rewritten(path, "padding")
    assert "PAD" not in rewriting.operators(after)
    assert told.notes == ('rewritten: 1 PAD folded into "same" padding',)
    rewriting.assert_same(path, after)


def test_the_padding_of_pytorch_at_stride_2_stays(tmp_path: Path) -> None:
    path = padded_convolution(tmp_path / "torch.tflite", size=(8, 8), stride=(2, 2))
    told, after = rewriting.rewritten(path, "padding")
    assert after == path
    assert told.before == told.after
    path = padded_convolution(tmp_path / "tensorflow.tflite", size=(8, 8), stride=(2, 2), before=(0, 0))
    assert "PAD" not in rewriting.operators(rewriting.rewritten(path, "padding")[1])


def test_padding_by_another_value_stays(tmp_path: Path) -> None:
    path = padded_convolution(tmp_path / "model.tflite", value=1.5)
    assert rewriting.rewritten(path, "padding")[1] == path


def test_a_stride_that_leaps_is_not_folded_into_what_xnnpack_gets_wrong(tmp_path: Path) -> None:
    path = padded_convolution(
        tmp_path / "model.tflite", size=(9, 9), kernel=(1, 3), stride=(2, 1), before=(0, 1), behind=(0, 1)
    )
    _, after = rewriting.rewritten(path, "padding")
    rewriting.assert_same(path, after)


pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pairs,
    pairs,
    st.booleans(),
)
def test_any_padding_computes_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    behind: tuple[int, int],
    depthwise: bool,
) -> None:
    folder = tmp_path_factory.mktemp("padded")
    path = padded_convolution(
        folder / "model.tflite",
        size=size,
        kernel=kernel,
        stride=stride,
        before=before,
        behind=behind,
        depthwise=depthwise,
    )
    told, after = rewriting.rewritten(path, "padding")
    assert not told.refused
    rewriting.assert_same(path, after)


@pytest.mark.parametrize("clamped", [True, False])
def test_the_lowest_float_in_front_of_a_pool_is_zero_behind_a_relu(tmp_path: Path, *, clamped: bool) -> None:
    net = networks.Network()
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": networks.SAME}
    inputs = [net.input("x", (1, 6, 6, 2)), net.constant("w", networks.weights(3, 1, 1, 2)), -1]
    inputs[2] = net.constant("b", np.zeros(3, np.float32))
    activation = {"fusedActivationFunction": networks.RELU} if clamped else {}
    made = net.operator("CONV_2D", inputs, (1, 6, 6, 3), kind="Conv2DOptions", **options, **activation)
    amounts = net.constant("amounts", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    lowest = net.constant("lowest", np.array([np.finfo(np.float32).min], np.float32))
    padded = net.operator("PADV2", [made, amounts, lowest], (1, 8, 8, 3), kind="PadV2Options")
    pool = {"strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3, "padding": networks.VALID}
    path = net.save(
        tmp_path / "pool.tflite", net.operator("MAX_POOL_2D", [padded], (1, 3, 3, 3), kind="Pool2DOptions", **pool)
    )
    _, after = rewriting.rewritten(path, "pool_padding")
    assert rewriting.operators(after) == {"CONV_2D": 1, "PAD" if clamped else "PADV2": 1, "MAX_POOL_2D": 1}
    rewriting.assert_same(path, after)
