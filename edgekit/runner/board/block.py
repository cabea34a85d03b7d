"""One block: load, warm up, time, and say what was seen."""

from __future__ import annotations

import gc
import os
import time
from array import array
from contextlib import suppress
from itertools import repeat
from operator import sub
from pathlib import Path
from typing import Any, Callable

import numpy

from .machine import read, state
from .refusal import OTHER, Refusal, first_line
from .runtimes import made as loader
from .runtimes import runtime

FLAT = 0.02
"""Warm-up goes on until the median of its last quarter is no longer this share below that of the quarter before."""

WARM_UP_LIMIT = 3
"""Warm-up ends at this multiple of its shortest length even where latencies still fall."""

CHUNK = 1024
"""Calls at most between two looks at the limits."""

EMPTY_CALLS = 1025
"""Iterations of the loop around an empty call, from which the harness's own share is taken."""

OPERATOR_RUNS = 100
"""Runs of an ``operators`` block, at most."""

LARGE_SHARE = 0.0075
"""A reading of the clock that takes a larger share of an inference is one for several of them."""

SMALL_SHARE = 0.002
"""Then so many share it that it takes at most this much of each."""

MANY = 1 << 62


def median(values: Any) -> float:
    """The middle of some times; `statistics` takes longer to import than to use."""
    ordered = sorted(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


class Unsensed:
    """No sensors."""

    notes: tuple[str, ...] = ()

    def stop(self) -> None:
        """Nothing was sampled."""


def sensor_of(order: dict[str, Any], out: Path) -> Any:
    """What samples the order's probe from now on."""
    if order.get("probe") is None:
        return Unsensed()
    from .sensing import Sensor

    return Sensor(order["probe"], out)


def resident(field: str) -> int | None:
    """``VmRSS`` or ``VmHWM`` of this process in bytes; None where the system does not tell."""
    for line in (read("/proc/self/status") or "").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


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
    """What calls it ``each`` times."""
    if each == 1:
        return invoke

    def several() -> None:
        for _ in repeat(None, each):
            invoke()

    return several


def per_reading(median_ns: float) -> int:
    """How many inferences share a reading of the clock: one, or a power of 2 where an inference is too short for it."""
    empty_ns, each = loop_ns(nothing), 1
    if empty_ns > LARGE_SHARE * median_ns:
        while empty_ns / each > SMALL_SHARE * median_ns:
            each *= 2
    return each


def nothing() -> None:
    """An empty call."""


def harness_share(each: int, median_ns: float) -> float:
    """The loop's own time around empty calls, as a share of an inference's."""
    return loop_ns(grouped(nothing, each)) / each / median_ns


def samples(path: str) -> dict[str, Any]:
    """The inputs, ``[N, *shape]`` by name.

    Raises:
        Refusal: there are none, or not as many of each.
    """
    with numpy.load(path, allow_pickle=False) as file:
        inputs = {key: file[key] for key in file.files}
    if len({len(values) for values in inputs.values()} or {0}) > 1 or not all(map(len, inputs.values())):
        raise Refusal("InputError", "The inputs hold no samples, or not as many of each.", "mend the file", path)
    return inputs


def feed(made: Any, inputs: dict[str, Any], index: int) -> None:
    """Set one sample and run it, where errors of the file show.

    Raises:
        Refusal: an input is missing or does not fit, or the file does not run.
    """
    lacking = [name for name in made.names if name not in inputs]
    if lacking:
        raise Refusal("InputError", f"The inputs lack {', '.join(lacking)}.", f"they hold {', '.join(inputs)}")
    given = {name: numpy.ascontiguousarray(inputs[name][index]).reshape(inputs[name].shape[1:]) for name in made.names}
    try:
        made.feed(given)
    except (RuntimeError, TypeError, ValueError) as error:
        shapes = ", ".join(f"{name} {values.dtype}{list(values.shape)}" for name, values in given.items())
        problem = f"The inputs do not fit the file: {first_line(error)}"
        raise Refusal("InputError", problem, f"mend their shapes and dtypes; given: {shapes}") from error


def attempt(made: Any) -> None:
    """Run once, where a file shows that it does not run.

    Raises:
        Refusal: it does not.
    """
    kinds: tuple[type[BaseException], ...] = getattr(made, "errors", (RuntimeError, ValueError))
    try:
        made.invoke()
    except kinds as error:
        raise Refusal("Unsupported", f"The file does not run: {first_line(error)}", OTHER) from error


def outputs(made: Any, inputs: dict[str, Any], path: Path) -> None:
    """Run every sample once and write the outputs, ``[N, *shape]``."""
    rows = []
    for i in range(len(next(iter(inputs.values()), [0]))):
        feed(made, inputs, i)
        attempt(made)
        rows.append(made.outputs())
    try:
        stacked: dict[str, Any] = {name: numpy.stack([row[name] for row in rows]) for name in rows[0]}
    except ValueError as error:
        problem = f"Samples have outputs of different shapes: {first_line(error)}"
        raise Refusal("Unsupported", problem, "give samples of one kind, or one alone") from error
    numpy.savez(path, **stacked)


def time_block(order: dict[str, Any], made: Any, out: Path, empty: int | None) -> dict[str, Any]:
    """Run for the first time, warm up, time, write the latencies."""
    begin = time.perf_counter_ns()
    attempt(made)
    first = time.perf_counter_ns() - begin
    few = timed(made.invoke, min_runs=order["warm_up_runs"], max_runs=max(order["warm_up_runs"], 1), min_s=0, max_s=60)
    peak = resident("VmHWM")  # before there are lists of times
    warm = warm_up(made.invoke, 1, order["warm_up_s"])
    each = min(per_reading(median(warm)), max(order["max_runs"], 1))
    sensor = sensor_of(order, out)
    begin_s = time.monotonic()
    taken = timed(
        grouped(made.invoke, each),
        min_runs=-(-order["min_runs"] // each),
        max_runs=order["max_runs"] // each,
        min_s=order["min_s"],
        max_s=order["max_s"],
    )
    end_s = time.monotonic()
    sensed = sensor.stop()
    latencies = numpy.frombuffer(taken, numpy.int64) / 1e6 / each
    numpy.save(out / "latencies.npy", latencies)
    return {
        "first_ms": first / 1e6,
        "warm_up_runs": len(few) + len(warm),
        "begin_s": begin_s,
        "end_s": end_s,
        "latency": {
            "runs": len(taken) * each,
            "inferences_per_reading": each,
            "mean_ms": float(latencies.mean()),
            "min_ms": float(latencies.min()),
            "max_ms": float(latencies.max()),
            "median_ms": float(numpy.median(latencies)),
            "std_ms": float(latencies.std()),
            "p95_ms": float(numpy.quantile(latencies, 0.95)),
        },
        "harness_share": harness_share(each, float(numpy.median(latencies)) * 1e6),
        "latencies": "latencies.npy",
        "sensed": sensed,
        "notes": sensor.notes,
        "memory": {"peak_bytes": None if peak is None or empty is None else max(peak - empty, 0)},
    }


def idle_block(order: dict[str, Any], out: Path) -> dict[str, Any]:
    """Nothing but the sensors."""
    sensor = sensor_of(order, out)
    begin_s = time.monotonic()
    time.sleep(order["idle_s"])
    end_s = time.monotonic()
    return {"begin_s": begin_s, "end_s": end_s, "sensed": sensor.stop(), "notes": sensor.notes}


def operators(order: dict[str, Any], made: Any) -> list[dict[str, Any]]:
    """Mean time by operator over the runs of the block."""
    if not hasattr(made, "operators"):
        raise Refusal("Unsupported", "This runtime does not time operators.", "leave out --ops")
    attempt(made)
    warm_up(made.invoke, order["warm_up_runs"], order["warm_up_s"])
    rows: list[dict[str, Any]] = made.operators(max(min(order["min_runs"], OPERATOR_RUNS), 1))
    return rows


def pin(cores: list[int]) -> None:
    """Keep this process on these CPUs.

    Raises:
        Refusal: the system cannot do it, or has no such CPU.
    """
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise Refusal("Unsupported", "This system cannot pin a process to cores.", "leave the cores out")
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError) as error:
        there = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise Refusal("InputError", f"There are no such cores: {cores}.", f"choose from {there}") from error


def delegated(order: dict[str, Any], made: Any) -> dict[str, Any] | None:
    """What a delegate took.

    Raises:
        Refusal: all of it was required, and it is less.
    """
    found: dict[str, Any] | None = made.delegation() if hasattr(made, "delegation") else None
    if order["require_full_delegation"] and found is None:
        raise Refusal(
            "Unsupported",
            "No delegate runs here, so that none can take the whole network.",
            "leave out --require-full-delegation, or choose a delegate",
        )
    if order["require_full_delegation"] and found is not None and found["share"] != "all":
        raise Refusal(
            "Unsupported",
            f"The delegate {found['delegate']} does not take the whole network; "
            f"on the CPU stay {', '.join(made.stayed())}.",
            "leave out --require-full-delegation, or choose another precision or delegate",
        )
    return found


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """One block: the answer's fields."""
    gc.disable()
    answer: dict[str, Any] = {"before": state()}
    if order["mode"] == "idle":
        answer.update(idle_block(order, Path(order["out"])))
    else:
        answer.update(working_block(order, Path(order["out"])))
    answer["after"] = state()
    return answer


def working_block(order: dict[str, Any], out: Path) -> dict[str, Any]:
    """Load the file, then time it, or take its operators' times or outputs."""
    name, version = runtime(Path(order["model"]).suffix)
    make, inputs = loader(order, name), samples(order["inputs"])
    pin(order["cores"])  # now, so that importing does not wait for a slow core
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf8")  # the highest so far was importing (proc(5))
    empty = resident("VmRSS")
    begin = time.perf_counter_ns()
    made = make()
    answer: dict[str, Any] = {"runtime": f"{name} {version}", "init_ms": (time.perf_counter_ns() - begin) / 1e6}
    loaded = resident("VmRSS")
    feed(made, inputs, 0)
    answer["delegation"] = delegated(order, made)
    if order["mode"] == "outputs":
        outputs(made, inputs, out / "outputs.npz")
        answer["outputs"] = "outputs.npz"
    elif order["mode"] == "operators":
        answer["operators"] = operators(order, made)
    else:
        answer.update(time_block(order, made, out, empty))
        answer["memory"]["loaded_bytes"] = None if empty is None or loaded is None else max(loaded - empty, 0)
        answer["memory"]["arena_bytes"] = made.arena_bytes() if hasattr(made, "arena_bytes") else None
    return answer
