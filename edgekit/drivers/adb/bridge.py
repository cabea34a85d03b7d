"""The way to a phone: adbutils for the server, the list and the shell, and files over the sync protocol.

Whatever goes wrong on the way becomes a `DeviceError` that says what to do at the bench. adbutils'
own push waits without a limit and drops the reason of a refusal, so files are sent here. Source of
the sync protocol: ``SYNC.TXT`` of AOSP's packages/modules/adb.
"""

import contextlib
import struct
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import adbutils
from adbutils import AdbConnection, AdbError

from edgekit.errors import DeviceError
from edgekit.nouns.profile import Device, DeviceConfig, Output

SHELL_LIMIT_S = 60.0
"""How long a shell line may be silent, unless its caller knows better."""

TRANSFER_LIMIT_S = 30.0
"""How long one packet of a file may take."""

CHUNK = 64 * 1024
"""The most bytes that one packet of a file holds (``SYNC_DATA_MAX``)."""

WIFI_PORT = 5555
"""The port of ``adb tcpip`` if a configured phone names none."""

UNPORTED = 22
"""What a device's ``port`` holds when it was not set: it is the default for boards."""

STATES = {
    "unauthorized": (
        "It has not allowed this computer to debug it.",
        "unlock it and accept 'Allow USB debugging?'; if it does not ask, run: adb kill-server, and plug it in again",
    ),
    "authorizing": ("It is still asking whether this computer may debug it.", "unlock it and accept the question"),
    "offline": (
        "adb knows it but gets no answer (offline).",
        "plug it in again, or run: adb reconnect offline",
    ),
    "connecting": ("adb is still connecting to it.", "wait a moment; if it stays so, run: adb kill-server"),
    "no": (
        "This user may not open the USB device (no permissions).",
        "sudo apt install android-sdk-platform-tools-common, log in again, then run: adb kill-server",
    ),
    "absent": ("adb does not see it.", "plug it in, switch USB debugging on, and look at: adb devices -l"),
    "host": ("It is in the host state of adb, not in Android.", "plug it in again"),
}
"""State in ``adb devices`` → what is wrong and the fix. ``no`` is how adbutils reads ``no permissions``."""

FAILURES = (AdbError, OSError, EOFError, struct.error)
"""What adbutils and the socket below it raise when the way breaks."""


class Client(adbutils.AdbClient):  # type: ignore[misc]  # it has no types
    """adb's server; adbutils (2.12) leaves a connection open if it is refused what it asked for."""

    def make_connection(self, timeout: float | None = None) -> AdbConnection:
        """A connection that is closed with the last reference to it."""
        made = super().make_connection(timeout)
        weakref.finalize(made, made.conn.close)
        return made


def trouble(state: str) -> tuple[str, str]:
    """What a state other than ``device`` means, and the fix."""
    if state in STATES:
        return STATES[state]
    return f"It is in {state}, not in Android.", "start Android on it: adb reboot"


def serial(device: Device) -> str:
    """What adb calls a device: its id, or the address of a configured one."""
    return address(device.config) or device.id


def address(config: DeviceConfig | None) -> str:
    """``host:port`` of a configured phone; empty for one that hangs at a cable."""
    if config is None or not config.host:
        return ""
    return f"{config.host}:{WIFI_PORT if config.port == UNPORTED else config.port}"


def attached() -> dict[str, tuple[str, dict[str, str]]]:
    """Every serial that adb knows → its state and tags (``model``, ``usb`` and so on). Starts adb's server.

    Raises:
        DeviceError: the server cannot be started or does not answer.
    """
    try:
        return {info.serial: (info.state, info.tags) for info in Client(socket_timeout=10.0).list(extended=True)}
    except FAILURES as error:
        raise DeviceError(
            f"adb does not answer: {error}.", place="adb", fix="run: adb kill-server, then: adb devices -l"
        ) from error


def connect(where: str) -> str:
    """Ask adb to connect to a phone in the network; what adb said, empty if it did not answer in time."""
    with contextlib.suppress(*FAILURES):
        return str(Client(socket_timeout=10.0).connect(where, timeout=10.0))
    return ""


