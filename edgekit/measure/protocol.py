"""The protocol: which blocks run in which order on a device, and which of them count.

The unit of replication is the block, a fresh process. Two files are compared by blocks that take
turns, in pairs whose inner order is drawn (AB or BA), so that drift meets both alike.
`docs/explanation/measurement.md` says why.
"""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgekit import runner
from edgekit.drivers import Driver
from edgekit.engine.session import Session
from edgekit.errors import EdgekitError
from edgekit.host import ownership
from edgekit.measure import energy
from edgekit.measure.flags import throttling
from edgekit.measure.statistics import FEWEST_BLOCKS
from edgekit.measure.subject import Measurable
from edgekit.nouns.profile import Block, Delegate, Deployment, Device, Protocol, Run, State, per_reading
from edgekit.nouns.sensing import PowerTrace, Probe, Provenance

COOL_DOWN_C = 2.0
"""A block begins when the device is at most this much warmer than before the first one."""

COOL_DOWN_LIMIT_S = 120.0
"""Longest wait for that; after it the block runs, and a flag says so."""

_places = itertools.count(1)


@dataclass(frozen=True)
class MeasurementSettings:
    """How to measure.

    ``run`` is what each block runs, ``idle_s`` the length of each idle baseline (energy only). After
    ``limit_s`` seconds for each file no further block begins once there are enough for an interval.
    ``delegate`` is the one to use instead of the one that each file is made for, ``inputs`` are samples for the
    file's inputs (`edgekit.samples.load`), ``meter`` is the name of the one to use, ``output`` the folder for
    profiles.
    """

    protocol: Protocol
    run: Run
    idle_s: float = 30.0
    limit_s: float | None = None
    energy: bool = False
    operators: bool = False
    model_energy: bool = False
    delegate: Delegate | None = None
    inputs: str | None = None
    meter: str | None = None
    output: str | None = None


FULL = MeasurementSettings(Protocol(name="full", blocks=10, cool_down_c=COOL_DOWN_C), Run())
"""10 blocks of 6 s and at least 103 runs: 60 s and 1,030 runs (`docs/explanation/measurement.md`)."""

QUICK = MeasurementSettings(
    Protocol(name="quick", blocks=10),
    Run(warm_up_runs=10, warm_up_s=0.1, min_runs=10, min_s=0.2, max_s=5.0),
    idle_s=5.0,
    limit_s=6.5,
)
"""An answer within seconds: up to as many blocks, each too short for a figure to publish."""


def adjusted(
    base: MeasurementSettings,
    *,
    threads: int = 1,
    cores: tuple[int, ...] = (),
    require_full_delegation: bool = False,
    benchmark_binary: str | None = None,
    seed: int = 0,
    energy: bool = False,
    meter: str | None = None,
    **more: Any,
) -> MeasurementSettings:
    """`FULL` or `QUICK` with what a user says; ``more`` are other fields of `MeasurementSettings`."""
    run = msgspec.structs.replace(
        base.run,
        threads=threads,
        cores=cores,
        require_full_delegation=require_full_delegation,
        benchmark_binary=benchmark_binary,
    )
    protocol = msgspec.structs.replace(base.protocol, seed=seed)
    return replace(base, run=run, protocol=protocol, energy=energy or meter is not None, meter=meter, **more)


QUICK_ENERGY_S = 2.0
"""How long a block of a quick measurement of energy is at least."""


@dataclass(frozen=True)
class Observations:
    """What was seen: for each subject its blocks in order, with the folder of each one's files.

    ``traces`` are what the meter saw of each block, ``idle`` the baselines before and after; no trace
    and no baseline if no energy was measured.
    """

    blocks: tuple[tuple[Block, ...], ...]
    folders: tuple[tuple[Path, ...], ...]
    traces: tuple[tuple[PowerTrace | None, ...], ...]
    idle: tuple[tuple[Block, PowerTrace | None], ...]
    order: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """One side of a measurement: where its file lies on the device, and how it is run."""

    deployment: Deployment
    run: Run
    name: str = ""


@dataclass(frozen=True)
class Metering:
    """A meter in use: its name, what samples it, and whether it stands at this host instead of on the device."""

    name: str
    probe: Probe
    provenance: Provenance
    at_host: bool = False


@dataclass(frozen=True)
class Bench:
    """A device, with the session whose worker reaches it."""

    session: Session
    device: Device

    @property
    def driver(self) -> Driver:
        """What reaches the device, in its worker process."""
        return self.session.driver(self.device.kind)


