"""What a process that opens strangers' files gives up before it opens one: sockets, writing elsewhere, endless memory.

Three walls, each of which needs no privileges and is left out if the system has none:

    seccomp   no sockets of any kind (x86-64 and arm64; TCP alone by Landlock elsewhere)
    Landlock  writing in the process's own folder only, no signals to others (Linux 5.13; all of it in 6.12)
    rlimits   a bound on memory and on the size of a file, no core dumps

They hold for every thread and child that is started later, and cannot be taken down again. Sources: Linux'
``Documentation/userspace-api/landlock.rst`` and ``seccomp_filter.rst``, ``include/uapi/linux/landlock.h``.
"""

import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEMORY_SHARE = 0.8
"""The share of the machine's memory that one process may have: the system and its cache need the rest."""

LEAST_MEMORY = 1 << 30
"""Bytes below which no library loads: TensorFlow alone needs half of it (see `_bounded`)."""

WALLS = ("offline", "writes only in its own folder", "at most N GiB of memory")
"""What a process gives up if a system has all walls, in the words of `enter`."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2

_WRITE_FILE, _REMOVE_DIR, _TRUNCATE, _IOCTL_DEVICE = 1 << 1, 1 << 4, 1 << 14, 1 << 15
_DEVICES = 1 << 6 | 1 << 11  # making character and block devices
_WRITES = ((1, 0x1FF2), (2, 1 << 13), (3, _TRUNCATE), (5, _IOCTL_DEVICE))
"""Version of Landlock → the rights to write that it knows: files and folders, links across, truncation, ioctl."""
_TCP, _SCOPES = 0b11, 0b11
"""Binding and connecting TCP (version 4); abstract Unix sockets and signals (version 6)."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def machine_memory() -> int:
    """Bytes of memory that this machine has, or this process's control group if that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**40
    return min([whole, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """The limits of this process's control group and of those around it (versions 2 and 1)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    top = Path("/sys/fs/cgroup")
    for line in lines:
        _, kinds, place = line.split(":", 2)
        root, name = (top, "memory.max") if not kinds else (top / "memory", "memory.limit_in_bytes")
        if kinds and "memory" not in kinds.split(","):
            continue
        for folder in [inner := root / place.lstrip("/"), *inner.parents]:
            if folder.is_relative_to(root):
                try:
                    limit = (folder / name).read_text().strip()
                except OSError:
                    continue
                if limit.isdecimal():
                    yield int(limit)


def default_memory() -> int:
    """Bytes of memory that a process gets unless the user says otherwise, at most ``ulimit -v``."""
    share = int(machine_memory() * MEMORY_SHARE)
    limit = shell_limit()
    return share if limit is None else min(share, limit)


def shell_limit() -> int | None:
    """Bytes of address space that whoever started edgekit left to it (``ulimit -v``); None if there is no limit."""
    if resource is None or sys.platform != "linux":
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def memory_limit() -> int | None:
    """Bytes that this process itself may have; None if nothing is in force."""
    if resource is None or sys.platform != "linux":
        return None
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def enter(own: Path, memory: int, also: Path | None = None) -> tuple[str, ...]:
    """Put up what walls this system has, for the rest of this process's life.

    Call it before the first thread starts and before anything is read.

    Args:
        own: the folder where this process may write.
        memory: the most bytes of memory; and of a file.
        also: another such folder.

    Returns:
        What is in force now, each in a few words.
    """
    walls = []
    if _bounded(memory):
        walls.append(WALLS[2].replace("N", f"{memory / 2**30:.1f}"))
    if _libc is None:
        return tuple(walls)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = max(0, _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if version and _landlocked(version, own, also):
        walls.insert(0, WALLS[1])
    if _without_sockets():
        walls.insert(0, WALLS[0])
    elif version >= 4 and walls:
        walls.insert(0, "without TCP")
    return tuple(walls)


def _bounded(memory: int) -> bool:
    """Bound what this process may allocate.

    Private memory that can be written to (RLIMIT_DATA), not address space: TensorFlow maps 1.5 GiB of it and uses
    half (measured: VmPeak 2,323, VmData 476, resident 790 MiB after a conversion).
    """
    if resource is None:
        return False
    bounds = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, memory), (resource.RLIMIT_DATA, memory)]
    for kind, most in bounds:
        soft, hard = resource.getrlimit(kind)
        least = min(value for value in (most, soft, hard) if value != resource.RLIM_INFINITY)
        try:
            resource.setrlimit(kind, (least, least))
        except (OSError, ValueError):
            return False
    return sys.platform == "linux"


