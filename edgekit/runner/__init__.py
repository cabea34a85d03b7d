"""Running blocks with the runner, a single file that works wherever Python and a runtime are.

`edgekit.runner.board` packed by `program` is that file. It is copied to the device and knows nothing
of edgekit. This module is its other side: it writes the order that the file reads, and reads the
answer. Drivers only differ in how they copy files and start a process; those of what lives on this
host share that too (`edgekit.runner.here`).
"""

import io
import json
import os
import platform
import re
import signal
import sys
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from edgekit.errors import REMEDIES, DeviceError, MissingTool, Unsupported
from edgekit.nouns.base import decoded
from edgekit.nouns.profile import Block, Deployment, Device, Run, State
from edgekit.runner.board import machine

PLACE = "edgekit-"
"""How the name of every folder begins that edgekit makes on a device: ``edgekit-HOST-PID-N``."""

OWNER = "owner"
"""The file of a place that holds when its maker started (`owner`)."""

PROGRAM = "edgekit_runner.pyz"
"""What the file to copy is called."""

ORDER, ANSWER = "order.json", "answer.json"
"""What the runner reads from and writes into its folder."""

FETCHED = ("latencies.npy", "outputs.npz", "sensed.jsonl")
"""Files that an answer may come with."""


@cache
def program() -> bytes:
    """The file to copy: a zip that Python runs, the same bytes for the same code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        start = "from edgekit_runner.__main__ import main\n\nmain()\n"
        file.writestr(zipfile.ZipInfo("__main__.py"), start)
        for source in sorted((Path(__file__).parent / "board").glob("*.py")):
            file.writestr(zipfile.ZipInfo(f"edgekit_runner/{source.name}"), source.read_bytes())
    return packed.getvalue()


class MachineSeen(msgspec.Struct, frozen=True):
    """What the runner says of the machine it is on (``look``)."""

    python: str
    os: str
    cpu: str | None
    abi: str
    cores: int
    runtimes: dict[str, str]
    problems: tuple[str, ...]
    state: State


LOADING_S = 300.0
"""The longest that a device may take to start Python, load a file and run it for the first time."""

OUTPUTS_S = 1800.0
"""The longest that a device may take to run all samples in mode ``outputs``."""


def limit_s(run: Run) -> float:
    """After how many seconds a block of this order is given up. Its loops end by themselves much earlier."""
    warm_up_s = max(10 * run.warm_up_s, 60.0) + 5 * run.warm_up_s
    busy_s = {"idle": run.idle_s, "outputs": OUTPUTS_S}.get(run.mode, warm_up_s + run.max_s)
    return LOADING_S + busy_s


def companions(artifact: Path) -> dict[str, Path]:
    """Every file that loading an artifact needs, itself first, by its name relative to the artifact's folder.

    An ``.xml`` has its weights in the ``.bin`` of the same name. An ``.onnx`` may keep tensors in other
    files: each is a ``StringStringEntryProto`` with the key ``location`` (onnx.proto,
    ``TensorProto.external_data``). What does not exist is left out: the runtime complains of it best.
    """
    names = [artifact.name]
    if artifact.suffix == ".xml":
        names.append(artifact.with_suffix(".bin").name)
    elif artifact.suffix == ".onnx":
        names += _external(artifact.read_bytes())
    folder = artifact.parent.resolve()
    found = {name: (folder / name).resolve() for name in dict.fromkeys(names)}
    return {
        name: path
        for name, path in found.items()
        if name == artifact.name or (path.is_file() and (folder / name).is_relative_to(folder) and ".." not in name)
    }


def _external(content: bytes) -> list[str]:
    """Names in ``location`` entries: key (field 1) and value (field 2), strings with a varint length before."""
    names = []
    for entry in re.finditer(rb"\x0a\x08location\x12([\x80-\xff]?[\x00-\x7f])", content):
        low, *high = entry[1]
        length = (low & 0x7F) | (high[0] << 7 if high else 0)
        with suppress(UnicodeDecodeError):
            names.append(content[entry.end() : entry.end() + length].decode("utf8"))
    return names


def place_name(number: int) -> str:
    """The name of a place of this process: ``edgekit-HOST-PID-N``."""
    return f"edgekit-{_host()}-{os.getpid()}-{number}"


_FIRST_PIDS = "pid:[4026531836]"
"""The namespace in which a Linux system itself runs (PROC_PID_INIT_INO in linux/proc_ns.h)."""


def _host() -> str:
    """This host, and in a container which: its processes have numbers of their own."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", platform.node())
    with suppress(OSError):
        numbers = str(Path("/proc/self/ns/pid").readlink())
        if numbers != _FIRST_PIDS:
            return f"{name}_{re.sub('[^0-9]+', '', numbers)}"
    return name


def maker(place: str) -> int | None:
    """The number of the process of this host that a place is named after; None for what is not this host's."""
    named = re.fullmatch(re.escape(PLACE) + r"(.*)-(\d+)-\d+", place)
    if named is None or re.sub(r"[^A-Za-z0-9]+", "_", named[1]) != _host():
        return None
    return int(named[2])


