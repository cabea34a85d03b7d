"""The verbs of measuring: profile one file, or compare two by blocks that take turns."""

import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import __version__ as edgekit_version
from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.measure import agreement, attached, energy, estimate, flags, plots, protocol, record, statistics
from edgekit.measure.protocol import Bench, Course, Metering, Settings, in_words
from edgekit.measure.subject import Subject, write_inputs
from edgekit.profiles import (
    Availability,
    Block,
    Comparison,
    Delegation,
    Device,
    DeviceVerification,
    Energy,
    Estimate,
    Latency,
    Memory,
    OperatorTime,
    Profile,
    Run,
    Stand,
)
from edgekit.session import Session
from edgekit.tensors import Array
from edgekit.types import Signature


@dataclass(frozen=True)
class Measured:
    """A profile with the file that it was recorded in."""

    profile: Profile
    file: Path


@dataclass(frozen=True)
class Wishes:
    """What a user may say about a measurement, beside `Settings`.

    ``inputs`` are samples for the file's inputs (`edgekit.samples.load`), ``meter`` the name of the
    one to use, ``output`` the folder for profiles.
    """

    inputs: str | None = None
    meter: str | None = None
    output: str | None = None


def profile(
    session: Session, device: Device, subjects: list[Subject], settings: Settings, wishes: Wishes
) -> list[Measured]:
    """Measure each file on its own, one after the other, and record what was seen.

    Raises:
        DeviceError: the device went away; what it had been given is taken back at the next run.
        MissingTool: the device has no runtime for the file.
        Unsupported: the device cannot run the file.
    """
    bench = Bench(session, device)
    session.progress.plan(len(subjects) * steps(settings))
    return [one for subject in subjects for one in _measure(bench, [subject], settings, wishes)]


def verify_on(
    session: Session, device: Device, subject: Subject, wishes: Wishes, seed: int
) -> tuple[str, DeviceVerification]:
    """Compare a file's outputs on a device with this host's, and put the verdict into its manifest.

    Returns:
        The file's name, and the verdict.

    Raises:
        As `profile`.
    """
    bench = Bench(session, device)
    session.progress.plan(1)
    with protocol.workbench() as out:
        inputs = out / "inputs.npz"
        write_inputs(subject, wishes.inputs, seed, inputs)
        found, unavailable = _verified(bench, subject, inputs, protocol.QUICK.run, out / "outputs")
    if found is None:
        raise Unsupported(unavailable["verification"], place=f"device {device.id}", fix="choose another device")
    if subject.manifest is not None:
        record.verified(subject.manifest, subject.name, found)
    return subject.name, found


def compare(
    session: Session, device: Device, pair: tuple[Subject, Subject], settings: Settings, wishes: Wishes
) -> tuple[list[Measured], Comparison]:
    """Measure two files in blocks that take turns, record both, and judge the ratio of their latencies.

    Raises:
        As `profile`; and
        Unsupported: this device gives no times.
    """
    bench = Bench(session, device)
    session.progress.plan(2 * steps(settings))
    measured = _measure(bench, list(pair), settings, wishes)
    return measured, compare_profiles(measured[0].profile, measured[1].profile)


def steps(settings: Settings) -> int:
    """How many steps of progress one file takes."""
    return settings.protocol.blocks + 2 * settings.energy + settings.operators + 1


def compare_profiles(a: Profile, b: Profile) -> Comparison:
    """Judge two recorded profiles.

    Raises:
        InputError: they are of different devices, or were not measured in turns: what the device did
            between two measurements is in no interval.
    """
    for what, first, second in (
        ("devices", a.device.id, b.device.id),
        ("numbers of threads", str(a.run.threads), str(b.run.threads)),
    ):
        if first != second:
            raise InputError(
                f"The profiles are of different {what}: {first} and {second}.",
                place=f"{a.artifact} and {b.artifact}",
                fix="compare the artifacts themselves, which measures both in turns: edgekit compare A B",
            )
    if a.session != b.session:
        raise InputError(
            "The profiles were not measured in turns, so what the device did in between is in no interval.",
            place=f"{a.artifact} ({a.created_utc}) and {b.artifact} ({b.created_utc})",
            fix="compare the artifacts themselves, which measures both in turns: edgekit compare A B",
        )
    return _compared(a.blocks, b.blocks)


