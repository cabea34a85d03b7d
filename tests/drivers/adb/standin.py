"""A phone that is none: adbd's protocol on loopback, spoken to by the real adb, over a folder that plays Android.

The folder holds ``data/local/tmp``, ``sys`` and ``system/bin``, whose small scripts play ``getprop``, ``dumpsys``
and so on over plain files in ``var``. A shell line runs in this host's shell with the phone's absolute paths
turned into the folder's, and what it prints turned back. Protocol: AOSP, ``packages/modules/adb/protocol.txt``,
``shell_protocol.h`` and ``SYNC.TXT``.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import adbutils

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    struct.unpack("<I", word)[0] for word in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
VERSION, MAX_DATA = 0x01000001, 1 << 20
BANNER = "device::ro.product.name={name};ro.product.model={model};ro.product.device={name};features={features}"
COUNTING = {"calls", "boot_count", "rails_read"}
"""Files of a phone's state that only count what happened."""

SCRIPTS = Path(__file__).parent / "android"
RECORDINGS = Path(__file__).parent / "recordings"
TOOL = Path(__file__).parent / "benchmark_model.py"
ROOTED = re.compile(r"""(?<!SENSORS")(?<![\w./}-])/(data|sys|vendor)(?=/)""")


@dataclass
class Faults:
    """What goes wrong, and when. ``pushed`` and ``pulled`` count bytes of files since the last `Standin.reset`."""

    authorize: bool = True
    drop_after_pushed: int | None = None
    drop_after_pulled: int | None = None
    drop_when_running: str | None = None
    full_after: int | None = None
    reboot: bool = False
    pushed: int = 0
    pulled: int = 0


