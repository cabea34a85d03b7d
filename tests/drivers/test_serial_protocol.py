"""What is read off a board's lines, for every line that can come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.drivers.serial import protocol
from edgekit.errors import DeviceError
from edgekit.waist.graph import Tensor
from edgekit.waist.tensors import dequantize

LINES = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["m-results-[", "m-lap-us-", "m-model-[", "m-name-", "e-[", "m-profile-["]).flatmap(
            lambda start: st.text("0123456789.,-+eE[]% \t٣x", max_size=40).map(lambda rest: start + rest)
        ),
    ),
    max_size=6,
)


def tensor(shape: tuple[int, ...], dtype: str, scale: float | None = None, zero_point: int = 0) -> Tensor:
    grid = {"scales": (scale,), "zero_points": (zero_point,)} if scale is not None else {}
    return Tensor(index=0, name="y", shape=shape, signature_shape=shape, dtype=dtype, constant_bytes=0, **grid)


def test_replies_of_the_reference_firmware() -> None:
    lines = ["m-name-dut-[unspecified]", "m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[kws01]"]
    assert protocol.identity(lines) == ("unspecified", "ULPMark for tinyML Firmware V0.0.1", "kws01")
    assert protocol.lap_us("m-lap-us-67410227") == 67410227
    assert protocol.complaint(["m-ready", "e-[Unknown command: x]"]) == "Unknown command: x"
    assert protocol.results(["m-infer-done", "m-results-[0.000,0.992]"]) == ("0.000", "0.992")


@settings(max_examples=60)
@given(LINES)
def test_any_lines_are_read_or_refused_with_a_remedy(lines: list[str]) -> None:
    assert all(isinstance(part, str) for part in protocol.identity(lines))
    assert protocol.complaint(lines) is not None
    for line in lines:
        us = protocol.lap_us(line)
        assert us is None or us >= 0
    try:
        texts = protocol.results(lines)
    except DeviceError as error:
        assert error.fix  # noqa: PT017  most lines are no error
        return
    for text in texts or ():
        assert np.isfinite(float(text)) or "e" in text.lower()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_counter_may_start_again_once(begin: int, length: int) -> None:
    assert protocol.since_us(begin, (begin + length) % 2**32) == length


@given(st.integers(2**32, 2**63), st.integers(0, 2**40))
def test_a_wider_counter_does_not(begin: int, length: int) -> None:
    assert protocol.since_us(begin, begin + length) == length


@given(st.binary(min_size=1, max_size=300))
def test_commands_carry_every_byte_and_are_short_enough(content: bytes) -> None:
    first, *rest = protocol.commands(content)
    assert first == f"db load {len(content)}"
    assert b"".join(bytes.fromhex(command.removeprefix("db ")) for command in rest) == content
    assert all(len(command) < protocol.COMMAND_BYTES for command in (first, *rest))


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=30), st.sampled_from([1 / 256, 0.01, 0.1]), st.booleans())
def test_three_decimals_give_the_integers_back(stored: list[int], scale: float, rounded: bool) -> None:
    made = tensor((len(stored),), "int8", scale, -128)
    real = [scale * (value + 128) for value in stored]
    texts = tuple(f"{value:.3f}" if rounded else f"{np.floor(value * 1000 + 1e-6) / 1000:.3f}" for value in real)
    found, remark = protocol.decoded(texts, made)
    assert found.tolist() == stored
    assert not remark


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=30))
def test_whole_numbers_are_taken_as_stored(stored: list[int]) -> None:
    found, remark = protocol.decoded(tuple(map(str, stored)), tensor((len(stored),), "int8", 0.5, 3))
    assert (found.tolist(), found.dtype, remark) == (stored, np.int8, "")


def test_real_values_are_as_exact_as_they_are_printed() -> None:
    found, remark = protocol.decoded(("0.25", "1e-3"), tensor((1, 2), "float32"))
    np.testing.assert_array_equal(found, np.array([[0.25, 0.001]], np.float32))
    assert remark == "the board prints its outputs in steps of 0.01"


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(ValueError, match="1"):
        protocol.decoded(("0.5",), tensor((1, 2), "int8", 0.1))


@pytest.mark.parametrize(("text", "step"), [("1", 1), ("0.125", 0.001), ("2.50", 0.01), ("1.5e-3", 1e-4), ("-3.", 1)])
def test_what_the_last_digit_is_worth(text: str, step: float) -> None:
    assert protocol.printed_step(text) == pytest.approx(step)


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20))
def test_the_firmware_gets_the_input_as_it_takes_it(stored: list[int]) -> None:
    given_, values = tensor((len(stored),), "int8", 0.25, -3), np.array(stored, np.int8)
    assert protocol.encoded(values, given_, "stored") == values.tobytes()
    assert list(protocol.encoded(values, given_, "unsigned")) == [value + 128 for value in stored]
    real = np.frombuffer(protocol.encoded(values, given_, "real"), "<f4")
    np.testing.assert_array_equal(real, dequantize(values, 0.25, -3))
