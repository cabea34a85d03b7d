"""What a board with an MLPerf Tiny firmware says, as plain data.

Source: the monitor and the reference submissions of the benchmark (mlcommons/tiny, ``benchmark/api``),
whose formats these are:

| command | reply, in lines |
| --- | --- |
| ``name%`` | ``m-name-dut-[VENDOR]`` |
| ``profile%`` | ``m-profile-[FIRMWARE]``, ``m-model-[kws01]`` |
| ``db load N%``, then ``db HEX%`` | ``m-[Expecting N bytes]``, at the last byte ``m-load-done`` |
| ``infer N W%`` | ``m-lap-us-T`` before and after N inferences, ``m-results-[0.000,0.996]`` |
| ``timestamp%`` | ``m-lap-us-T`` |

Every reply ends with ``m-ready``; ``e-[…]`` is a complaint.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from edgekit.errors import DeviceError
from edgekit.waist.graph import Tensor
from edgekit.waist.tensors import Array, dequantize, quantize

COMMAND_BYTES = 80
"""The longest command that the monitor takes (``EE_CMD_SIZE``)."""

CHUNK = 32
"""Bytes in one ``db`` command: as two hexadecimal digits each they stay below that."""

READY = "m-ready"

COUNTER = 1 << 32
"""Where the board's microseconds start again: its ``unsigned long`` has 32 bits (every 71.6 minutes)."""

Feeds = Literal["stored", "unsigned", "real"]
"""How the firmware takes its input: the file's own bytes, int8 as bytes + 128, or float32."""


class BenchmarkModel(NamedTuple):
    """A model of the benchmark: bytes of its input as the reference firmware takes them, and how."""

    input_bytes: int
    feeds: Feeds


MODELS: dict[str, BenchmarkModel] = {
    "kws01": BenchmarkModel(490, "stored"),
    "ic01": BenchmarkModel(32 * 32 * 3, "unsigned"),
    "vww01": BenchmarkModel(96 * 96 * 3, "unsigned"),
    "ad01": BenchmarkModel(640 * 4, "real"),
}
"""Models by the name in ``m-model-[…]``; a firmware of another name is given the file's own bytes."""


class Identity(NamedTuple):
    """Who answers: the vendor's name for the board, its firmware, and the model flashed; empty if untold."""

    vendor: str
    firmware: str
    model: str


def identity(lines: Iterable[str]) -> Identity:
    """Read the replies to ``name%`` and ``profile%``."""
    found = {"name": "", "profile": "", "model": ""}
    for line in lines:
        if match := re.fullmatch(r"m-(?:(name)-[^\[]*|(profile)|(model))-\[(.*)\]", line):
            found[match[1] or match[2] or match[3]] = match[4]
    return Identity(found["name"], found["profile"], found["model"])


def complaint(lines: Iterable[str]) -> str:
    """What the firmware complains of; empty if it does not."""
    return next((match[1] for line in lines if (match := re.fullmatch(r"e-\[(.*)\]", line))), "")


def lap_us(line: str) -> int | None:
    """The time in a line, in µs; None in every other line."""
    match = re.fullmatch(r"m-lap-us-([0-9]{1,20})", line)
    return int(match[1]) if match else None


def since_us(earlier: int, later: int) -> int:
    """µs from one time to a later one, at most one round of the counter on."""
    return (later - earlier) % COUNTER if max(earlier, later) < COUNTER else later - earlier


def commands(content: bytes) -> Iterator[str]:
    """The commands that fill the board's buffer."""
    yield f"db load {len(content)}"
    for start in range(0, len(content), CHUNK):
        yield f"db {content[start : start + CHUNK].hex()}"


def encoded(values: Array, tensor: Tensor, feeds: Feeds) -> bytes:
    """One sample (in the file's dtype, ``[*shape]``) as the firmware takes it."""
    if feeds == "unsigned" and values.dtype == np.int8:
        return (values.astype(np.int16) + 128).astype(np.uint8).tobytes()
    if feeds == "real" and tensor.scales and values.dtype.kind in "iu":
        return dequantize(values, tensor.scales[0], tensor.zero_points[0]).astype("<f4").tobytes()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def results(lines: Iterable[str]) -> tuple[str, ...] | None:
    """The numbers of the results as they are printed; None if there are none.

    Raises:
        DeviceError: something stands there that is no number.
    """
    for line in lines:
        if match := re.fullmatch(r"m-results-\[(.*)\]", line):
            texts = tuple(text.strip() for text in match[1].split(",") if text.strip())
            wrong = next((text for text in texts if not NUMBER.fullmatch(text)), None)
            if wrong is not None:
                raise DeviceError(
                    f"The board's results hold what is no number: {wrong[:40]!r}.",
                    place="m-results",
                    fix="check the firmware's printing (many small printf functions lack %f) and the cable",
                )
            return texts
    return None


NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)
"""A number as C's ``printf`` writes it."""


def decoded(texts: tuple[str, ...], tensor: Tensor) -> tuple[Array, str]:
    """Results as the file's output, ``[*shape]`` in its dtype, and a remark if that is not exact.

    Whole numbers for an integer output are taken as stored; anything with a point as real values,
    which are rounded to the output's grid. Three decimals tell the 256 steps of a softmax apart,
    cut off (as the reference for keyword spotting prints) as well as rounded.

    Raises:
        ValueError: another number of values than the output has.
    """
    dtype = np.dtype(tensor.dtype)
    if len(texts) != int(np.prod(tensor.shape)):
        raise ValueError(len(texts))
    whole = all(re.fullmatch(r"[+-]?[0-9]+", text) for text in texts)
    if dtype.kind in "iu" and (whole or not tensor.scales):
        limits = np.iinfo(dtype)
        kept = [min(max(int(float(text)), limits.min), limits.max) for text in texts]
        return np.array(kept, dtype).reshape(tensor.shape), ""
    step = max((printed_step(text) for text in texts), default=0.0)
    real = np.array([float(text) for text in texts], np.float64).reshape(tensor.shape)
    if dtype.kind not in "iu":
        return real.astype(dtype), f"the board prints its outputs in steps of {step:g}"
    coarse = step > tensor.scales[0] / 2
    remark = f"the board prints outputs in steps of {step:g}, too coarse for the file's {tensor.scales[0]:g}"
    return quantize(real, tensor.scales[0], tensor.zero_points[0], tensor.dtype), remark if coarse else ""


def printed_step(text: str) -> float:
    """What the last printed digit of a number is worth."""
    digits, _, exponent = text.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
