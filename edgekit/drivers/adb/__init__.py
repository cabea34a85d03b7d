"""Android phones over adb: benchmark_model runs the file, the phone's shell does the rest.

A phone offers no Python, so a block is one process of benchmark_model that warms up and times by
itself; it gives a distribution, not raw latencies. Its place is a folder below ``/data/local/tmp``.
"""

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.drivers import Driver
from edgekit.drivers.adb import bridge, conditions, feeding, finding, modes, places, sensing, settings, tool
from edgekit.drivers.adb.bridge import Phone
from edgekit.errors import DeviceError, EdgekitError, InputError, Unsupported
from edgekit.nouns.profile import Block, Deployment, Device, DeviceConfig, Output, Run, State

CLOCK_TRIES = 3
"""How often the two clocks are compared; the quickest answer counts."""

COMING_BACK_S = 15.0
"""How long `AdbDriver.close` waits for a phone that went away for a moment."""

SPARE = 16 << 20
"""Bytes that must be free on a phone beyond what is sent: for outputs, logs and a delegate's caches."""


class AdbDriver(Driver):
    """Finds Android phones and runs blocks there."""

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """See `edgekit.drivers.Driver.find`; a table without ``host`` tells of the phone whose serial is its name."""
        names = {bridge.address(config) or name: name for name, config in configured.items()}
        with ThreadPoolExecutor(max_workers=8) as several:
            try:
                known = bridge.attached()
                addresses = [where for where in names if where not in configured]
                unknown = [where for where in addresses if known.get(where, ("absent", {}))[0] != "device"]
                list(several.map(bridge.connect, unknown))
                known = {where: ("absent", {}) for where in names} | bridge.attached()
            except DeviceError as error:
                words = f"{error.problem} fix: {error.fix}"
                return (Device(id="adb", kind="adb", title="Android devices", usable=False, problems=(words,)),)
            return tuple(
                several.map(
                    lambda item: _found(
                        names.get(item[0], item[0]), item[1][0], configured.get(names.get(item[0], ""))
                    ),
                    known.items(),
                )
            )

    def state(self, device: Device) -> State:
        """See `edgekit.drivers.Driver.state`."""
        return conditions.state(bridge.reach(device).shell(conditions.LINE).stdout)

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:
        """See `edgekit.drivers.Driver.execute`."""
        phone = bridge.reach(device)
        return tuple(phone.shell(line) for line in lines)

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:
        """See `edgekit.drivers.Driver.open`."""
        if artifact.suffix != ".tflite":
            raise Unsupported(
                f"A phone runs .tflite files, not {artifact.suffix}.",
                place=str(artifact),
                fix="choose the .tflite file",
            )
        if not artifact.is_file():
            raise InputError("There is no such file.", place=str(artifact), fix="build it, or name another")
        phone = bridge.reach(device)
        for name in places.left(phone, place):
            _clear(phone, places.path(name))
        made = places.path(place)
        deployment = Deployment(place=made, model=f"{made}/model.tflite", inputs=f"{made}/inputs")
        try:
            return _furnish(phone, device, deployment, run, artifact, inputs=inputs)
        except EdgekitError:
            with suppress(DeviceError):  # the first error is the one to tell; the next open sweeps what stays
                self.close(device, deployment)
            raise

    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """See `edgekit.drivers.Driver.run`."""
        phone = bridge.reach(device)
        if settings.boot(phone) != deployment.settings["boot"]:
            raise DeviceError(
                "The phone started anew: its settings are not those of the run any more.",
                place=device.id,
                fix="run it again",
            )
        before = conditions.state(phone.shell(conditions.LINE).stdout)
        energy = run.mode == "idle" or (run.mode == "time" and run.probe is not None)
        if energy and before.screen_on:
            settings.darken(phone, deployment.place)
            before = conditions.state(phone.shell(conditions.LINE).stdout)
        offset_s, error_s = _clock(phone)
        notes = tuple(msgspec.json.decode(deployment.settings.get("notes", "[]"), type=list[str]))
        made = Block(
            before=before,
            host_offset_s=offset_s,
            host_offset_error_s=error_s,
            runtime="" if run.mode == "idle" else deployment.settings["runtime"],
            notes=() if run.mode == "idle" else notes,
        )
        with modes.room(phone, deployment, run, out) as room:
            filled = modes.carry_out(room, made)
        return msgspec.structs.replace(filled, after=conditions.state(phone.shell(conditions.LINE).stdout))

    def close(self, device: Device, deployment: Deployment) -> None:
        """See `edgekit.drivers.Driver.close`."""
        try:
            stays = _clear(bridge.reach(device, COMING_BACK_S), places.path(deployment.place))
        except DeviceError as error:
            raise DeviceError(
                f"{error.problem} What edgekit put there stays: {deployment.place}, and its performance mode.",
                place=error.place,
                fix=f"{error.fix}; the next run on it clears this away",
            ) from error
        if stays:
            raise DeviceError(
                "Files of edgekit stay on the phone.", place=f"{device.id}:{stays}", fix=f"adb shell rm -rf {stays}"
            )


