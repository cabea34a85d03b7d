"""One block: load, warm up, time, and say what was seen."""

from __future__ import annotations

import gc
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy

from . import loop
from .machine import read, state
from .refusal import OTHER, Refusal, first_line
from .runtimes import made as loader
from .runtimes import runtime

OPERATOR_RUNS = 100
"""Runs of an ``operators`` block, at most."""


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
    """``VmRSS`` or ``VmHWM`` of this process in bytes; None if the system does not tell."""
    for line in (read("/proc/self/status") or "").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def added(now: int | None, before: int | None) -> int | None:
    """How many bytes more there are; None if one of both is not known."""
    return None if now is None or before is None else max(now - before, 0)


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
    runs = order["warm_up_runs"]
    few = loop.timed(made.invoke, min_runs=runs, max_runs=max(runs, 1), min_s=0, max_s=60)
    peak, steady = resident("VmHWM"), resident("VmRSS")  # before there are lists of times
    warm = loop.warm_up(made.invoke, 1, order["warm_up_s"])
    each = min(order["inferences_per_reading"] or loop.per_reading(loop.median(warm)), max(order["max_runs"], 1))
    sensor = sensor_of(order, out)
    begin_s = time.monotonic()
    taken = loop.timed(
        loop.grouped(made.invoke, each),
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
        "harness_share": loop.harness_share(each, float(numpy.median(latencies)) * 1e6),
        "latencies": "latencies.npy",
        "sensed": sensed,
        "notes": sensor.notes,
        "memory": {"peak_bytes": added(peak, empty), "steady_bytes": added(steady, empty)},
    }


def idle_block(order: dict[str, Any], out: Path) -> dict[str, Any]:
    """Nothing but the sensors."""
    sensor = sensor_of(order, out)
    begin_s = time.monotonic()
    time.sleep(order["idle_s"])
    end_s = time.monotonic()
    return {"begin_s": begin_s, "end_s": end_s, "sensed": sensor.stop(), "notes": sensor.notes}


def operators(order: dict[str, Any], made: Any) -> list[dict[str, Any]]:
    """Mean time by operator over the calmer half of the runs of the block."""
    if not hasattr(made, "operators"):
        raise Refusal("Unsupported", "This runtime does not time operators.", "leave out --ops")
    attempt(made)
    loop.warm_up(made.invoke, order["warm_up_runs"], order["warm_up_s"])
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
    there = os.sched_getaffinity(0)
    with suppress(OSError, ValueError, OverflowError):  # none of them exists
        os.sched_setaffinity(0, cores)
    gone = sorted(set(cores) - os.sched_getaffinity(0))  # the system keeps to those of them that exist, silently
    if gone:
        problem = f"There are no such cores: {', '.join(map(str, gone))}."
        raise Refusal("InputError", problem, f"choose from {', '.join(map(str, sorted(there)))}", "--cores")


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
        answer["memory"]["loaded_bytes"] = added(loaded, empty)
        if hasattr(made, "arena_bytes"):
            answer["memory"]["arena_bytes"] = made.arena_bytes()
            if answer["memory"]["arena_bytes"] is None:
                answer["notes"] = (*answer["notes"], made.arena_note)
    return answer