@contextmanager
def deployments(
    bench: Bench, subjects: list[Measurable], inputs: list[Path], runs: list[Run]
) -> Iterator[list[Deployment]]:
    """Put the files on the device, and take everything away again, whatever happens in between.

    Raises:
        DeviceError, MissingTool, Unsupported: see `edgekit.drivers.Driver.open`.
    """
    with ExitStack() as stack:
        made: list[Deployment] = []
        for subject, given, run in zip(subjects, inputs, runs, strict=True):
            place = runner.place_name(next(_places))
            stack.callback(_close, bench, Deployment(place=place, model="", inputs=""), made)
            made.append(bench.driver.open(bench.device, subject.path.absolute(), given, run, place))
        yield made


def _close(bench: Bench, bare: Deployment, made: list[Deployment]) -> None:
    """Close a deployment; one whose opening failed is known by its place alone."""
    deployment = next((s for s in made if Path(s.place).name == bare.place), bare)
    bench.driver.close(bench.device, deployment)


def run_block(bench: Bench, deployment: Deployment, run: Run, out: Path) -> Block:
    """One block, with its files in ``out``, which is made."""
    out.mkdir(parents=True)
    return bench.driver.run(bench.device, deployment, run, out)


def _metered(
    bench: Bench, deployment: Deployment, run: Run, metering: Metering | None, out: Path
) -> tuple[Block, PowerTrace | None]:
    """One block and what the meter saw of it, on the device's clock."""
    if metering is None:
        return run_block(bench, deployment, run, out), None
    meter = bench.session.meter(metering.name)
    if not metering.at_host:
        block = run_block(bench, deployment, msgspec.structs.replace(run, probe=metering.probe), out)
        sensed = out / block.sensed if block.sensed is not None else None
        return block, meter.stop(metering.probe, sensed)
    meter.start(metering.probe)
    try:
        block = run_block(bench, deployment, run, out)
    finally:
        trace = meter.stop(metering.probe, None)
    return block, _shifted(trace, -block.host_offset_s)


def _shifted(trace: PowerTrace, by_s: float) -> PowerTrace:
    rails = {
        name: msgspec.structs.replace(series, t_s=tuple(t + by_s for t in series.t_s))
        for name, series in trace.rails.items()
    }
    return msgspec.structs.replace(trace, rails=rails)


def observe(
    bench: Bench, made: list[Arm], settings: MeasurementSettings, metering: Metering | None, out: Path
) -> Observations:
    """Run all blocks in their order.

    Raises:
        DeviceError: the device went away.
        Unsupported: it cannot run the file.
    """
    flags: list[str] = []
    idle = [_idle(bench, made[0].deployment, settings, metering, out / "idle-before")] if metering else []
    start = bench.driver.state(bench.device)
    rounds = list(itertools.batched(turns(len(made), settings.protocol.blocks, settings.protocol.seed), len(made)))
    planned = len(rounds) * len(made)
    folders = (out / f"block-{i}" for i in itertools.count())
    begin_s = time.monotonic()

    def run_round(number: int, each: int | None) -> list[_ObservedBlock]:
        """A block of each file; ``each`` inferences share a reading of the clock, the device chooses if None."""
        seen = []
        for i, which in enumerate(rounds[number], number * len(made)):
            arm, folder = made[which], next(folders)
            step = f"{arm.name}: block {i + 1} of {planned} on {bench.device.id}"
            bench.session.progress.begin(step)
            if settings.protocol.cool_down_c is not None and i > 0:
                flags.extend(_cool_down(bench, start, settings.protocol.cool_down_c))
            run = msgspec.structs.replace(arm.run, mode="time", inferences_per_reading=each)
            block, trace = _metered(bench, arm.deployment, run, metering, folder)
            counted = msgspec.structs.replace(block, index=i, counted=_counts(block))
            seen.append(_ObservedBlock(which, counted, folder, trace))
            bench.session.progress.end(step, from_cache=False)
        return seen

    seen = run_round(0, None)
    each = per_reading([one.block for one in seen])
    if any(per_reading([one.block]) < each for one in seen):
        # a median of single times and one of means are two things: both files begin again
        bench.session.progress.plan(len(made))
        seen = run_round(0, each)
    for number in range(1, len(rounds)):
        if _late(settings, metering, begin_s, number, len(made)):
            bench.session.progress.plan(len(seen) - planned)
            flags.append(f"{number} blocks instead of {len(rounds)}, and no plots, so that it stays quick")
            break
        seen += run_round(number, each)
    if metering:
        idle.append(_idle(bench, made[0].deployment, settings, metering, out / "idle-after"))
    return _by_file(seen, len(made), idle, flags)