def _measure(bench: Bench, subjects: list[Subject], settings: Settings, wishes: Wishes) -> list[Measured]:
    unavailable: dict[str, str] = {}
    metering = _metering(bench, wishes.meter, unavailable) if settings.energy else None
    if metering is not None:
        settings = protocol.energy_settings(settings, metering.provenance)
    with protocol.workbench() as out:
        inputs = [out / f"inputs-{i}.npz" for i in range(len(subjects))]
        for subject, file in zip(subjects, inputs, strict=True):
            write_inputs(subject, wishes.inputs, settings.protocol.seed, file)
        seen = [
            _Seen(subject, *_verified(bench, subject, given, settings.run, out / f"outputs-{i}"))
            for i, (subject, given) in enumerate(zip(subjects, inputs, strict=True))
        ]
        if not bench.device.times:
            course = protocol.nothing(len(subjects))
            unavailable["latency"] = "times under emulation mean nothing"
        else:
            with protocol.stands(bench, subjects, inputs, settings.run) as made:
                operators = [_operators(bench, stand, settings, out / f"ops-{i}") for i, stand in enumerate(made)]
                seen = [one.with_operators(*found) for one, found in zip(seen, operators, strict=True)]
                course = protocol.course(bench, made, settings, metering, out)
        run_id, now = uuid.uuid4().hex[:12], datetime.now(UTC)
        recorder = _Recorder(bench, settings, course, metering, run_id, now, unavailable)
        return [recorder.record(one, i, wishes.output) for i, one in enumerate(seen)]


@dataclass(frozen=True)
class _Seen:
    """What is known of a subject beside its blocks."""

    subject: Subject
    verification: DeviceVerification | None
    unavailable: dict[str, str]
    operators: tuple[OperatorTime, ...] = ()

    def with_operators(self, operators: tuple[OperatorTime, ...], reason: str) -> "_Seen":
        more = {"operators": reason} if reason else {}
        return _Seen(self.subject, self.verification, self.unavailable | more, operators)


def _metering(bench: Bench, wanted: str | None, unavailable: dict[str, str]) -> Metering | None:
    """The best meter that there is, calibrated where its kind needs it; without one, the reasons are kept.

    Raises:
        InputError: there is no meter of the name that is wanted.
        DeviceError: the one that is wanted cannot be used.
    """
    offers = attached.meters(bench.session, bench.device)
    try:
        name = energy.choose(offers, wanted)
        offer = _calibrated(bench, name, offers[name])
    except DeviceError as error:
        if wanted is not None:
            raise
        unavailable["energy"] = in_words(error)
        return None
    if offer.probe is None or offer.provenance is None:
        raise TypeError(f"{name} offers no probe or no provenance")
    return Metering(name, offer.probe, offer.provenance, at_host=offer.attached == "host")


def _calibrated(bench: Bench, name: str, offer: Availability) -> Availability:
    """An offer with what its calibration taught, for sensors whose sign or unit differs by model."""
    ask = bench.session.call
    lines = ask("meters", name, "calibration", device=bench.device, probe=offer.probe)
    if not lines:
        return offer
    seen = bench.call("execute", lines=lines)
    taught: Availability = ask("meters", name, "calibrated", device=bench.device, probe=offer.probe, seen=seen)
    if taught.probe is None:
        raise DeviceError(f"The meter {name} cannot be used: {taught.reason}.", place=name, fix=taught.fix)
    return taught


