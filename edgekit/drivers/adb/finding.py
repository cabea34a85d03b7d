"""What a phone is and what is wrong with it, in plain words with the fix."""

import re

from edgekit.drivers.adb import bridge, conditions
from edgekit.drivers.adb.places import FOLDER
from edgekit.nouns.profile import Device, DeviceConfig, State

PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.soc.manufacturer",
    "ro.soc.model",
    "ro.board.platform",
    "ro.product.cpu.abi",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.build.display.id",
    "ro.boot.qemu",
    "ro.kernel.qemu",
)

TOOLS = (f"{FOLDER}/benchmark_model", "benchmark_model")
"""Where benchmark_model is looked for on a phone, in this order: the folder, then the path."""

LOOK = "; ".join(
    [f'echo "{name}=$(getprop {name})"' for name in PROPERTIES]
    + ['echo "cores=$(ls -d /sys/devices/system/cpu/cpu[0-9]* 2>/dev/null | wc -l)"']
    + [f'p=$(command -v {tool} 2>/dev/null) && echo "tool=$p"' for tool in reversed(TOOLS)]
    + [f"echo '{conditions.MARK}'", conditions.LINE]
)
"""The shell line whose output `described` reads."""

WIFI = re.compile(r".+:\d+|adb-.+\._adb-tls-connect\._tcp\.?")
"""Serials of phones that are reached over the network."""


def absent(name: str, state: str, config: DeviceConfig | None = None) -> Device:
    """A phone that adb names but that cannot be used as it is."""
    problem, fix = bridge.trouble(state)
    title = f"Android device ({'no permissions' if state == 'no' else state})"
    return Device(id=name, kind="adb", title=title, usable=False, problems=(f"{problem} fix: {fix}",), config=config)


def described(name: str, said: str, config: DeviceConfig | None = None) -> Device:
    """A phone by the output of `LOOK`."""
    head, _, tail = said.partition(conditions.MARK)
    fields = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    state = conditions.state(tail.removeprefix("\n"))
    soc = " ".join(filter(None, (fields.get("ro.soc.manufacturer"), fields.get("ro.soc.model"))))
    chip = soc or fields.get("ro.board.platform") or None
    model = " ".join(filter(None, (fields.get("ro.product.manufacturer"), fields.get("ro.product.model"))))
    emulator = "1" in (fields.get("ro.boot.qemu"), fields.get("ro.kernel.qemu"))
    cores = fields.get("cores", "")
    return Device(
        id=name,
        kind="adb",
        title=model or "Android device",
        os=_system(fields),
        cpu=chip,
        abi=fields.get("ro.product.cpu.abi") or None,
        cores=int(cores) or None if cores.isdecimal() and len(cores) < 5 else None,
        runs=(".tflite",),
        runtimes={"benchmark_model": fields["tool"]} if fields.get("tool") else {},
        delegates=("xnnpack", "gpu", "nnapi", "none"),
        times=not emulator,
        problems=tuple(_problems(name, fields, state, conditions.battery(tail), emulator=emulator, config=config)),
        state=state,
        config=config,
    )


def _system(fields: dict[str, str]) -> str | None:
    release, api = fields.get("ro.build.version.release"), fields.get("ro.build.version.sdk")
    if not release:
        return None
    build = fields.get("ro.build.display.id")
    return f"Android {release}{f' (API {api})' if api else ''}{f', {build}' if build else ''}"


def api_level(device: Device) -> int:
    """The API level in a device's ``os``; 0 if it is unknown."""
    found = re.search(r"\(API (\d+)\)", device.os or "")
    return int(found[1]) if found else 0


def _problems(
    name: str,
    fields: dict[str, str],
    state: State,
    battery: conditions.BatteryReading,
    *,
    emulator: bool,
    config: DeviceConfig | None,
) -> list[str]:
    found = []
    if emulator:
        found.append("It is an emulator: its times mean nothing. fix: measure on a phone")
    found += [
        f"It is too warm: {reason}; such blocks are not counted. fix: let it cool down, out of its case"
        for reason in state.throttled or ()
    ]
    if battery.stopped:
        found.append(
            "Its battery shows what it was told to (updates stopped), not what is. fix: adb shell dumpsys battery reset"
        )
    if state.charging:
        found.append(_charging(wifi=config is not None or WIFI.fullmatch(name) is not None))
    if not fields.get("tool"):
        found.append(
            "benchmark_model is not on it. fix: --benchmark-binary PATH, --benchmark-binary download, or "
            f"adb push PATH {FOLDER}/benchmark_model"
        )
    return found


def _charging(*, wifi: bool) -> str:
    """Why a phone on a charger has no battery energy, and how it gets it."""
    if wifi:
        return "It is charging: its battery tells no energy. fix: unplug the charger"
    return (
        "It is charging over USB: its battery tells no energy, though its power rails may. "
        "fix: reach it over Wi-Fi (adb tcpip 5555; adb connect ADDRESS:5555) and unplug it"
    )
