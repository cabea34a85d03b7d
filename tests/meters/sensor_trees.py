"""Fake sysfs trees, shells to look at them with, and samples as a device writes them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from edgekit import runner
from edgekit.nouns.profile import Block, Deployment, Device, Output, Run
from edgekit.nouns.sensing import Availability, Probe

OUTPUTS = Path(__file__).parent / "outputs"

LOCAL = Device(id="local", kind="local", title="this host")
PHONE = Device(id="PHONE", kind="adb", title="a phone", cores=2)
BOARD = Device(id="board", kind="ssh", title="a board")
MICRO = Device(id="mcu", kind="serial", title="a microcontroller", times=True)
EMULATED = Device(id="arm64-emulated", kind="emulated", title="an emulator", times=False)
DEVICES = (LOCAL, PHONE, BOARD, MICRO, EMULATED)


def recorded(name: str) -> str:
    return (OUTPUTS / name).read_text(encoding="utf8")


def tree(root: Path, files: dict[str, str | int]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def rapl(root: Path, energy_uj: int = 1_000_000, limit: int = 262_143_328_850) -> Path:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:0:2": "dram",
        "intel-rapl:1": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    files: dict[str, str | int] = {}
    for zone, name in zones.items():
        here = f"sys/class/powercap/{zone}"
        files |= {f"{here}/name": name, f"{here}/energy_uj": energy_uj, f"{here}/max_energy_range_uj": limit}
    files["sys/class/powercap/intel-rapl/enabled"] = 1
    return tree(root, files)


def jetson(root: Path, rails: dict[str, tuple[int, int]]) -> Path:
    here = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    files: dict[str, str | int] = {f"{here}/update_interval": 20}
    for i, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        files |= {
            f"{here}/in{i}_label": label,
            f"{here}/in{i}_input": millivolts,
            f"{here}/curr{i}_input": milliamperes,
            f"{here}/shunt{i}_resistor": 5000,
        }
    return tree(root, files)


def phone(root: Path, current: int = -250_000, voltage: int = 3_987_000, status: str = "Discharging") -> Path:
    here = "sys/class/power_supply/battery"
    files = {"type": "Battery", "current_now": current, "voltage_now": voltage, "status": status}
    tree(root, {"sys/class/power_supply/usb/type": "USB"})
    return tree(root, {f"{here}/{name}": value for name, value in files.items()})


def shells(toybox_bin: Path) -> dict[str, tuple[list[str], str]]:
    """Shells that boards and phones have, those installed here: name → command and PATH."""
    path = os.environ["PATH"]
    found = {"sh": (["sh"], path)}
    if busybox := shutil.which("busybox"):
        found["busybox"] = ([busybox, "sh"], path)
    mksh, toybox = shutil.which("mksh"), shutil.which("toybox")
    if mksh and toybox:  # what Android has
        toybox_bin.mkdir(exist_ok=True)
        for applet in ("cat", "sleep", "timeout"):
            if not (toybox_bin / applet).exists():
                (toybox_bin / applet).symlink_to(toybox)
        (toybox_bin / "sh").unlink(missing_ok=True)
        (toybox_bin / "sh").symlink_to(mksh)
        found["mksh"] = ([mksh], str(toybox_bin))
    return found


def execute(
    lines: Iterable[str], root: Path, *, shell: tuple[list[str], str] | None = None, path: str | None = None
) -> tuple[Output, ...]:
    """What a device's shell says to each line, with its sensors below a root."""
    command, own_path = shell or (["sh"], os.environ["PATH"])
    said = []
    for line in lines:
        done = subprocess.run(
            [*command, "-c", line],
            env={"PATH": path or own_path, "EDGEKIT_SENSORS": str(root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        said.append(Output(code=done.returncode, stdout=done.stdout, stderr=done.stderr))
    return tuple(said)


def run_block(
    folder: Path, root: Path, run: Run, deployment: Deployment | None = None, path: str | None = None
) -> tuple[Block, Path]:
    """One block in a process of its own, as every driver runs it: what it told, and the file of its samples."""
    folder.mkdir()
    packed = folder.parent / runner.PROGRAM
    packed.write_bytes(runner.program())
    deployment = deployment or Deployment(place=str(folder), model="", inputs="")
    (folder / runner.ORDER).write_bytes(runner.order(deployment, run, str(folder)))
    environment = os.environ | {"EDGEKIT_SENSORS": str(root), "PATH": path or os.environ["PATH"]}
    command = [sys.executable, str(packed), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    answer = folder / runner.ANSWER
    words = answer.read_bytes() if answer.exists() else b""
    told = runner.block(words, code=done.returncode, place="here", last_words=done.stderr)
    assert told.sensed is not None
    return told, folder / told.sensed


def program(folder: Path, name: str, script: str) -> str:
    """A command of a board, as a shell script; the PATH that finds it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def sensed(path: Path, rows: Iterable[tuple[float, str, str | None]]) -> Path:
    """Samples as a device writes them: time, source, text (None where reading failed)."""
    lines = [
        json.dumps({"t_s": t, "source": source, "took_s": 1e-4, "text": text, "error": "" if text else "No such file"})
        for t, source, text in rows
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf8")
    return path


def probe_of(availability: Availability) -> Probe:
    assert availability.probe is not None, (availability.reason, availability.fix)
    return availability.probe


def said(text: str, code: int = 0) -> tuple[Output, ...]:
    return (Output(code=code, stdout=text),)
