"""What both generations of benchmark_model print, as numbers.

The classic tool (TFLite) prints ``Inference timings in us``; LiteRT's own prints a block of
``BENCHMARK RESULTS`` in ms with two decimals. Both print ``count=`` lines in µs, the first one of
warm-up, and newer builds add percentiles. A prefix (``INFO:``, logcat's, a source line) may stand
before each. Sources: ``tensorflow/lite/tools/benchmark/benchmark_model.cc`` and ``core/util/stats_calculator.h``
(tensorflow), ``litert/tools/benchmark_litert_model.h`` (google-ai-edge/LiteRT).
"""

import re
from typing import NamedTuple

from edgekit.nouns.profile import Distribution, Memory

NUMBER = r"[-+]?(?:\d{1,30}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
"""A number as C++ streams write it, such as ``2.95034e+06``; short enough to be finite."""

MIB = 1 << 20
"""What both tools call MB: they divide the system's KiB by 1,024."""

LOOP = "Running benchmark for at least"
"""How the line begins that is printed just before warm-up and, again, just before the timed loop."""

_FIELD = re.compile(rf"\b(count|first|curr|min|max|avg|std|median|p5|p95)=({NUMBER})")
_COUNT = re.compile(r"\bcount=\d+ (?:first|curr)=")
_TIMINGS = re.compile(rf"Inference timings in us: Init: ({NUMBER}), First inference: ({NUMBER})")
_FOOTPRINT = re.compile(
    rf"(?:Memory footprint delta.*|Peak memory footprint) \(MB\): init=({NUMBER}) overall=({NUMBER})"
)
_RESULTS = re.compile(
    rf"(Model initialization|Warmup \(first\)|Inference \(\w+\)|Init footprint|Overall footprint): +({NUMBER})"
)
_RUNS = re.compile(r"(Warmup|Inference) \(avg\):.*\((\d{1,12}) runs\)")
_UNKNOWN_FLAGS = re.compile(r"Unconsumed cmdline flags:(.*)")


class Printed(NamedTuple):
    """What a run printed. Times in ms; None if the tool does not say."""

    latency: Distribution | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    warm_up_runs: int = 0
    memory: Memory = Memory()


def counts(text: str) -> tuple[dict[str, float], ...]:
    """Every ``count=`` line as name → value, count aside in µs: warm-up, then the timed loop."""
    return tuple(
        {name: float(value) for name, value in _FIELD.findall(line)}
        for line in _before_operators(text).splitlines()
        if _COUNT.search(line)
    )


def _before_operators(text: str) -> str:
    """The part before the tables of operators, which end in ``count=`` lines of their own."""
    return re.split(r"Profiling Info for", text, maxsplit=1)[0]


def distribution(fields: dict[str, float]) -> Distribution | None:
    """One ``count=`` line; if all runs took the same time the tool writes ``curr`` alone."""
    same = fields.get("curr")
    count, mean = fields.get("count"), fields.get("avg", same)
    if not count or mean is None:
        return None

    def ms(name: str) -> float | None:
        """In ms, from the tool's µs; None if it does not tell it."""
        return fields[name] / 1000 if name in fields else None

    return Distribution(
        runs=int(count),
        mean_ms=mean / 1000,
        min_ms=fields.get("min", mean) / 1000,
        max_ms=fields.get("max", mean) / 1000,
        median_ms=ms("median"),
        std_ms=ms("std"),
        p95_ms=ms("p95"),
    )


def printed(text: str) -> Printed:
    """Read what either generation printed, as far as it got."""
    lines = counts(text)
    init_ms: float | None
    first_ms: float | None
    timings, footprint = _TIMINGS.search(text), _last(_FOOTPRINT, text)
    block = _results(text)
    latency = distribution(lines[1]) if len(lines) > 1 else None
    warm = int(lines[0].get("count", 0)) if len(lines) > 1 else 0
    if timings is not None:
        init_ms, first_ms = float(timings[1]) / 1000, float(timings[2]) / 1000
    else:
        init_ms, first_ms = block.init_ms, block.first_ms
    memory = Memory(loaded_bytes=_mib(footprint[1]), peak_bytes=_mib(footprint[2])) if footprint else block.memory
    return Printed(latency or block.latency, init_ms, first_ms, warm or block.warm_up_runs, memory)


def _results(text: str) -> Printed:
    """The block of LiteRT's own tool, in ms with two decimals; empty if there is none."""
    found = {name: float(value) for name, value in _RESULTS.findall(text)}
    runs = {name: int(count) for name, count in _RUNS.findall(text)}
    latency = None
    if "Inference (avg)" in found and runs.get("Inference"):
        mean = found["Inference (avg)"]
        latency = Distribution(
            runs=runs["Inference"],
            mean_ms=mean,
            min_ms=found.get("Inference (min)", mean),
            max_ms=found.get("Inference (max)", mean),
            std_ms=found.get("Inference (std)"),
        )
    loaded, peak = found.get("Init footprint"), found.get("Overall footprint")
    return Printed(
        latency,
        found.get("Model initialization"),
        found.get("Warmup (first)"),
        runs.get("Warmup", 0),
        Memory(loaded_bytes=_mib(loaded), peak_bytes=_mib(peak)),
    )


def unknown_flags(text: str) -> frozenset[str]:
    """Names of flags that this build does not know; it says so and goes on."""
    return frozenset(re.findall(r"--(\w+)", " ".join(_UNKNOWN_FLAGS.findall(text))))


def complaint(text: str) -> str:
    """The line that says why a run failed: the last error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\bERROR\b|\bFATAL\b|[Ff]ailed|[Ee]rror:|Disallowed", line)]
    return ((errors or lines or ["it printed nothing"])[-1])[:300]


def _mib(value: str | float | None) -> int | None:
    return None if value is None else round(float(value) * MIB)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007  the last one is wanted
        pass
    return found