def _landlocked(version: int, own: Path, also: Path | None) -> bool:
    """Forbid to write anywhere but below ``own`` and ``also``, and to the null device."""
    libc = _library()
    known = sum(rights for since, rights in _WRITES if version >= since)
    ruleset = _Ruleset(known, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    handle = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), ctypes.c_uint32(0))
    if handle < 0:
        return False
    rules = [
        *((folder, known & ~_DEVICES) for folder in (own, also) if folder is not None),
        (own.parent, _REMOVE_DIR),  # its own folder, once it is empty
        (Path(os.devnull), known & (_WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE)),
    ]
    try:
        for path, rights in rules:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = _PathBeneath(rights, opened)
            libc.syscall(_ADD_RULE, handle, ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0))
            os.close(opened)
        return bool(libc.syscall(_RESTRICT_SELF, handle, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(handle)


_ARCHITECTURES: dict[str, tuple[int, dict[int, tuple[int, ...]]]] = {
    "x86_64": (0xC000003E, {1: (41, 425), 0: (90, 91, 268, 452, 92, 93, 94, 260)}),
    "aarch64": (0xC00000B7, {1: (198, 425), 0: (52, 53, 452, 54, 55)}),
}
"""Machine → its number in the kernel, and error numbers → calls that end in them.

EPERM (1) is for ``socket`` and for ``io_uring_setup``, which can make sockets. Changes of mode and owner
(``chmod``, ``fchmod``, ``fchmodat``, ``fchmodat2``, ``chown`` and its kin), which Landlock does not know, do
nothing and say nothing (0): `shutil.copy` makes one.
"""


def _without_sockets() -> bool:
    """Make ``socket`` fail; pairs of sockets between a process and its children remain.

    A network namespace would be the other way, but it needs user namespaces, which containers and
    Ubuntu 24.04 refuse, and it leaves Unix sockets such as a container engine's open.
    """
    if platform.machine() not in _ARCHITECTURES:
        return False
    architecture, refused = _ARCHITECTURES[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF: LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET|K
    allow, fail = 0x7FFF0000, 0x00050000
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, fail | 1),  # a program of another architecture gets nothing
        (load, 0, 0, 0),
        (at_least, 0, 1, 0x40000000),
        (give, 0, 0, fail | 1),  # x32 has other numbers for the same calls
    ]
    for error, numbers in refused.items():
        program += [line for number in numbers for line in ((equal, 0, 1, number), (give, 0, 0, fail | error))]
    program.append((give, 0, 0, allow))
    instructions = (_Instruction * len(program))(*[_Instruction(*line) for line in program])
    filter_ = _Program(len(program), instructions)
    return bool(_library().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0) == 0)


def _library() -> ctypes.CDLL:
    if _libc is None:
        raise OSError("this system is not Linux")
    return _libc


def in_force() -> tuple[str, ...]:
    """What `enter` achieves on this machine, tried in a child process."""
    done = subprocess.run([sys.executable, "-m", "edgekit.host.sandbox"], capture_output=True, check=False, timeout=60)
    try:
        return tuple(json.loads(done.stdout))
    except ValueError:  # it did not get that far
        return ()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        print(json.dumps(enter(Path(folder), default_memory())))  # noqa: T201 - the answer to `in_force`
