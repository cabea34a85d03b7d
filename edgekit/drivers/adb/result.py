"""The result that newer builds of benchmark_model write: ``tflite.tools.benchmark.BenchmarkResult``.

Three flat messages of floats and integers are read here from protobuf's wire format, as far as they
are known; anything else is skipped. Source: ``tflite/tools/benchmark/proto/benchmark_result.proto``
(tensorflow, google-ai-edge/LiteRT) and protobuf's "Encoding".
"""

import math
import struct
from collections.abc import Iterator

from edgekit.drivers.adb.parsing import Printed
from edgekit.nouns.profile import Distribution, Memory

KIB = 1024

LATENCY, MEMORY, MISC = 2, 3, 4
"""Fields of a result: latencies in ms, memory in KiB, counts."""

AVG, MIN, MAX, STD, MEDIAN, P95, INIT, FIRST = 1, 2, 3, 4, 5, 7, 8, 9
"""Fields of its latencies."""

INIT_FOOTPRINT, OVERALL_FOOTPRINT = 1, 2
"""Fields of its memory."""

RUNS, WARM_UP_RUNS = 2, 3
"""Fields of its counts."""

Value = int | float | bytes

_FIXED = {1: ("<d", 8), 5: ("<f", 4)}
"""Wire types of a fixed size → how they are packed."""


def read(content: bytes) -> Printed | None:
    """A result as the same numbers that the tool prints; None if it is cut off or holds no latency.

    A count that a build leaves out is 0 in ``latency.runs``: the printed one is to be taken then.
    """
    try:
        whole = dict(fields(content))
        latency, memory, misc = (dict(fields(_bytes(whole.get(name)))) for name in (LATENCY, MEMORY, MISC))
    except ValueError:
        return None
    mean = _real(latency.get(AVG))
    if mean is None:
        return None
    return Printed(
        latency=Distribution(
            runs=_whole(misc.get(RUNS)) or 0,
            mean_ms=mean,
            min_ms=_real(latency.get(MIN), mean),
            max_ms=_real(latency.get(MAX), mean),
            median_ms=_real(latency.get(MEDIAN)),
            std_ms=_real(latency.get(STD)),
            p95_ms=_real(latency.get(P95)),
        ),
        init_ms=_real(latency.get(INIT)),
        first_ms=_real(latency.get(FIRST)),
        warm_up_runs=_whole(misc.get(WARM_UP_RUNS)) or 0,
        memory=Memory(loaded_bytes=_kib(memory.get(INIT_FOOTPRINT)), peak_bytes=_kib(memory.get(OVERALL_FOOTPRINT))),
    )


def fields(content: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of every field of a message; of a repeated one, each.

    Raises:
        ValueError: the content is cut off, or no protobuf.
    """
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
        elif kind in _FIXED:
            form, size = _FIXED[kind]
            yield key >> 3, struct.unpack(form, _cut(content, at, size))[0]
            at += size
        elif kind == 2:
            size, at = _varint(content, at)
            yield key >> 3, _cut(content, at, size)
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        byte = _cut(content, at + i, 1)[0]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError("a number of more than ten bytes")


def _cut(content: bytes, at: int, size: int) -> bytes:
    if at + size > len(content):
        raise ValueError("cut off")
    return content[at : at + size]


def _bytes(value: Value | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _real[T](value: Value | None, missing: T = None) -> float | T:  # type: ignore[assignment]
    return value if isinstance(value, float) and math.isfinite(value) else missing


def _whole(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None


def _kib(value: Value | None) -> int | None:
    """KiB as bytes; a negative difference (64 bits, two's complement) is no memory."""
    whole = _whole(value)
    return None if whole is None or whole >= 1 << 63 else whole * KIB
