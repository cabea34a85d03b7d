"""The loop that times inferences, and what it costs."""

from __future__ import annotations

import time
from array import array
from itertools import repeat
from operator import sub
from typing import Any, Callable

FLAT = 0.02
"""Warm-up goes on until the median of its last quarter is no longer this share below that of the quarter before."""

WARM_UP_LIMIT = 3
"""Warm-up ends at this multiple of its shortest length even if latencies still fall."""

CHUNK = 1024
"""Calls at most between two looks at the limits."""

EMPTY_CALLS = 1025
"""Iterations of the loop around an empty call, from which the harness's own share is taken."""

LARGE_SHARE = 0.0075
"""A reading of the clock that takes a larger share of an inference is one for several of them."""

SMALL_SHARE = 0.002
"""Then so many share it that it takes at most this much of each."""

MOST = 1 << 12
"""Inferences at most that share a reading; a clock may be too coarse to see one."""

MANY = 1 << 62


def calm_means(runs: list[dict[Any, float]]) -> dict[Any, float]:
    """Each operator's mean time over the calmer half of some runs, those that took least in all.

    If the system takes the CPU away for some milliseconds, one operator of a run gets them all: in a mean over all
    runs a small network would seem to consist of that one.
    """
    calm = sorted(runs, key=lambda run: sum(run.values()))[: (len(runs) + 1) // 2]
    return {name: sum(run.get(name, 0.0) for run in calm) / len(calm) for name in {n: 0 for run in runs for n in run}}


def median(values: Any) -> float:
    """The middle of some times; `statistics` takes longer to import than to use."""
    ordered = sorted(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def timed(invoke: Callable[[], Any], *, min_runs: int, max_runs: int, min_s: float, max_s: float) -> array[int]:
    """Call until there are enough runs and seconds; each call's time in ns, as the loop saw it.

    Between two calls there is one reading of the clock, which ends one and begins the next; limits are
    looked at once in up to `CHUNK` calls.
    """
    clock, taken, calls = time.perf_counter_ns, array("q"), 1
    begin = clock()
    earliest, latest = begin + int(min_s * 1e9), begin + int(max_s * 1e9)
    while True:
        stamps = [clock()]
        stamp = stamps.append
        for _ in repeat(None, calls):
            invoke()
            stamp(clock())
        taken.extend(map(sub, stamps[1:], stamps))
        now, each = stamps[-1], max((stamps[-1] - stamps[0]) // calls, 1)
        if (now >= earliest and len(taken) >= min_runs) or now >= latest or len(taken) >= max_runs:
            return taken
        wanted = max(-((now - earliest) // each), min_runs - len(taken))
        calls = max(min(wanted, -((now - latest) // each), max_runs - len(taken), CHUNK), 1)


def falling(taken: array[int]) -> bool:
    """Whether the last quarter of these times is clearly below the quarter before."""
    quarter = len(taken) // 4
    return quarter > 1 and median(taken[-2 * quarter : -quarter]) - median(taken[-quarter:]) > FLAT * median(taken)


def warm_up(invoke: Callable[[], Any], runs: int, least_s: float) -> array[int]:
    """Call at least that often and long, and on until latencies no longer fall; each call's time in ns."""
    begin = time.perf_counter()
    taken = timed(invoke, min_runs=runs, max_runs=MANY, min_s=least_s, max_s=max(10 * least_s, 60.0))
    while falling(taken) and time.perf_counter() - begin < WARM_UP_LIMIT * least_s:
        taken += timed(invoke, min_runs=len(taken) // 4, max_runs=MANY, min_s=least_s / 4, max_s=least_s)
    return taken


def loop_ns(invoke: Callable[[], Any]) -> float:
    """The loop's time for one call: the median of nine, as load strikes both the loop and what it times."""
    taken = []
    for _ in range(9):
        begin = time.perf_counter_ns()
        timed(invoke, min_runs=EMPTY_CALLS, max_runs=MANY, min_s=0, max_s=10)
        taken.append((time.perf_counter_ns() - begin) / EMPTY_CALLS)
    return median(taken)


def grouped(invoke: Callable[[], Any], each: int) -> Callable[[], Any]:
    """What calls it ``each`` times; Python's plain loop is quicker here than itertools and deque are."""
    if each == 1:
        return invoke

    def several() -> None:
        for _ in repeat(None, each):
            invoke()

    return several


def per_reading(median_ns: float) -> int:
    """How many inferences share a reading of the clock: one, or a power of 2 if an inference is too short for it."""
    empty_ns, each = loop_ns(nothing), 1
    if empty_ns > LARGE_SHARE * median_ns:
        while empty_ns / each > SMALL_SHARE * median_ns and each < MOST:
            each *= 2
    return each


def nothing() -> None:
    """An empty call."""


def harness_share(each: int, median_ns: float) -> float:
    """The loop's own time around empty calls, as a share of an inference's."""
    return loop_ns(grouped(nothing, each)) / each / median_ns
