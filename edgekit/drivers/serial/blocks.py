"""Blocks of a microcontroller: commands of MLPerf Tiny, and what is made of the replies."""

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgekit.drivers.serial import protocol
from edgekit.drivers.serial.monitor import Line, Monitor
from edgekit.errors import DeviceError, Unsupported
from edgekit.nouns.profile import Block, Distribution, Run
from edgekit.waist import graph
from edgekit.waist.tensors import Array, write_npz

FIRST_S = 120.0
"""How long the first inference may take, before there is a time to go by."""

MOMENT_S = 10.0
"""How long a command may take that computes nothing."""

FLASH = "flash a firmware built from this file; edgekit cannot flash a microcontroller"


class Lap(NamedTuple):
    """One ``infer n``: times before and after in µs of the board, and when the host heard the second."""

    begin_us: int
    end_us: int
    heard_s: float
    runs: int

    @property
    def mean_ms(self) -> float:
        """Mean latency in ms."""
        return protocol.since_us(self.begin_us, self.end_us) / 1000 / self.runs


def signature(artifact: Path) -> tuple[graph.Tensor, graph.Tensor]:
    """The one input and the one output of a file.

    Raises:
        Unsupported: it has more: the board has one buffer and prints one list.
    """
    main = graph.read(artifact)[0]
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        raise Unsupported(
            f"The protocol carries one input and one output; the file has {len(main.inputs)} and {len(main.outputs)}.",
            place=artifact.name,
            fix="measure it on another device",
        )
    return main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]


def load(monitor: Monitor, given: graph.Tensor, sample: Array) -> None:
    """Fill the board's buffer with one sample, in the file's dtype ``[*shape]``.

    Raises:
        Unsupported: its buffer is too small.
        DeviceError: it did not get every byte, or went away.
    """
    known = protocol.MODELS.get(monitor.identity.model)
    content = protocol.encoded(sample, given, known.feeds if known else "stored")
    lines: list[Line] = []
    for command in protocol.commands(content):
        lines = monitor.ask(command, MOMENT_S)
        if command.startswith("db load ") and not any("Expecting" in line.text for line in lines):
            said = next((line.text for line in lines), "nothing")
            raise Unsupported(
                f"The board does not take {len(content)} bytes of input: {said[:200]}", place=given.name, fix=FLASH
            )
    if not any(line.text == "m-load-done" for line in lines):
        raise DeviceError(
            "The board did not take all of its input: bytes were lost on the line.",
            place=given.name,
            fix="use a shorter cable or a lower baud, then try it again",
        )


def _infer(monitor: Monitor, runs: int, warm_up: int, limit_s: float) -> tuple[Lap, list[Line]]:
    """One ``infer`` command.

    Raises:
        DeviceError: it prints no times.
    """
    lines = monitor.ask(f"infer {runs} {warm_up}", limit_s)
    laps = [(us, line.at_s) for line in lines if (us := protocol.lap_us(line.text)) is not None]
    if len(laps) != 2:
        raise DeviceError(
            f"The firmware gave {len(laps)} times for an inference instead of 2.",
            place=f"infer {runs} {warm_up}",
            fix="build it for performance mode (EE_CFG_ENERGY_MODE 0): in energy mode it only moves a pin",
        )
    return Lap(laps[0][0], laps[1][0], laps[1][1], runs), lines


def timed(monitor: Monitor, run: Run, out: Path) -> Block:
    """Warm up, then sample until there are enough runs and seconds.

    Raises:
        DeviceError: the board went away, hangs, or prints no times.
    """
    first, _ = _infer(monitor, 1, 0, FIRST_S)
    once_s = max(first.mean_ms, 0.001) / 1000
    warm_up = max(run.warm_up_runs, math.ceil(run.warm_up_s / once_s))
    warm, _ = _infer(monitor, 1, warm_up, MOMENT_S + 2 * warm_up * once_s)
    once_s = max(warm.mean_ms, 0.001) / 1000
    each = max(1, math.ceil(run.min_s / (run.min_runs * once_s)))
    laps: list[Lap] = []
    end = time.monotonic() + run.max_s
    while time.monotonic() < end and len(laps) * each < run.max_runs:
        laps.append(_infer(monitor, each, 0, MOMENT_S + 2 * each * once_s)[0])
        if len(laps) >= run.min_runs and sum(lap.mean_ms for lap in laps) * each >= run.min_s * 1000:
            break
    return _block(monitor, laps, warm_up + 2, out)