@dataclass
class Standin:
    """One phone. ``root`` is its file system, ``port`` where adb connects to."""

    root: Path
    name: str = "oriole"
    shell: str = "/bin/sh"
    features: str = "shell_v2,cmd,stat_v2"
    faults: Faults = field(default_factory=Faults)
    port: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        self._links: set[Link] = set()
        self._open = True
        self._threads: list[threading.Thread] = []
        self.thread(self._accept)

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def var(self, name: str, value: str | None = None) -> str:
        """One file of the phone's state."""
        file = self.root / "var" / name
        if value is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value, encoding="utf8")
        return file.read_text(encoding="utf8").strip() if file.is_file() else ""

    def prop(self, name: str, value: str) -> None:
        self.var(f"prop/{name}", value)

    def tree(self) -> dict[str, bytes]:
        """Every file of the phone and its content, its state aside what only counts."""
        files = [path for path in self.root.rglob("*") if path.is_file() and path.name not in COUNTING]
        folders = [path for path in self.root.rglob("*") if path.is_dir()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files} | {
            f"{path.relative_to(self.root)}/": b"" for path in folders
        }

    def drop(self) -> None:
        """The cable is pulled: every connection ends, what runs goes on."""
        for link in list(self._links):
            link.end()

    def start_anew(self) -> None:
        """A restart: all processes end, what is not kept in files is as after a start."""
        for link in list(self._links):
            link.end(kill=True)
        self.kill()
        self.var("boot_count", str(int(self.var("boot_count") or 0) + 1))
        self.var("fixed_performance", "false")
        self.var("updates_stopped", "false")
        self.var("wakefulness", "Awake")

    def kill(self) -> None:
        """End what still runs on the phone."""
        for process in running(str(self.root)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who waits for a connection
        self._server.close()
        self.drop()
        self.kill()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while self._open:
            try:
                way, _ = self._server.accept()
            except OSError:
                return
            link = Link(self, way)
            self._links.add(link)
            self.thread(link.serve)

    def thread(self, what: Callable[..., object], *arguments: object) -> threading.Thread:
        """A thread that has ended before the phone is closed."""
        made = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(made)
        made.start()
        return made

    def forget(self, link: "Link") -> None:
        self._links.discard(link)

    def rooted(self, text: str) -> str:
        """The phone's paths as the host's."""
        return ROOTED.sub(rf"{self.root}/\1", text)

    def start(self, line: str, *, merge: bool = False) -> subprocess.Popen[bytes]:
        path = f"{self.root}/system/bin:{self.root}/vendor/bin:/usr/bin:/bin"
        environment = {
            "PATH": path,
            "ANDROID_ROOT": str(self.root),
            "EDGEKIT_SENSORS": str(self.root),
            "LANG": "C.UTF-8",
        }
        return subprocess.Popen(
            [self.shell, "-c", self.rooted(line)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            env=environment,
            cwd=self.root,
            start_new_session=True,
        )


def running(word: str) -> list[int]:
    """Processes whose command line or environment names a word, this one aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"ANDROID_ROOT={word}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


class Dropped(Exception):
    """The connection ends here, as a fault wants it."""


class Link:
    """One connection of adb's server, with its streams."""

    def __init__(self, phone: Standin, way: socket.socket) -> None:
        self.phone, self._way = phone, way
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self.processes: list[subprocess.Popen[bytes]] = []

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        head = struct.pack("<6I", command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self._lock:
            self._way.sendall(head + data)

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self._way.recv(size - len(content))
            if not part:
                raise ConnectionError
            content += part
        return content

    def serve(self) -> None:
        try:
            while True:
                command, first, second, size, _, _ = struct.unpack("<6I", self._read(24))
                self._packet(command, first, second, self._read(size))
        except (OSError, struct.error):
            self.end()

    def _packet(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN and self.phone.faults.authorize:
            banner = BANNER.format(
                name=self.phone.name,
                model=self.phone.var("prop/ro.product.model").replace(" ", "_"),
                features=self.phone.features,
            )
            self.send(CNXN, VERSION, MAX_DATA, banner.encode())
        elif command in {CNXN, AUTH}:
            if command == CNXN:
                self.send(AUTH, 1, 0, bytes(20))  # a token; the answer is never accepted
            elif first == 2:
                self.send(AUTH, 1, 0, bytes(range(20)))
        elif command == OPEN:
            self._open(first, data.rstrip(b"\0").decode())
        elif second in self._streams:
            self._streams[second].packet(command, data)
            if command == CLSE:
                self._streams.pop(second).hang_up()

    def _open(self, remote: int, service: str) -> None:
        mine, self._next = self._next, self._next + 1
        stream = Stream(self, mine, remote)
        served: Callable[[Stream], None] | None = None
        kind, _, line = service.partition(":")
        if kind.split(",")[0] == "shell":
            served = (lambda s: shell_v2(s, line)) if ",v2" in kind else (lambda s: shell_v1(s, line))
        elif kind == "sync":
            served = sync
        if served is None:
            self.send(CLSE, 0, remote)
            return
        self._streams[mine] = stream
        self.send(OKAY, mine, remote)
        self.phone.thread(stream.run, served)

    def done(self, stream: "Stream") -> None:
        if self._streams.pop(stream.mine, None) is not None:
            with contextlib.suppress(OSError):
                self.send(CLSE, stream.mine, stream.remote)

    def end(self, *, kill: bool = False) -> None:
        self.phone.forget(self)
        for stream in list(self._streams.values()):
            stream.hang_up()
        with contextlib.suppress(OSError):
            self._way.shutdown(socket.SHUT_RDWR)
        self._way.close()
        if kill:
            for process in self.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


class Stream:
    """One service that adb opened: bytes in both directions, one packet on its way at a time."""

    def __init__(self, link: Link, mine: int, remote: int) -> None:
        self.link, self.mine, self.remote = link, mine, remote
        self._come = threading.Condition()
        self._content, self._ready, self._ended = b"", threading.Event(), False
        self._ready.set()

    @property
    def phone(self) -> Standin:
        return self.link.phone

    def run(self, served: Callable[["Stream"], None]) -> None:
        try:
            served(self)
        except Dropped:
            self.phone.drop()
        except (ConnectionError, OSError):
            pass
        self.link.done(self)

    def packet(self, command: int, data: bytes) -> None:
        if command == OKAY:
            self._ready.set()
        elif command == WRTE:
            with self._come:
                self._content += data
                self._come.notify()
            self.link.send(OKAY, self.mine, self.remote)

    def hang_up(self) -> None:
        with self._come:
            self._ended = True
            self._come.notify()
        self._ready.set()

    def read(self, size: int) -> bytes:
        with self._come:
            self._come.wait_for(lambda: self._ended or len(self._content) >= size)
            if len(self._content) < size:
                raise ConnectionError
            part, self._content = self._content[:size], self._content[size:]
            return part

    def write(self, data: bytes) -> None:
        for at in range(0, len(data), 64 * 1024):
            self._ready.wait()
            if self._ended:
                raise ConnectionError
            self._ready.clear()
            self.link.send(WRTE, self.mine, self.remote, data[at : at + 64 * 1024])


def shell_v2(stream: Stream, line: str) -> None:
    """Standard output and error apart, then the exit code; a process outlives a lost connection, as there."""
    phone = stream.phone
    process = phone.start(line)
    stream.link.processes.append(process)
    word = phone.faults.drop_when_running
    lock = threading.Lock()

    def forward(kind: int, pipe: IO[bytes]) -> None:
        with pipe:
            while part := os.read(pipe.fileno(), 32 * 1024):
                said = part.replace(str(phone.root).encode(), b"")
                with lock, contextlib.suppress(OSError):
                    stream.write(struct.pack("<BI", kind, len(said)) + said)

    assert process.stdout is not None
    assert process.stderr is not None
    threads = [phone.thread(forward, 1, process.stdout), phone.thread(forward, 2, process.stderr)]
    phone.thread(process.wait)
    if word is not None and word in line:
        phone.faults.drop_when_running = None
        time.sleep(0.7)
        if phone.faults.reboot:
            phone.start_anew()
        raise Dropped
    for thread in threads:
        thread.join()
    code = process.wait()
    stream.write(struct.pack("<BIB", 3, 1, code if code >= 0 else 128 - code))


def shell_v1(stream: Stream, line: str) -> None:
    process = stream.phone.start(line, merge=True)
    stream.link.processes.append(process)
    assert process.stdout is not None
    with process.stdout as pipe:
        while part := os.read(pipe.fileno(), 32 * 1024):
            stream.write(part.replace(str(stream.phone.root).encode(), b""))
    process.wait()


def sync(stream: Stream) -> None:
    """STAT, LIST, SEND, RECV and their newer forms."""
    while True:
        word, size = struct.unpack("<4sI", stream.read(8))
        if word == b"QUIT":
            return
        path = Path(stream.phone.rooted(stream.read(size).decode().partition(",")[0]))
        if word == b"SEND":
            _receive(stream, path)
        elif word == b"RECV":
            _deliver(stream, path)
        elif word in {b"STAT", b"STA2", b"LST2"}:
            stream.write(_status(word, path))
        elif word == b"LIST":
            for entry in sorted(path.iterdir()) if path.is_dir() else []:
                name, seen = entry.name.encode(), entry.stat()
                stream.write(
                    b"DENT" + struct.pack("<4I", seen.st_mode, seen.st_size, int(seen.st_mtime), len(name)) + name
                )
            stream.write(b"DONE" + bytes(16))


def _status(word: bytes, path: Path) -> bytes:
    seen = path.stat() if path.exists() else None
    if word == b"STAT":
        return word + (struct.pack("<3I", seen.st_mode, seen.st_size, int(seen.st_mtime)) if seen else bytes(12))
    if seen is None:
        return word + struct.pack("<I", 2) + bytes(64)
    times = int(seen.st_atime), int(seen.st_mtime), int(seen.st_ctime)
    return word + struct.pack(
        "<IQQIIIIQqqq", 0, seen.st_dev, seen.st_ino, seen.st_mode, seen.st_nlink, 0, 0, seen.st_size, *times
    )


def _fail(stream: Stream, reason: str) -> None:
    stream.write(b"FAIL" + struct.pack("<I", len(reason)) + reason.encode())


def _receive(stream: Stream, path: Path) -> None:
    """A file for the phone. Where it does not fit, the rest is read and forgotten and the reason told."""
    faults, reason, parts = stream.phone.faults, "", []
    if not path.parent.is_dir():
        reason = "couldn't create file: No such file or directory"
    while True:
        word, size = struct.unpack("<4sI", stream.read(8))
        if word == b"DONE":
            break
        part = stream.read(size)
        faults.pushed += size
        if faults.drop_after_pushed is not None and faults.pushed > faults.drop_after_pushed:
            faults.drop_after_pushed = None
            path.write_bytes(b"".join(parts))
            raise Dropped
        if faults.full_after is not None and faults.pushed > faults.full_after:
            reason = "write failed: No space left on device"
        parts.append(part)
    if reason:
        _fail(stream, reason)
        return
    path.write_bytes(b"".join(parts))
    path.chmod(0o755)
    stream.write(b"OKAY" + bytes(4))


def _deliver(stream: Stream, path: Path) -> None:
    faults = stream.phone.faults
    if not path.is_file():
        _fail(stream, "open failed: No such file or directory")
        return
    content = path.read_bytes().replace(str(stream.phone.root).encode(), b"")
    for at in range(0, len(content), 1024):
        part = content[at : at + 1024]
        faults.pulled += len(part)
        if faults.drop_after_pulled is not None and faults.pulled > faults.drop_after_pulled:
            faults.drop_after_pulled = None
            raise Dropped
        stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
    stream.write(b"DONE" + bytes(4))


def furnish(root: Path, *, tool: bool = True) -> Path:
    """A file system that plays a Pixel 6: its commands, its properties, its sensors, and benchmark_model."""
    for folder in ("data/local/tmp", "sys/class/power_supply/battery", "system/bin", "vendor/bin", "var/prop"):
        (root / folder).mkdir(parents=True)
    for script in sorted(SCRIPTS.glob("*.sh")):
        shutil.copyfile(script, root / "system/bin" / script.stem)
        (root / "system/bin" / script.stem).chmod(0o755)
    properties = {
        "ro.product.manufacturer": "Google",
        "ro.product.model": "Pixel 6",
        "ro.soc.manufacturer": "Google",
        "ro.soc.model": "GS101",
        "ro.board.platform": "gs101",
        "ro.product.cpu.abi": "arm64-v8a",
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.build.display.id": "UQ1A.240205.002",
    }
    state = {
        "level": "81",
        "battery_status": "3",
        "usb_powered": "false",
        "updates_stopped": "false",
        "wakefulness": "Awake",
        "thermal_status": "0",
        "cpu_c": "38.5",
        "fixed_performance": "false",
        "boot_count": "7",
        "free_kib": "52000000",
    }
    for name, value in [*((f"prop/{key}", value) for key, value in properties.items()), *state.items()]:
        (root / "var" / name).write_text(value, encoding="utf8")
    for core, khz in enumerate((1803000, 1803000, 2253000, 2802000)):
        folder = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("sched_pixel\n", encoding="utf8")
        (folder / "scaling_cur_freq").write_text(f"{khz}\n", encoding="utf8")
    for name, value in {
        "type": "Battery",
        "status": "Discharging",
        "current_now": "-412500",
        "voltage_now": "4120000",
    }.items():
        (root / "sys/class/power_supply/battery" / name).write_text(value + "\n", encoding="utf8")
    table = (RECORDINGS / "classic_2022_riscv.txt").read_text(encoding="utf8").partition("Operator-wise")
    (root / "operators.txt").write_text(table[1] + table[2], encoding="utf8")
    if tool:
        install(root / "data/local/tmp/benchmark_model")
    return root


def install(path: Path) -> Path:
    """A benchmark_model that runs the file with this host's LiteRT, or replays what ``var/replay`` names."""
    path.write_text(f"#!{sys.executable}\n" + TOOL.read_text(encoding="utf8"), encoding="utf8")
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def server(home: Path) -> Iterator[None]:
    """An adb server of its own, apart from the user's: a port, a home; it ends afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ.get(name) for name in ("ANDROID_ADB_SERVER_PORT", "ANDROID_USER_HOME")}
    # Newer adb connects to every emulator by itself and looks for phones in the network; neither is wanted here.
    own = {"ADB_LOCAL_TRANSPORT_MAX_PORT": "5", "ADB_MDNS_AUTO_CONNECT": "0", "ADB_MDNS_OPENSCREEN": "0"}
    kept |= {name: os.environ.get(name) for name in own}
    os.environ.update({"ANDROID_USER_HOME": str(home)} | own)
    try:
        _start(home)
        yield
    finally:
        subprocess.run([adbutils.adb_path(), "kill-server"], capture_output=True, check=False, timeout=30)
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(home: Path, attempts: int = 3) -> None:
    """Start it at a port that is free; somebody else may take that in between."""
    for left in reversed(range(attempts)):
        with socket.create_server(("127.0.0.1", 0)) as free:
            os.environ["ANDROID_ADB_SERVER_PORT"] = str(free.getsockname()[1])
        at_home = os.environ | {"HOME": str(home)}  # where it keeps its key, whatever its age
        words = [adbutils.adb_path(), "start-server"]
        done = subprocess.run(words, env=at_home, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode == 0:
            return
        assert left, done.stderr


@contextlib.contextmanager
def phone(root: Path, *, tool: bool = True, name: str = "oriole") -> Iterator[Standin]:
    """A phone that answers; it hangs up afterwards, and nothing of it runs on."""
    made = Standin(furnish(root, tool=tool), name)
    try:
        yield made
    finally:
        with contextlib.suppress(adbutils.AdbError, OSError):
            adbutils.AdbClient(socket_timeout=5.0).disconnect(made.serial)
        made.close()
