"""One conversation with a board: commands out, lines back, and what goes wrong in words."""

import contextlib
import errno
import time
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from serial import Serial, SerialException

from edgekit.drivers.serial import protocol
from edgekit.errors import DeviceError

try:
    from termios import error as TerminalError  # noqa: N812  pyserial lets it through if a port vanishes
except ImportError:  # not on Windows
    TerminalError = OSError  # type: ignore[misc,assignment]

BOOT_S = 6.0
"""How long a board may take to answer: opening its port restarts many boards."""

PATIENCE_S = 0.7
"""How long one question waits until it is asked again, while a board may still be booting."""

QUIET_S = 0.1
"""How long a line is silent between what a board says of itself and what it is asked."""

LINE_LIMIT = 1 << 16
"""Bytes without a line's end after which this is no board that speaks the protocol."""


class Line(NamedTuple):
    """A line of a reply, and when it was there (host's monotonic clock, s)."""

    text: str
    at_s: float


class Monitor:
    """An open port to a board whose firmware has answered.

    Args:
        port: name of the serial port.
        baud: bits per second.
        boot_s: how long to wait for the first answer.

    Raises:
        DeviceError: the port cannot be opened, or nobody there speaks the protocol.
    """

    def __init__(self, port: str, baud: int, boot_s: float = BOOT_S) -> None:
        self._port, self._baud, self._rest = port, baud, b""
        self._lines: list[Line] = []
        try:
            self._serial = Serial(port, baud, timeout=QUIET_S, write_timeout=5, exclusive=True)
        except (OSError, ValueError) as error:
            raise _unopened(port, baud, error) from error
        try:
            self.identity = self._greet(boot_s)
        except DeviceError:
            self.close()
            raise

    def _greet(self, boot_s: float) -> protocol.Identity:
        """Ask for the name until somebody answers, then for the firmware.

        Before every question the line must be quiet: the end of what a board says while it boots, or of
        the reply to an earlier question, would be taken for the end of this one.
        """
        end, heard = time.monotonic() + boot_s, ""
        while time.monotonic() < end:
            self._settle(end)
            try:
                lines = self._exchange("name", PATIENCE_S)
            except TimeoutError:
                lines = []
            if any(line.text.startswith("m-name-") for line in lines):
                return protocol.identity(line.text for line in [*lines, *self.ask("profile", 2.0)])
            heard = heard or self._heard()
        raise self._stranger(heard)

    def _settle(self, end: float) -> None:
        """Wait until nothing comes any more."""
        with self._present():
            while time.monotonic() < end and self._serial.read(self._serial.in_waiting or 1):
                pass

    def _heard(self) -> str:
        """The first of what came since the last question."""
        return next((line.text for line in self._lines), self._rest[:40].decode("ascii", "replace").strip())

    def _stranger(self, heard: str) -> DeviceError:
        if not heard:
            return DeviceError(
                f"Nothing answers at {self._baud} baud.",
                place=self._port,
                fix="check power, cable and the port's name; flash an MLPerf Tiny firmware; set its baud",
            )
        return DeviceError(
            f"What answers at {self._baud} baud is no MLPerf Tiny firmware; it said {heard[:40]!r}.",
            place=self._port,
            fix="set the firmware's baud (115200, some boards 76800, 9600 in energy mode), or flash such a firmware",
        )

    def ask(self, command: str, limit_s: float) -> list[Line]:
        """Send a command and wait for the reply's end; its lines without ``m-ready``.

        Raises:
            DeviceError: no end of the reply in ``limit_s``, a complaint of the firmware, or the board went away.
        """
        try:
            lines = self._exchange(command, limit_s)
        except TimeoutError as error:
            raise DeviceError(
                f"The board did not finish {command[:20]!r} within {limit_s:g} s.",
                place=self._port,
                fix="reset it; if it happens again, its firmware hangs with this input",
            ) from error
        if said := protocol.complaint(line.text for line in lines):
            raise DeviceError(
                f"The board refuses {command[:20]!r}: {said[:200]}",
                place=self._port,
                fix="check that its firmware is one for MLPerf Tiny, and the cable",
            )
        return lines

    def _exchange(self, command: str, limit_s: float) -> list[Line]:
        """Send a command, collect lines.

        Raises:
            TimeoutError: the end did not come.
            DeviceError: the board went away.
        """
        end = time.monotonic() + limit_s
        self._lines, self._rest = [], b""
        with self._present():
            self._serial.reset_input_buffer()  # what it said before it was asked
            self._serial.write(command.encode("ascii") + b"%")
            while time.monotonic() < end:
                for line in self._read():
                    if line.text == protocol.READY:
                        return self._lines
                    self._lines.append(line)
        raise TimeoutError

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        """Whatever a vanished port makes fail, in one error."""
        try:
            yield
        except (OSError, TerminalError, TypeError) as error:  # TypeError: pyserial reads from a port just closed
            raise DeviceError(
                "The board went away in the middle.", place=self._port, fix="plug it in again, check the cable"
            ) from error

    def _read(self) -> list[Line]:
        """Whole lines that are there; waits a moment for the first byte."""
        self._rest += self._serial.read(self._serial.in_waiting or 1)
        at_s = time.monotonic()
        *whole, self._rest = self._rest.split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            raise self._stranger(self._rest[:40].decode("ascii", "replace"))
        return [Line(text, at_s) for line in whole if (text := line.decode("ascii", "replace").strip())]

    @property
    def latency_s(self) -> float:
        """How late a line may be heard: 40 characters of 10 bits, and a moment of this host's."""
        return 400 / self._baud + 0.01

    def close(self) -> None:
        """Let the port go; what it is at does not matter."""
        with contextlib.suppress(OSError, TerminalError):
            self._serial.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unopened(port: str, baud: int, error: OSError | ValueError) -> DeviceError:
    number = error.errno if isinstance(error, SerialException | OSError) else None
    problem, fix = {
        errno.ENOENT: ("There is no such port", "plug the board in; python -m serial.tools.list_ports lists ports"),
        errno.EACCES: ("You may not open the port", "sudo usermod -aG dialout $USER, then log in again"),
        errno.EBUSY: ("Another program has the port", "close it (a serial console, an IDE's monitor)"),
        errno.EAGAIN: ("Another program has the port", "close it (a serial console, an IDE's monitor)"),
    }.get(number or 0, (f"The port cannot be opened at {baud} baud ({error})", "check the port's name and baud"))
    return DeviceError(f"{problem}.", place=port, fix=fix)
