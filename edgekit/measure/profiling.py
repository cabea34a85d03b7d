"""The verbs of measuring: profile one file, or compare two by blocks that take turns."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit.engine.session import Session
from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.measure import attached, energy, protocol, record, statistics
from edgekit.measure.assembly import Recorder, Seen
from edgekit.measure.protocol import Arm, Bench, Metering, Settings, in_words
from edgekit.measure.subject import Subject, write_inputs
from edgekit.nouns.profile import Block, Comparison, Delegate, Device, DeviceVerification, OperatorTime, Profile, Run
from edgekit.nouns.results import Measured
from edgekit.nouns.sensing import Availability


@dataclass(frozen=True)
class Wishes:
    """What a user may say about a measurement, beside `Settings`.

    ``delegate`` is the one to use instead of the one that each file is made for, ``inputs`` are samples for the
    file's inputs (`edgekit.samples.load`), ``meter`` is the name of the one to use, ``output`` the folder for
    profiles.
    """

    delegate: Delegate | None = None
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
    session.progress.plan(len(subjects) * steps(device, settings))
    return [one for subject in subjects for one in _measure(bench, [subject], settings, wishes)]


def refuse_host(device: Device) -> None:
    """Refuse this host where another device is needed.

    Raises:
        InputError: the device is this host.
    """
    if device.id == attached.LOCAL:
        raise InputError(
            "This host is what a device is compared with.",
            place="--verify-on",
            fix="name another device: edgekit devices lists them, edgekit devices add arm64-emulated makes one",
        )


def verify_on(
    session: Session, device: Device, subject: Subject, wishes: Wishes, seed: int
) -> tuple[str, DeviceVerification]:
    """Compare a file's outputs on a device with this host's, and put the verdict into its manifest.

    Returns:
        The file's name, and the verdict.

    Raises:
        As `profile`.
    """
    refuse_host(device)
    bench = Bench(session, device)
    session.progress.plan(1)
    with protocol.workbench() as out:
        inputs = out / "inputs.npz"
        write_inputs(subject, wishes.inputs, seed, inputs)
        found, unavailable = _verified(
            bench, subject, inputs, run_of(subject, device, protocol.QUICK, wishes), out / "outputs"
        )
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
    if not device.times:
        raise Unsupported(
            f"{device.title} gives no times, so that nothing can be compared on it.",
            place=f"device {device.id}",
            fix="compare on this host, or on a phone or board",
        )
    session.progress.plan(2 * steps(device, settings))
    measured = _measure(bench, list(pair), settings, wishes)
    return measured, compare_profiles(measured[0].profile, measured[1].profile)


def steps(device: Device, settings: Settings) -> int:
    """How many steps of progress one file takes; idle baselines come on top where there is a meter."""
    timed = settings.protocol.blocks + settings.operators if device.times else 0
    return timed + (device.id != attached.LOCAL)


def run_of(subject: Subject, device: Device, settings: Settings, wishes: Wishes) -> Run:
    """How a file is run: by the delegate that is wished for, else by the one it is made for where the device has it.

    Raises:
        InputError: a delegate is wished for where there can be none.
    """
    if wishes.delegate is not None and subject.path.suffix != ".tflite":
        raise InputError(
            f"{subject.name} is no LiteRT file, and only these have delegates.",
            place="--delegate",
            fix="leave it out",
        )
    delegate = wishes.delegate or (subject.delegate if subject.delegate in device.delegates else None)
    return settings.run if delegate is None else msgspec.structs.replace(settings.run, delegate=delegate)


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
    return msgspec.structs.replace(_compared(a.blocks, b.blocks), energy=energy.compared(a.energy, b.energy))


def _measure(bench: Bench, subjects: list[Subject], settings: Settings, wishes: Wishes) -> list[Measured]:
    for subject in subjects:
        record.check(subject, wishes.output)
    unavailable: dict[str, str] = {}
    metering = _metering(bench, wishes.meter, unavailable) if settings.energy else None
    if metering is not None:
        settings = protocol.energy_settings(settings, metering.provenance)
        bench.session.progress.plan(2)
    runs = [run_of(subject, bench.device, settings, wishes) for subject in subjects]
    with protocol.workbench() as out:
        inputs = [out / f"inputs-{i}.npz" for i in range(len(subjects))]
        for subject, file in zip(subjects, inputs, strict=True):
            write_inputs(subject, wishes.inputs, settings.protocol.seed, file)
        seen = [
            Seen(subject, run, *_verified(bench, subject, given, run, out / f"outputs-{i}"))
            for i, (subject, given, run) in enumerate(zip(subjects, inputs, runs, strict=True))
        ]
        if not bench.device.times:
            course = protocol.nothing(len(subjects))
            unavailable["latency"] = "times under emulation mean nothing"
        else:
            with protocol.stands(bench, subjects, inputs, runs) as stands:
                made = [Arm(stand, run, one.subject.name) for stand, run, one in zip(stands, runs, seen, strict=True)]
                operators = [_operators(bench, arm, settings, out / f"ops-{i}") for i, arm in enumerate(made)]
                seen = [one.with_operators(*found) for one, found in zip(seen, operators, strict=True)]
                course = protocol.course(bench, made, settings, metering, out)
        for subject in subjects:
            subject.confirm()
        run_id, now = uuid.uuid4().hex[:12], datetime.now(UTC)
        recorder = Recorder(bench, settings, course, metering, run_id, now, unavailable)
        return [recorder.record(one, i, wishes.output) for i, one in enumerate(seen)]


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
    from edgekit.measure.verification import verified  # noqa: PLC0415  the flatbuffer schema, only for other devices

    return verified(bench, subject, inputs, run, out)


def _operators(bench: Bench, arm: Arm, settings: Settings, out: Path) -> tuple[tuple[OperatorTime, ...], str]:
    """Times by operator, in a run of their own; or why there are none."""
    if not settings.operators:
        return (), ""
    step = f"{arm.name}: timing operators"
    bench.session.progress.begin(step)
    run = msgspec.structs.replace(arm.run, mode="operators")
    try:
        return protocol.run_block(bench, arm.stand, run, out).operators, ""
    except Unsupported as error:
        return (), in_words(error)
    finally:
        bench.session.progress.end(step, from_cache=False)


def _compared(a: tuple[Block, ...], b: tuple[Block, ...]) -> Comparison:
    """Judge by the pairs of blocks of which both count."""
    pairs = [
        (first.latency.median_ms or first.latency.mean_ms, second.latency.median_ms or second.latency.mean_ms)
        for first, second in zip(a, b, strict=False)
        if first.counted and second.counted and first.latency and second.latency
    ]
    return statistics.compare([x for x, _ in pairs], [y for _, y in pairs])