class _ObservedBlock(NamedTuple):
    """One block: which file's it is, the folder of its files, and what the meter saw."""

    which: int
    block: Block
    folder: Path
    trace: PowerTrace | None


def _by_file(
    seen: list[_ObservedBlock], files: int, idle: list[tuple[Block, PowerTrace | None]], flags: list[str]
) -> Observations:
    rows = [[one for one in seen if one.which == which] for which in range(files)]
    return Observations(
        tuple(tuple(one.block for one in row) for row in rows),
        tuple(tuple(one.folder for one in row) for row in rows),
        tuple(tuple(one.trace for one in row) for row in rows),
        tuple(idle),
        "".join("AB"[one.which] for one in seen),
        tuple(dict.fromkeys(flags)),
    )


def _late(settings: MeasurementSettings, metering: Metering | None, begin_s: float, done: int, files: int) -> bool:
    """Whether the next blocks would end after the limit, and there are enough; what energy takes has no limit."""
    if settings.limit_s is None or metering is not None or done < FEWEST_BLOCKS:
        return False
    return (time.monotonic() - begin_s) * (done + 1) / done > settings.limit_s * files


def nothing(subjects: int) -> Observations:
    """The observations of a measurement without blocks, on a device whose times mean nothing."""
    empty = ((),) * subjects
    return Observations(empty, empty, empty, (), "", ())


def turns(subjects: int, blocks: int, seed: int) -> list[int]:
    """Which subject runs when: ``blocks`` of each, two in pairs whose inner order is drawn.

    Each pair draws its own order. Then every pair of one file with itself could as well have come out the
    other way round, whatever the machine did, and `edgekit.measure.statistics.compare` is right in 95 % of
    cases. Mirrored twos (ABBA or BAAB) cancel a steady drift, but a burst over the two in the middle makes
    two pairs of one mind, and calls nearly twice as many false alarms (tests/measure/test_protocol.py).
    """
    if subjects == 1:
        return [0] * blocks
    draw = random.Random(seed)  # noqa: S311  an order, no secret
    order: list[int] = []
    for _ in range(blocks):
        first = draw.randrange(2)
        order += [first, 1 - first]
    return order


def _idle(
    bench: Bench, deployment: Deployment, settings: MeasurementSettings, metering: Metering, out: Path
) -> tuple[Block, PowerTrace | None]:
    step = f"idle for {settings.idle_s:.0f} s"
    bench.session.progress.begin(step)
    run = msgspec.structs.replace(settings.run, mode="idle", idle_s=settings.idle_s)
    seen = _metered(bench, deployment, run, metering, out)
    bench.session.progress.end(step, from_cache=False)
    return seen


def _counts(block: Block) -> bool:
    """A block in which the device held its clock down says nothing about the file."""
    return not throttling(block)


def _cool_down(bench: Bench, start: State, limit_c: float) -> list[str]:
    """Wait until the device is as cool as at the start; a flag if it does not get there."""
    if start.temperature_c is None:
        return []
    end = time.monotonic() + COOL_DOWN_LIMIT_S
    while True:
        now = bench.driver.state(bench.device)
        if now.temperature_c is None or now.temperature_c <= start.temperature_c + limit_c:
            return []
        if time.monotonic() > end:
            return [f"the device did not cool down to within {limit_c:g} °C of its temperature at the start"]
        time.sleep(1.0)


def energy_settings(settings: MeasurementSettings, provenance: Provenance) -> MeasurementSettings:
    """Blocks long enough for a meter (`energy.least_s`); quick ones are shorter, but for a battery gauge."""
    least_s = energy.least_s(provenance)
    if settings.protocol.name == "quick" and provenance != "battery_gauge":
        least_s = QUICK_ENERGY_S
    run = settings.run
    longer = msgspec.structs.replace(run, min_s=max(run.min_s, least_s), max_s=max(run.max_s, 2 * least_s))
    return replace(settings, run=longer)


@contextmanager
def workbench() -> Iterator[Path]:
    """A folder for a measurement's files until they are recorded."""
    with ownership.temporary("measure") as folder:
        yield folder.path


def in_words(error: EdgekitError) -> str:
    """An error as a reason in a profile's ``unavailable``."""
    return f"{error.problem} ({error.fix})" if error.fix else error.problem