def _found(name: str, state: str, config: DeviceConfig | None) -> Device:
    if state != "device":
        return finding.absent(name, state, config)
    bare = Device(id=name, kind="adb", title=name, config=config)
    try:
        return finding.described(name, bridge.Phone(bare).shell(finding.LOOK, limit_s=10.0).stdout, config)
    except DeviceError as error:
        words = f"{error.problem} fix: {error.fix}"
        return Device(id=name, kind="adb", title="Android device", usable=False, problems=(words,), config=config)


def _clear(phone: Phone, place: str) -> str:
    """Put settings back, then remove a place; what stays, empty if nothing."""
    settings.restore(phone, place)
    return places.remove(phone, place)


def _furnish(
    phone: Phone, device: Device, deployment: Deployment, run: Run, artifact: Path, *, inputs: Path
) -> Deployment:
    """Make a place: owner, what is to be restored, the tool, the model, the inputs; then change the settings."""
    place, model, of = deployment.place, artifact.read_bytes(), feeding.boundary(artifact)
    samples = feeding.raw(of, inputs)
    _check_room(phone, len(model) + sum(len(content) for sample in samples for content in sample))
    quoted = shlex.quote(place)
    folders = " ".join(f"{quoted}/inputs/{i}" for i in range(len(samples)))
    phone.shell(f"rm -rf {quoted}; mkdir -p {quoted} {folders} && chmod 700 {quoted}")
    phone.push(runner.owner(place.rpartition("/")[2]).encode(), f"{place}/{runner.OWNER}")
    before = settings.planned(phone.shell(conditions.LINE).stdout, finding.api_level(device))
    phone.push(msgspec.json.encode(before), f"{place}/{places.RESTORE}")
    found = tool.place_tool(phone, device, run.benchmark_binary, place)
    phone.push(model, deployment.model)
    for i, sample in enumerate(samples):
        for j, content in enumerate(sample):
            phone.push(content, f"{place}/inputs/{i}/{j}.bin")
    notes = [*found.notes, *settings.apply(phone, before)]
    if found.generation == "litert" or not feeding.arguments(of, place, 0):
        notes.append("this benchmark_model makes up its own inputs")
    return msgspec.structs.replace(
        deployment,
        settings={
            "tool": found.path,
            "generation": found.generation,
            "runtime": f"benchmark_model ({found.generation}, {found.digest})",
            "boundary": feeding.text(of),
            "samples": str(len(samples)),
            "boot": settings.boot(phone),
            "notes": msgspec.json.encode(notes).decode(),
        },
    )


def _check_room(phone: Phone, size: int) -> None:
    """See that a phone has room, if it tells."""
    row = phone.shell(f"df -k {places.FOLDER} | tail -n 1").stdout.split()
    free = next((row[i - 1] for i, word in enumerate(row) if word.endswith("%")), "")
    if free.isdecimal() and int(free) * 1024 < size + SPARE:
        words = f"{int(free) // 1024} MiB are free, {(size + SPARE) >> 20} are needed"
        raise bridge.no_room(phone.id, f"{places.FOLDER} ({words})")


def _clock(phone: Phone) -> tuple[float, float]:
    """What to add to the phone's clock to come to this host's monotonic one, and how well that is known."""
    tries = []
    for _ in range(CLOCK_TRIES):
        begin = time.monotonic()
        said = phone.shell("read up x < /proc/uptime; echo $up").stdout
        end = time.monotonic()
        with suppress(ValueError):
            there = float(said) + sensing.CLOCK_STEP_S / 2
            tries.append(((end - begin + sensing.CLOCK_STEP_S) / 2, (begin + end) / 2 - there))
    if not tries:
        raise DeviceError(
            "The phone does not tell its clock.", place=phone.id, fix="look at: adb shell cat /proc/uptime"
        )
    error_s, offset_s = min(tries)
    return offset_s, error_s