def born(pid: int) -> str | None:
    """When a process of this host started, in its own ticks; empty if the system does not tell, None: it is gone."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # it lives and belongs to somebody else
        pass
    with suppress(OSError, IndexError):  # proc(5): starttime is field 22, 20 of those after the name
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf8").rpartition(")")[2].split()[19]
    return ""


def owner(place: str) -> str:
    """What a new place's file `OWNER` holds: when the process in its name started, empty if that is not known."""
    pid = maker(place)
    return (born(pid) or "") if pid is not None else ""


def abandoned(place: str, written: str = "") -> bool:
    """Whether a folder's name is that of a place which a dead process of this host left.

    Args:
        place: the name.
        written: the content of its file `OWNER`, which tells a process from a later one that got its number.
    """
    pid = maker(place)
    if pid is None:
        return False
    now = born(pid)
    return now is None or bool(now and written and now != written)


def runs(runtimes: Iterable[str]) -> tuple[str, ...]:
    """Suffixes of the files that any of these runtimes (distributions) runs."""
    return tuple(suffix for suffix, choices in machine.RUNTIMES.items() if not choices.keys().isdisjoint(runtimes))


def missing(suffix: str, place: str, python: str = sys.executable) -> MissingTool:
    """The complaint that no runtime there runs files of a suffix."""
    names = list(machine.RUNTIMES.get(suffix, ()))
    return MissingTool(
        f"There is no runtime for {suffix} files there ({', '.join(names)}).",
        place=place,
        fix=f"{python} -m pip install {names[0] if names else 'ai-edge-litert'}",
    )


def order(deployment: Deployment, run: Run, out: str) -> bytes:
    """The order for one block: JSON for ``order.json``; ``out`` is the folder on the device for results."""
    plain = msgspec.to_builtins(run) | {
        "model": deployment.model,
        "inputs": deployment.inputs,
        "library": deployment.library,
        "out": out,
    }
    return msgspec.json.encode(plain)


def block(answer: bytes, *, code: int, place: str, last_words: str = "") -> Block:
    """Read an answer.

    Args:
        answer: content of ``answer.json``, empty if there is none.
        code: exit code of the runner's process; negative for a signal, as 128 above it in a shell.
        place: the device and file, for complaints.
        last_words: what the process printed.

    Raises:
        EdgekitError: the one that the runner reports.
        Unsupported: the process died, as it does if a file makes a native library abort.
    """
    try:
        plain: dict[str, Any] = json.loads(answer)
    except ValueError:
        words = (last_words.strip().splitlines() or ["it printed nothing"])[-1][:300]
        name = _signal(code)
        killed = name == "SIGKILL"
        raise Unsupported(
            f"The process that ran the file ended {'by ' + name if name else f'with code {code}'}: {words}",
            place=place,
            fix="it was killed, most often for want of memory: free some there, or run a smaller file"
            if killed
            else "run it again; if it dies again, the file makes that runtime abort: try another precision or delegate",
        ) from None
    if "error" in plain:
        error = plain["error"]
        kind = REMEDIES.get(error["remedy"], DeviceError)
        raise kind(error["problem"], place=error["place"] or place, fix=error["fix"])
    return msgspec.convert(plain, Block)


def _signal(code: int) -> str:
    """The signal of an exit code; empty if it is none."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number).name if number in set(signal.Signals) else ""


def seen(answer: bytes, place: str) -> MachineSeen:
    """Read what ``look`` printed.

    Raises:
        DeviceError: it printed something else.
    """
    try:
        return decoded(answer, MachineSeen)
    except msgspec.MsgspecError as error:
        raise DeviceError(
            f"The runner does not answer as it should: {error}.",
            place=place,
            fix="check Python there: python3 --version",
        ) from error


STEADY = "a supply and a cable that are strong enough, and better cooling"
"""What keeps a board from holding its clock down."""


def throttling(state: State) -> tuple[str, ...]:
    """What is wrong with a board that holds its clock down, or has."""
    now = state.throttled or ()
    earlier = [reason for reason in state.has_throttled or () if reason not in now]
    found = []
    if now:
        found.append(f"It holds its clock down ({', '.join(now)}); such blocks are not counted. fix: {STEADY}")
    if earlier:
        found.append(
            f"It has held its clock down since it started ({', '.join(earlier)}), and will not tell of it anew. "
            f"fix: {STEADY}; then restart it"
        )
    return tuple(found)


def described(device: Device, found: MachineSeen) -> Device:
    """A device with what the runner saw there; where times mean nothing, throttling is no problem."""
    return msgspec.structs.replace(
        device,
        os=found.os,
        cpu=found.cpu,
        abi=found.abi,
        cores=found.cores,
        runtimes=found.runtimes,
        runs=runs(found.runtimes),
        problems=device.problems + found.problems + (throttling(found.state) if device.times else ()),
        state=found.state,
    )
