"""One measurement: the files of a verb on a device, from their inputs to the profiles that are recorded."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.measure import discovery, energy, protocol, record
from edgekit.measure.assembly import ObservedFile, Recorder
from edgekit.measure.protocol import Arm, Bench, MeasurementSettings, Metering, in_words
from edgekit.measure.subject import Measurable, write_inputs
from edgekit.nouns.profile import Device, DeviceVerification, OperatorTime, Run
from edgekit.nouns.results import Measured
from edgekit.nouns.sensing import Availability


def steps(device: Device, settings: MeasurementSettings) -> int:
    """How many steps of progress one file takes; idle baselines come on top if there is a meter."""
    timed = settings.protocol.blocks + settings.operators if device.times else 0
    return timed + (device.id != discovery.LOCAL)


def run_of(subject: Measurable, device: Device, settings: MeasurementSettings) -> Run:
    """How a file is run: by the delegate that is wished for, else by the one it is made for if the device has it.

    Raises:
        InputError: a delegate is wished for if there can be none.
    """
    if settings.delegate is not None and subject.path.suffix != ".tflite":
        raise InputError(
            f"{subject.name} is no LiteRT file, and only these have delegates.",
            place="--delegate",
            fix="leave it out",
        )
    delegate = settings.delegate or (subject.delegate if subject.delegate in device.delegates else None)
    return settings.run if delegate is None else msgspec.structs.replace(settings.run, delegate=delegate)


def measure(bench: Bench, subjects: list[Measurable], settings: MeasurementSettings) -> list[Measured]:
    """Measure files in blocks that take turns, and record what was seen of each.

    Raises:
        As `edgekit.verbs.profile.profile`.
    """
    for subject in subjects:
        record.check(subject, settings.output)
    unavailable: dict[str, str] = {}
    metering = _metering(bench, settings.meter, unavailable) if settings.energy else None
    if metering is not None:
        settings = protocol.energy_settings(settings, metering.provenance)
        bench.session.progress.plan(2)
    runs = [run_of(subject, bench.device, settings) for subject in subjects]
    with protocol.workbench() as out:
        inputs = [out / f"inputs-{i}.npz" for i in range(len(subjects))]
        for subject, file in zip(subjects, inputs, strict=True):
            write_inputs(bench.session, subject, settings.inputs, settings.protocol.seed, file)
        seen = [
            ObservedFile(subject, run, *verified(bench, subject, given, run, out / f"outputs-{i}"))
            for i, (subject, given, run) in enumerate(zip(subjects, inputs, runs, strict=True))
        ]
        if not bench.device.times:
            observations = protocol.nothing(len(subjects))
            unavailable["latency"] = "times under emulation mean nothing"
        else:
            with protocol.deployments(bench, subjects, inputs, runs) as deployments:
                made = [
                    Arm(deployment, run, one.subject.name)
                    for deployment, run, one in zip(deployments, runs, seen, strict=True)
                ]
                operators = [_operators(bench, arm, settings, out / f"ops-{i}") for i, arm in enumerate(made)]
                seen = [one.with_operators(*found) for one, found in zip(seen, operators, strict=True)]
                observations = protocol.observe(bench, made, settings, metering, out)
        for subject in subjects:
            subject.confirm()
        run_id, now = uuid.uuid4().hex[:12], datetime.now(UTC)
        recorder = Recorder(bench, settings, observations, metering, run_id, now, unavailable)
        return [recorder.record(one, i, settings.output) for i, one in enumerate(seen)]


def _metering(bench: Bench, wanted: str | None, unavailable: dict[str, str]) -> Metering | None:
    """The best meter that there is, calibrated if its kind needs it; without one, the reasons are kept.

    Raises:
        InputError: there is no meter of the name that is wanted.
        DeviceError: the one that is wanted cannot be used.
    """
    offers = discovery.meters(bench.session, bench.device)
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
    probe, meter = offer.probe, bench.session.meter(name)
    if probe is None or not (lines := meter.calibration(bench.device, probe)):
        return offer
    taught = meter.calibrated(bench.device, probe, bench.driver.execute(bench.device, lines))
    if taught.probe is None:
        raise DeviceError(f"The meter {name} cannot be used: {taught.reason}.", place=name, fix=taught.fix)
    return taught


def verified(
    bench: Bench, subject: Measurable, inputs: Path, run: Run, out: Path
) -> tuple[DeviceVerification | None, dict[str, str]]:
    """See `edgekit.measure.verification.verified`."""
    from edgekit.measure import verification  # noqa: PLC0415  the flatbuffer schema, only for other devices

    return verification.verified(bench, subject, inputs, run, out)


def _operators(
    bench: Bench, arm: Arm, settings: MeasurementSettings, out: Path
) -> tuple[tuple[OperatorTime, ...], str]:
    """Times by operator, in a run of their own; or why there are none."""
    if not settings.operators:
        return (), ""
    step = f"{arm.name}: timing operators"
    bench.session.progress.begin(step)
    run = msgspec.structs.replace(arm.run, mode="operators")
    try:
        return protocol.run_block(bench, arm.deployment, run, out).operators, ""
    except Unsupported as error:
        return (), in_words(error)
    finally:
        bench.session.progress.end(step, from_cache=False)
