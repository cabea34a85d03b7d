"""A connection to one board: how it is made, and what its failures mean to the user.

Connections live on one event loop in a thread of its own, so that a board's silence is noticed
between calls too. They are a cache: a lost one is made anew by the next call.
"""

import asyncio
import socket
import threading
from asyncio import AbstractEventLoop, Lock
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from shlex import quote
from typing import Any

import asyncssh

from edgekit.drivers.ssh.trust import DEFAULT_PORT, KnownHosts, client_keys, identity, place, ssh_command, target
from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.nouns.profile import Device, DeviceConfig, Output

CONNECT_S = 5.0
"""How long a board may take to take up a TCP connection."""

LOGIN_S = 8.0
"""How long it may take to be logged in from there."""

SILENCE_S = 5.0
"""After so long without a word a board is asked whether it is still there."""

UNANSWERED = 3
"""So many questions without an answer end the connection."""

LINE_S = 30.0
"""How long a shell line may take."""

LOST = (asyncssh.DisconnectError, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, ConnectionError, TimeoutError)
"""What asyncssh raises on calls over a connection that has ended, or just then."""


@cache
def _loop() -> AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="edgekit-ssh", daemon=True).start()
    return loop


def wait[T](work: Coroutine[Any, Any, T]) -> T:
    """Run on the connections' own loop and wait for the result; an interrupt ends the work."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class Board:
    """A configured board and its connection.

    Args:
        name: the device's id.
        config: how it is reached.

    Raises:
        InputError: its table has no host.
    """

    _connections: dict[DeviceConfig, asyncssh.SSHClientConnection] = {}
    _locks: defaultdict[DeviceConfig, Lock] = defaultdict(Lock)

    def __init__(self, name: str, config: DeviceConfig | None) -> None:
        if config is None or not config.host:
            raise InputError(
                "A board that is reached over SSH needs a host.",
                place=f"[devices.{name}]",
                fix=f'add a line such as host = "{name}.local"',
            )
        self.name, self.config = name, config
        self.place = place(name, config)

    @classmethod
    def of(cls, device: Device) -> "Board":
        """The board of a device as `find` gave it."""
        return cls(device.id, device.config)

    @property
    def python(self) -> str:
        """The configured interpreter as a word of a shell line; a relative path is one in the home there."""
        name = self.config.python
        if "/" in name and not name.startswith("/"):
            return f"~/{quote(name.removeprefix('~/'))}"
        return quote(name)

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The open connection, or a new one.

        Raises:
            DeviceError: the board does not answer, or is not the one that was accepted, or refuses the key.
            InputError: a file that is named for it cannot be used.
        """
        async with self._locks[self.config]:
            known = self._connections.get(self.config)
            if known is None or known.is_closed():
                known = self._connections[self.config] = await self._connect()
            return known

    async def _connect(self) -> asyncssh.SSHClientConnection:
        accepted = KnownHosts(self.name, self.config)
        options: dict[str, Any] = await client_keys(self.name, self.config)
        if algorithms := accepted.algorithms():
            options["server_host_key_algs"] = algorithms
        if self.config.user:
            options["username"] = self.config.user
        if self.config.port != DEFAULT_PORT:
            options["port"] = self.config.port
        try:
            return await asyncssh.connect(
                str(self.config.host),
                known_hosts=accepted.match,
                preferred_auth="publickey",
                connect_timeout=CONNECT_S,
                login_timeout=LOGIN_S,
                keepalive_interval=SILENCE_S,
                keepalive_count_max=UNANSWERED,
                **options,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise accepted.complaint() from error
        except asyncssh.ConfigParseError as error:
            raise InputError(f"~/.ssh/config cannot be understood: {error}.", fix="mend the line") from error
        except (asyncssh.Error, OSError, UnicodeError) as error:  # a..b is no name in IDNA
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> EdgekitError:
        """What a failure to connect means."""
        host, port = self.config.host, self.config.port
        if isinstance(error, asyncssh.PermissionDenied):
            problem = f"The board does not accept the key for {target(self.config)}"
            options = " ".join([*identity(self.config), f"-p {port}"])
            fix = f"ssh-copy-id {options} {target(self.config)}; check user and key in [devices.{self.name}]"
        elif isinstance(error, socket.gaierror | UnicodeError):
            problem, fix = (
                f"There is no machine named {host}",
                f"correct host in [devices.{self.name}], or use an address",
            )
        elif isinstance(error, ConnectionRefusedError):
            problem = f"Nothing answers on port {port} of {host}"
            fix = (
                f"start the SSH server there: sudo systemctl enable --now ssh; or correct port in [devices.{self.name}]"
            )
        elif isinstance(error, TimeoutError | asyncssh.ConnectionLost):
            problem = f"{host} does not answer as an SSH server in time"
            fix = f"check that it is on and in this network: {ssh_command(self.config)}"
        else:
            problem = f"No connection: {getattr(error, 'reason', '') or getattr(error, 'strerror', '') or error}"
            fix = f"see what ssh says: {ssh_command(self.config)} true"
        return DeviceError(f"{problem}.", place=self.place, fix=fix)

    def lost(self, doing: str) -> DeviceError:
        """The complaint that the connection ended."""
        return DeviceError(
            f"The connection ended while {doing}.",
            place=self.place,
            fix="check the board's power, network and memory (dmesg there), then run it again",
        )

    async def command(self, line: str, *, doing: str, given: bytes = b"", limit_s: float | None = None) -> Output:
        """Run a line of a POSIX shell; its standard input stays open until the connection ends.

        ``code`` is negative for a signal, 124 if it was ended after ``limit_s`` (as coreutils' timeout has it),
        which is `LINE_S` unless given.

        Raises:
            DeviceError: no connection, or it ended while ``doing``.
        """
        connection = await self.connection()
        limit_s = limit_s or LINE_S
        try:
            process = await connection.create_process(shell(line), encoding=None, request_pty=False)
            try:
                process.stdin.write(given)
                done = await process.wait(timeout=limit_s)
            except asyncssh.TimeoutError:
                process.kill()
                raise
            finally:
                process.close()  # without waiting: what does not end is not waited for
        except asyncssh.TimeoutError as late:
            return Output(
                code=124, stdout=_text(late.stdout), stderr=f"{_text(late.stderr)}\nended after {limit_s:g} s"
            )
        except LOST as error:
            raise self.lost(doing) from error
        except (asyncssh.ChannelOpenError, OSError) as error:
            raise (self.lost(doing) if connection.is_closed() else self.refused(doing, error)) from error
        if done.returncode is None:
            raise self.lost(doing)
        return Output(code=done.returncode, stdout=_text(done.stdout), stderr=_text(done.stderr))

    async def script(self, code: str, *, doing: str, given: bytes = b"", words: str = "", flags: str = "") -> Output:
        """Run Python there from the command line, with ``words`` as its arguments; see `command`."""
        return await self.command(f"exec {self.python} {flags} -c {quote(code)} {words}", doing=doing, given=given)

    def refused(self, doing: str, error: Exception) -> DeviceError:
        """The complaint that the board does not do what SSH servers do."""
        return DeviceError(
            f"The board refused while {doing}: {getattr(error, 'reason', '') or error}.",
            place=self.place,
            fix=f"see what the board says: {ssh_command(self.config)}; "
            "its SSH server needs a shell and sftp-server (package openssh-sftp-server)",
        )

    @asynccontextmanager
    async def files(self, doing: str) -> AsyncIterator["Files"]:
        """File transfer over the connection.

        Raises:
            DeviceError: no connection, it ended while ``doing``, or the board refused a file.
        """
        connection = await self.connection()
        files: Files | None = None
        try:
            async with connection.start_sftp_client() as client:
                files = Files(client, doing)
                yield files
        except (*LOST, asyncssh.SFTPError, asyncssh.ChannelOpenError, OSError) as error:
            if connection.is_closed() or (files is not None and isinstance(error, LOST)):
                raise self.lost(files.doing if files else doing) from error
            if isinstance(error, OSError):  # of this host's disk
                raise
            raise self.refused(files.doing if files else "starting its sftp-server", error) from error


@dataclass
class Files:
    """File transfer, and what it is just needed for, in words for complaints."""

    client: asyncssh.SFTPClient
    doing: str


def shell(line: str) -> str:
    """A line for ``sh``, whatever the login shell there is."""
    return f"exec sh -c {quote(line)}"


def _text(output: Any) -> str:
    return bytes(output or b"").decode("utf8", "replace")