def reach(device: Device, patience_s: float = 2.0) -> "Phone":
    """A phone that answers; one in the network is connected, one that just went away is waited for.

    Raises:
        DeviceError: it is not there, or in a state that forbids to talk to it.
    """
    name, end = serial(device), time.monotonic() + patience_s
    where = address(device.config)
    while True:
        state = attached().get(name, ("absent", {}))[0]
        if state == "device":
            return Phone(device)
        if state == "unauthorized" or time.monotonic() > end:
            problem, fix = trouble(state)
            raise DeviceError(problem, place=device.id, fix=fix)
        if where and state in {"absent", "offline"}:
            connect(where)
        time.sleep(0.2)


class Phone:
    """A phone that adb talks to. Every method raises `DeviceError` if it goes away or is silent too long."""

    def __init__(self, device: Device) -> None:
        self.id = device.id
        self._adb = Client().device(serial=serial(device))
        self._apart: bool | None = None

    @contextlib.contextmanager
    def _way(self, doing: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            slow = isinstance(error, adbutils.AdbTimeout | TimeoutError)
            problem = "did not answer in time" if slow else "went away"
            raise DeviceError(
                f"The phone {problem} {doing} ({str(error).strip() or type(error).__name__}).",
                place=self.id,
                fix="look at the cable or the Wi-Fi and at: adb devices -l; then run it again",
            ) from error

    def shell(self, line: str, *, limit_s: float = SHELL_LIMIT_S, doing: str = "while it ran a command") -> Output:
        """Run one shell line; ``limit_s`` is the longest silence."""
        with self._way(doing):
            if self._apart is None:
                self._apart = "shell_v2" in self._adb.get_features().split(",")
            # Before Android 7 the code is what a line appended here prints, so no exit may skip that.
            whole = line if self._apart else f"(\n{line}\n)"
            said = self._adb.shell2(whole, timeout=limit_s, encoding="utf-8", v2=self._apart)
        return Output(code=said.returncode, stdout=said.stdout if self._apart else said.output, stderr=said.stderr)

    @contextlib.contextmanager
    def _sync(self, command: bytes, argument: str) -> Iterator[AdbConnection]:
        with self._adb.open_transport(timeout=TRANSFER_LIMIT_S) as way:
            way.send_command("sync:")
            way.check_okay()
            path = argument.encode()
            way.conn.sendall(command + struct.pack("<I", len(path)) + path)
            yield way

    def push(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file there.

        Raises:
            DeviceError: it went away, or refuses the file, for its own reason (a full disk).
        """
        with self._way(f"while {Path(path).name} was sent"), self._sync(b"SEND", f"{path},{0o100000 | mode}") as way:
            broken: OSError | None = None
            try:
                for at in range(0, len(content), CHUNK):
                    part = content[at : at + CHUNK]
                    way.conn.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
                way.conn.sendall(b"DONE" + struct.pack("<I", int(time.time())))
            except OSError as error:  # it may have said why before it hung up
                broken = error
            answer = way.read(8)
            if answer[:4] == b"OKAY":
                return
            if answer[:4] != b"FAIL":
                raise broken or EOFError("the connection ended")
            reason = way.read(struct.unpack("<I", answer[4:])[0]).decode(errors="replace")
        raise refused(self.id, path, reason)

    def pull(self, path: str) -> bytes:
        """Read a file there.

        Raises:
            DeviceError: it went away, or has no such file.
        """
        parts: list[bytes] = []
        with self._way(f"while {Path(path).name} was fetched"), self._sync(b"RECV", path) as way:
            while True:
                kind, size = struct.unpack("<4sI", way.read_exact(8))
                if kind == b"DONE":
                    return b"".join(parts)
                content = way.read_exact(size)
                if kind != b"DATA":
                    reason = content.decode(errors="replace")
                    break
                parts.append(content)
        raise DeviceError(
            f"{Path(path).name} cannot be read there: {reason}.", place=f"{self.id}:{path}", fix="run it again"
        )


def refused(device: str, path: str, reason: str) -> DeviceError:
    """Why a file could not be written there."""
    if "no space" in reason.lower():
        return no_room(device, path)
    return DeviceError(
        f"The phone refuses the file: {reason}.", place=f"{device}:{path}", fix="look at the folder: adb shell ls -ld"
    )


def no_room(device: str, path: str) -> DeviceError:
    """There is no space left on the phone."""
    return DeviceError(
        "There is no space left on the phone.",
        place=f"{device}:{path}",
        fix="free some: adb shell df -h /data, adb shell ls -l /data/local/tmp",
    )