def _verified(
    bench: Bench, subject: Subject, inputs: Path, run: Run, out: Path
) -> tuple[DeviceVerification | None, dict[str, str]]:
    """Whether the device computes what this host computes; this host itself needs no such proof."""
    if bench.device.id == attached.LOCAL:
        return None, {}
    step = f"comparing outputs of {subject.name}"
    bench.session.progress.begin(step)
    try:
        out.mkdir()
        here = _Outputs(Bench(bench.session, attached.choose(bench.session, {}, None)), run, out)
        there = _Outputs(bench, run, out)
        found = agreement.verified(
            subject.path,
            record.arrays(inputs),
            run_host=here.of,
            run_device=there.of,
            device=bench.device.id,
            runtime=lambda: there.runtime,
            folder=out,
        )
    except Unsupported as error:
        return None, {"verification": in_words(error)}
    finally:
        bench.session.progress.end(step, from_cache=False)
    return found, {}


class _Outputs:
    """What a file computes on a device, for `agreement.verified`; remembers which runtime computed it."""

    def __init__(self, bench: Bench, run: Run, folder: Path) -> None:
        self._bench, self._run, self._folder = bench, msgspec.structs.replace(run, mode="outputs", probe=None), folder
        self.runtime = ""

    def of(self, file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        """Outputs ``[N, *shape]`` by name for inputs ``[N, *shape]`` by name."""
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            given = Path(made) / "inputs.npz"
            arrays: dict[str, Any] = dict(inputs)
            np.savez(given, **arrays)
            subject = Subject(file, "", Signature(inputs=(), outputs=()))
            with protocol.stands(self._bench, [subject], [given], self._run) as stands:
                block = protocol.run_block(self._bench, stands[0], self._run, Path(made) / "block")
            self.runtime = block.runtime
            if block.outputs is None:
                raise Unsupported("The device gives no outputs.", place=str(file), fix="verify on another device")
            return record.arrays(Path(made) / "block" / block.outputs)


def _operators(bench: Bench, stand: Stand, settings: Settings, out: Path) -> tuple[tuple[OperatorTime, ...], str]:
    """Times by operator, in a run of their own; or why there are none."""
    if not settings.operators:
        return (), ""
    step = "timing operators"
    bench.session.progress.begin(step)
    run = msgspec.structs.replace(settings.run, mode="operators")
    try:
        return protocol.run_block(bench, stand, run, out).operators, ""
    except Unsupported as error:
        return (), in_words(error)
    finally:
        bench.session.progress.end(step, from_cache=False)


@dataclass(frozen=True)
class _Recorder:
    """Turns a course into profiles and records them."""

    bench: Bench
    settings: Settings
    course: Course
    metering: Metering | None
    run_id: str
    now: datetime
    unavailable: dict[str, str]

    def record(self, seen: _Seen, which: int, output: str | None) -> Measured:
        made, arrays = self._profile(seen, which)
        drawn = plots.draw(made, arrays)
        file = record.write(made, arrays, drawn, seen.subject, record.folder(seen.subject, output))
        if made.verification is not None and seen.subject.manifest is not None:
            record.verified(seen.subject.manifest, seen.subject.name, made.verification)
        return Measured(made, file)

    def _profile(self, seen: _Seen, which: int) -> tuple[Profile, dict[str, Array]]:
        subject, device, blocks = seen.subject, self.bench.device, self.course.blocks[which]
        unavailable = self.unavailable | seen.unavailable
        latency, reason = self._latency(which)
        if reason and "latency" not in unavailable:
            unavailable["latency"] = reason
        spent, why = self._energy(seen, which)
        if why:
            unavailable.setdefault("energy", why)
        name = f"{record.name(subject, device.id, self.now)}-{self.run_id}"
        made = Profile(
            edgekit=edgekit_version,
            created_utc=self.now.isoformat(timespec="seconds"),
            session=self.run_id,
            artifact=subject.name,
            artifact_sha256=subject.sha256,
            device=device,
            runtime=next(
                (b.runtime for b in blocks if b.runtime), seen.verification.runtime if seen.verification else ""
            ),
            run=self.settings.run,
            protocol=msgspec.structs.replace(self.settings.protocol, order=self.course.order),
            blocks=blocks,
            latency=latency,
            memory=_memory(blocks),
            energy=spent,
            operators=seen.operators,
            delegation=_delegation(blocks),
            verification=seen.verification,
            flags=(*self.course.flags, *flags.remarks(blocks, self._latencies(which)), *device.problems),
            raw=f"{name}.npz",
            unavailable=unavailable,
        )
        return made, record.raw(self.course, which)

    def _latencies(self, which: int) -> list[NDArray[np.float64] | None]:
        """Every block's latencies in ms, None where the device gives no single ones."""
        rows = zip(self.course.blocks[which], self.course.folders[which], strict=True)
        return [None if b.latencies is None else np.load(where / b.latencies).astype(np.float64) for b, where in rows]

    def _latency(self, which: int) -> tuple[Latency | None, str]:
        blocks = self.course.blocks[which]
        counted = [(b, taken) for b, taken in zip(blocks, self._latencies(which), strict=True) if b.counted]
        if not counted:
            return None, "the device throttled in every block" if blocks else ""
        own = [b for b, _ in counted]
        inits, firsts = [b.init_ms for b in own], [b.first_ms for b in own]
        arrays = [taken for _, taken in counted if taken is not None]
        if len(arrays) < len(own):
            return _summarized(own, inits, firsts), ""
        return statistics.latency(arrays, inits, firsts), ""

    def _energy(self, seen: _Seen, which: int) -> tuple[Energy | None, str]:
        if self.metering is not None:
            rows = list(zip(self.course.blocks[which], self.course.traces[which], strict=True))
            if any(trace is not None for _, trace in rows):
                return energy.energy(rows, self.course.idle, self.settings.protocol.seed), ""
            return None, "the meter saw nothing of any block"
        if self.settings.model_energy:
            if seen.subject.cost is None or seen.subject.precision is None:
                return None, "an estimate needs the MACs of the artifact, which only a manifest holds"
            return estimate.modelled(seen.subject.cost, seen.subject.precision), ""
        return None, "" if self.settings.energy else "not asked for (--energy)"


def _summarized(blocks: list[Block], inits: list[float | None], firsts: list[float | None]) -> Latency:
    """Latency from what a tool says of each block, where it gives no single latencies."""
    said = [b.latency for b in blocks if b.latency is not None]
    medians = [row.median_ms if row.median_ms is not None else row.mean_ms for row in said]
    no_single = Estimate(value=None, n=0, reason="the device's tool gives no single latencies")
    return Latency(
        blocks=len(said),
        runs=sum(row.runs for row in said),
        seconds=sum(row.runs * row.mean_ms for row in said) / 1e3,
        init_ms=statistics.told(inits),
        first_ms=statistics.told(firsts),
        median_ms=statistics.estimate_median(medians),
        p90_ms=no_single,
        p99_ms=no_single,
        mean_ms=statistics.estimate_mean([row.mean_ms for row in said]),
    )


def _memory(blocks: tuple[Block, ...]) -> Memory:
    """The largest of each figure over the blocks."""

    def largest(field: str) -> int | None:
        return max((v for b in blocks if (v := getattr(b.memory, field)) is not None), default=None)

    return Memory(**{field: largest(field) for field in ("loaded_bytes", "peak_bytes", "arena_bytes")})


def _delegation(blocks: tuple[Block, ...]) -> Delegation | None:
    return next((b.delegation for b in blocks if b.delegation is not None), None)


def _compared(a: tuple[Block, ...], b: tuple[Block, ...]) -> Comparison:
    """Judge by the pairs of blocks of which both count."""
    pairs = [
        (first.latency.median_ms or first.latency.mean_ms, second.latency.median_ms or second.latency.mean_ms)
        for first, second in zip(a, b, strict=False)
        if first.counted and second.counted and first.latency and second.latency
    ]
    return statistics.compare([x for x, _ in pairs], [y for _, y in pairs])
