"""A folder with what an aarch64 board has: Debian's Python 3.11, numpy and LiteRT, unpacked and not installed.

Needs no root rights, because nothing of it is ever run but its Python, under qemu. If the packages
come from is this machine's own business: its apt sources name the Debian mirror (without one,
debootstrap knows its own), its pip configuration names the package index.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.errors import DeviceError, MissingTool
from edgekit.nouns import leaves
from edgekit.nouns.base import Noun, decoded

SUITE, PYTHON = "bookworm", "3.11"
"""The Debian release that is unpacked, and the Python that it brings."""

WHEELS = ("ai-edge-litert==2.1.2", "numpy==1.26.4")
"""The real LiteRT, of the version that edgekit itself uses, for that Python."""

PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))
"""What the release's C library (2.36) can load, by the names of wheels (PEP 600)."""

UNREAD = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "usr/lib/aarch64-linux-gnu/perl-base")
"""Parts of the packages that Python never opens."""

READY = "ready.json"
"""The file that makes a folder complete."""

SBIN = "/usr/sbin"
"""Where debootstrap is; not on every user's PATH, because it can do more than download as root."""

LIMIT_S = 1800
"""The longest that one step may take: on a slow line the packages take minutes."""


class Root(Noun, frozen=True, kw_only=True):
    """What a folder holds: the content of `READY`."""

    suite: str
    python: str
    wheels: tuple[str, ...]
    packages: dict[str, str]


class Tools(Noun, frozen=True, kw_only=True):
    """The programs of this machine that build a root."""

    debootstrap: str
    dpkg: str
    installer: tuple[str, ...]


def emulator() -> str | None:
    """The program that emulates aarch64 processes, under either of its names; None if it is not installed."""
    return next(filter(None, map(shutil.which, leaves.driver("emulated").programs)), None)


def read(root: Path) -> Root | None:
    """What a folder holds; None if it is not complete or was made by another recipe."""
    try:
        made = decoded((root / READY).read_bytes(), Root)
    except (OSError, msgspec.MsgspecError):
        return None
    return made if (made.suite, made.python, made.wheels) == (SUITE, PYTHON, WHEELS) else None


def tools() -> Tools:
    """Find the programs.

    Raises:
        MissingTool: one is not installed; the command that installs all is given.
    """
    sbin = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
    debootstrap, dpkg, installer = shutil.which("debootstrap", path=sbin), shutil.which("dpkg"), _installer()
    found = {"qemu-user-static": emulator(), "debootstrap": debootstrap, "dpkg": dpkg, "python3-pip": installer}
    missing = [package for package, program in found.items() if not program]
    if missing or debootstrap is None or dpkg is None:
        raise MissingTool(
            f"The arm64 emulator needs {', '.join(missing)}, which this machine does not have.",
            place="this machine",
            fix=f"sudo apt-get install {' '.join(missing)}",
        )
    return Tools(debootstrap=debootstrap, dpkg=dpkg, installer=installer)


def _installer() -> tuple[str, ...]:
    """A pip, this environment's own first; empty without."""
    if util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    pip = shutil.which("pip") or shutil.which("pip3")
    return (pip,) if pip else ()


def mirror(sources: Path = Path("/etc/apt")) -> str | None:
    """The address from which this machine's own apt takes the release; None if it takes another one.

    Reads both forms of sources (sources.list(5)).
    """
    for file in sorted([*sources.glob("sources.list"), *sources.glob("sources.list.d/*")]):
        text = re.sub(r"^\s*#.*\n?", "", file.read_text(encoding="utf8", errors="replace"), flags=re.MULTILINE)
        for address, suites in _entries(file, text):
            if SUITE in suites:
                return address
    return None


def _entries(file: Path, text: str) -> list[tuple[str, list[str]]]:
    """Addresses and their suites."""
    if file.suffix != ".sources":
        lines = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, flags=re.MULTILINE)
        return [(address, [suite]) for address, suite in lines]
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = {key.lower(): value.split() for key, value in re.findall(r"^([\w-]+):\s*(.*)$", stanza, re.MULTILINE)}
        found += [(address, fields.get("suites", [])) for address in fields.get("uris", [])]
    return [(address, suites) for address, suites in found if "://" in address]


def build(root: Path) -> Root:
    """Make the folder, unless it is there. Appears whole or not at all; an interrupted one is gone on with.

    Args:
        root: the folder to make; its neighbours ``NAME.edgekit-HOST-PID-0`` are work in progress.

    Raises:
        MissingTool: a program is not installed.
        DeviceError: packages cannot be fetched or unpacked.
    """
    if (made := read(root)) is not None:
        return made
    needed = tools()
    work = _work(root)
    packages = _unpack_debian(needed, work)
    _say("unpacking LiteRT for aarch64")
    _step(*_wheels(needed, work / "wheels"))
    made = Root(suite=SUITE, python=PYTHON, wheels=WHEELS, packages=packages)
    (work / READY).write_bytes(msgspec.json.encode(made))
    if root.exists():  # of another recipe, or of a run beside this one
        shutil.rmtree(root)
    work.rename(root)
    return made


def _work(root: Path) -> Path:
    """A folder to build in, taken over from a dead run if there is one."""
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{root.name}."
    work = root.with_name(prefix + runner.place_name(0))
    for left in root.parent.glob(prefix + "*"):
        if runner.abandoned(left.name.removeprefix(prefix)):
            with contextlib.suppress(OSError):  # another run took it
                left.rename(work)
    work.mkdir(exist_ok=True)
    return work


def _unpack_debian(needed: Tools, work: Path) -> dict[str, str]:
    """Fetch and unpack the release's smallest set with Python; version by package."""
    _say(f"fetching Debian {SUITE} for arm64 (about 50 MB)")
    fetched = work / "fetched"
    source = mirror()
    _step(
        *(needed.debootstrap, "--arch=arm64", "--download-only", "--variant=minbase", "--include=python3"),
        *(SUITE, str(fetched), *((source,) if source else ())),
    )
    packages = {}
    for package in sorted((fetched / "var/cache/apt/archives").glob("*.deb")):
        _step(needed.dpkg, "-x", str(package), str(work))
        name, version, _ = package.name.split("_", 2)
        packages[name] = version.replace("%3a", ":")
    shutil.rmtree(fetched)
    for part in UNREAD:
        shutil.rmtree(work / part, ignore_errors=True)
    return packages


def _wheels(needed: Tools, into: Path) -> tuple[str, ...]:
    """The command that unpacks the wheels for another machine's Python."""
    shutil.rmtree(into, ignore_errors=True)
    return (
        *(*needed.installer, "install", "--quiet", "--target", str(into), "--no-deps", "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", PYTHON, "--abi", "cp" + PYTHON.replace(".", "")),
        *(part for name in PLATFORMS for part in ("--platform", name)),
        *WHEELS,
    )


def _step(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{Path(command[0]).name} was not done after {LIMIT_S} s.", place="arm64 emulator", fix="try it again"
        ) from error
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines()
        said = next((line for line in reversed(words) if line.startswith(("E:", "ERROR"))), (words or ["nothing"])[-1])
        raise DeviceError(
            f"{Path(command[0]).name} failed with code {done.returncode}: {said[:300]}",
            place="arm64 emulator",
            fix="check the network, apt's sources and pip's configuration, then try it again",
        )


def _say(text: str) -> None:
    sys.stderr.write(f"arm64 emulator: {text}\n")
    sys.stderr.flush()
