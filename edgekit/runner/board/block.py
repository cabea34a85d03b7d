"""One block: load, warm up, time, and say what was seen."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable

import numpy

from .machine import read, state, version_of
from .refusal import Refusal
from .runtimes import KINDS, LiteRT, runtime
from .sensing import Sensor

FLAT = 0.02
"""Warm-up goes on until the medians of its last two quarters differ by less than this share."""

WARM_UP_LIMIT = 4
"""Warm-up ends at this multiple of its shortest length even where latencies still fall."""

SAMPLE_EVERY = 2048
"""Iterations of the loop around an empty call, from which the harness's own share is taken."""


def resident(field: str) -> int | None:
    """``VmRSS`` or ``VmHWM`` of this process in bytes; None where the system does not tell."""
    for line in (read("/proc/self/status") or "").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def timed(invoke: Callable[[], Any], *, min_runs: int, max_runs: int, min_s: float, max_s: float) -> list[int]:
    """Call until there are enough runs and seconds; each call's time in ns, as the loop saw it."""
    clock, taken = time.perf_counter_ns, []
    begin = clock()
    earliest, latest = begin + int(min_s * 1e9), begin + int(max_s * 1e9)
    while True:
        before = clock()
        invoke()
        after = clock()
        taken.append(after - before)
        if (after >= earliest and len(taken) >= min_runs) or after >= latest or len(taken) >= max_runs:
            return taken


def warm_up(invoke: Callable[[], Any], order: dict[str, Any]) -> int:
    """Call until latencies no longer fall; the number of calls."""
    runs, least_s = order["warm_up_runs"], order["warm_up_s"]
    taken = timed(invoke, min_runs=max(runs, 1), max_runs=1 << 62, min_s=least_s, max_s=max(10 * least_s, 60.0))
    end = time.perf_counter() + WARM_UP_LIMIT * least_s
    while len(taken) >= 8 and time.perf_counter() < end:
        quarter = max(len(taken) // 4, 2)
        earlier, later = median(taken[-2 * quarter : -quarter]), median(taken[-quarter:])
        if earlier - later < FLAT * later:
            break
        taken += timed(invoke, min_runs=quarter, max_runs=1 << 62, min_s=least_s / 4, max_s=least_s)
    return len(taken)


def harness_share(mean_ns: float) -> float:
    """The loop's own time around an empty call, as a share of an inference's mean time."""
    begin = time.perf_counter_ns()
    timed(lambda: None, min_runs=SAMPLE_EVERY, max_runs=1 << 62, min_s=0, max_s=10)
    return (time.perf_counter_ns() - begin) / SAMPLE_EVERY / mean_ns


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any], str]:
    """Import the runtime and read the samples: the runtime's class bound to its module, inputs, its name."""
    name, module = runtime(Path(order["model"]).suffix)
    imported = importlib.import_module(module)
    with numpy.load(order["inputs"], allow_pickle=False) as file:
        inputs = {key: file[key] for key in file.files}
    kind = KINDS.get(name, LiteRT)
    return lambda: kind(order, imported), inputs, f"{name} {version_of(name)}"


def outputs(made: Any, inputs: dict[str, Any], path: Path) -> None:
    """Run every sample once and write the outputs, ``[N, *shape]``."""
    rows = []
    for i in range(len(next(iter(inputs.values())))):
        made.feed({name: values[i] for name, values in inputs.items()})
        made.invoke()
        rows.append(made.outputs())
    stacked: dict[str, Any] = {name: numpy.stack([row[name] for row in rows]) for name in rows[0]}
    numpy.savez(path, **stacked)


def time_block(order: dict[str, Any], made: Any, out: Path) -> dict[str, Any]:
    """Warm up, time, write the latencies."""
    begin = time.perf_counter_ns()
    made.invoke()
    first = time.perf_counter_ns() - begin
    warm = warm_up(made.invoke, order)
    sensor = Sensor(order, out)
    begin_s = time.monotonic()
    limits = {key: order[key] for key in ("min_runs", "max_runs", "min_s", "max_s")}
    taken = timed(made.invoke, **limits)
    end_s = time.monotonic()
    sensed = sensor.stop()
    latencies = numpy.asarray(taken, numpy.float64) / 1e6
    numpy.save(out / "latencies.npy", latencies)
    return {
        "first_ms": first / 1e6,
        "warm_up_runs": warm,
        "begin_s": begin_s,
        "end_s": end_s,
        "latency": {
            "runs": len(taken),
            "mean_ms": float(latencies.mean()),
            "min_ms": float(latencies.min()),
            "max_ms": float(latencies.max()),
            "median_ms": float(numpy.median(latencies)),
            "std_ms": float(latencies.std()),
            "p95_ms": float(numpy.quantile(latencies, 0.95)),
        },
        "harness_share": harness_share(float(latencies.mean()) * 1e6),
        "latencies": "latencies.npy",
        "sensed": sensed,
    }


def idle_block(order: dict[str, Any], out: Path) -> dict[str, Any]:
    """Nothing but the sensors."""
    sensor = Sensor(order, out)
    begin_s = time.monotonic()
    time.sleep(order["idle_s"])
    end_s = time.monotonic()
    return {"begin_s": begin_s, "end_s": end_s, "sensed": sensor.stop()}


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """One block: the answer's fields."""
    out, before = Path(order["out"]), state()
    if order["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order["cores"])
    answer: dict[str, Any] = {"before": before}
    if order["mode"] == "idle":
        answer.update(idle_block(order, out))
    else:
        make, inputs, answer["runtime"] = load(order)
        empty = resident("VmRSS")
        begin = time.perf_counter_ns()
        made = make()
        answer["init_ms"] = (time.perf_counter_ns() - begin) / 1e6
        loaded = resident("VmRSS")
        made.feed({name: values[0] for name, values in inputs.items()})
        if order["mode"] == "outputs":
            outputs(made, inputs, out / "outputs.npz")
            answer["outputs"] = "outputs.npz"
        elif order["mode"] == "operators":
            answer["operators"] = operators(order, made)
        else:
            answer.update(time_block(order, made, out))
        if empty is not None and loaded is not None:
            answer["memory"] = {"loaded_bytes": loaded - empty, "peak_bytes": (resident("VmHWM") or loaded) - empty}
    answer["after"] = state()
    return answer


def operators(order: dict[str, Any], made: Any) -> list[dict[str, Any]]:
    """Mean time by operator over the runs of the block."""
    if not hasattr(made, "operators"):
        raise Refusal("Unsupported", "This runtime does not time operators.", "leave out --ops")
    for _ in range(order["warm_up_runs"]):
        made.invoke()
    rows: list[dict[str, Any]] = []
    runs = max(order["min_runs"] // 10, 10)
    for i in range(runs):
        made.invoke()
        for j, row in enumerate(made.operators()):
            if i == 0:
                rows.append({**row, "mean_ms": 0.0})
            rows[j]["mean_ms"] += row["mean_ms"] / runs
    return rows