def _block(monitor: Monitor, laps: list[Lap], warm_up: int, out: Path) -> Block:
    each = laps[0].runs
    latencies = np.array([lap.mean_ms for lap in laps], np.float64)
    single = each == 1
    if single:
        np.save(out / "latencies.npy", latencies)
    note = f"each of {len(laps)} samples is the mean of {each} inferences, so there are no percentiles"
    begin_s = laps[0].begin_us / 1e6
    times = [t for lap in laps for t in (lap.begin_us, lap.end_us)]
    end_s = begin_s + sum(protocol.since_us(a, b) for a, b in pairwise(times)) / 1e6
    return Block(
        runtime=_runtime(monitor),
        begin_s=begin_s,
        end_s=end_s,
        host_offset_s=laps[-1].heard_s - end_s,
        host_offset_error_s=monitor.latency_s,
        warm_up_runs=warm_up,
        latency=Distribution(
            runs=len(laps) * each,
            mean_ms=float(latencies.mean()),
            min_ms=float(latencies.min()),
            max_ms=float(latencies.max()),
            median_ms=float(np.median(latencies)) if single else None,
            std_ms=float(latencies.std()) if single else None,
            p95_ms=float(np.quantile(latencies, 0.95)) if single else None,
        ),
        latencies="latencies.npy" if single else None,
        notes=(_flashed(monitor), *(() if single else (note,))),
    )


def idle(monitor: Monitor, run: Run) -> Block:
    """Nothing, between two looks at the board's clock."""
    begin_us, _ = _now(monitor)
    time.sleep(run.idle_s)
    end_us, heard_s = _now(monitor)
    begin_s = begin_us / 1e6
    end_s = begin_s + protocol.since_us(begin_us, end_us) / 1e6
    return Block(
        runtime=_runtime(monitor),
        begin_s=begin_s,
        end_s=end_s,
        host_offset_s=heard_s - end_s,
        host_offset_error_s=monitor.latency_s,
    )


def _now(monitor: Monitor) -> tuple[int, float]:
    """The board's time in µs, and when the host heard it (s)."""
    for line in monitor.ask("timestamp", MOMENT_S):
        if (us := protocol.lap_us(line.text)) is not None:
            return us, line.at_s
    raise DeviceError(
        "The firmware prints no time.", place="timestamp", fix="build it for performance mode (EE_CFG_ENERGY_MODE 0)"
    )


def outputs(monitor: Monitor, given: graph.Tensor, made: graph.Tensor, samples: Array, out: Path) -> Block:
    """Every sample once; outputs as ``[N, *shape]`` in the file's terms.

    Raises:
        Unsupported: the board prints another number of values than the file's output has.
        DeviceError: it prints no numbers, or went away.
    """
    rows: list[Array] = []
    remarks: dict[str, None] = {}
    for sample in samples:
        load(monitor, given, sample)
        _, lines = _infer(monitor, 1, 0, FIRST_S)
        texts = protocol.results(line.text for line in lines)
        try:
            row, remark = protocol.decoded(texts or (), made)
        except ValueError as error:
            raise Unsupported(
                f"The board prints {len(texts or ())} results, the file's output has {math.prod(made.shape)} values.",
                place=f"{monitor.identity.model or 'the firmware'}, output {made.name}",
                fix="only times can be measured then (ad01 prints a score, not its output)",
            ) from error
        rows.append(row)
        remarks |= {remark: None} if remark else {}
    write_npz(out / "outputs.npz", {made.name: np.stack(rows)})
    return Block(runtime=_runtime(monitor), outputs="outputs.npz", notes=(_flashed(monitor), *remarks))


def _runtime(monitor: Monitor) -> str:
    return f"{monitor.identity.firmware or 'unnamed firmware'} ({monitor.identity.model or 'unnamed model'})"


def _flashed(monitor: Monitor) -> str:
    return f"the board ran {monitor.identity.model or 'what is flashed'} as it was flashed; edgekit cannot flash"
