"""A real OpenSSH server on loopback. Each of its boards is a key whose sessions live in a home of their own."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy

from edgekit.nouns.profile import DeviceConfig

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SFTP = next(
    (path for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server") if Path(path).exists()),
    "/usr/lib/ssh/sftp-server",
)

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
UseDNS no
Subsystem sftp {sftp}
"""

SESSION = """\
#!/bin/sh
export {environment}
cd "$HOME" || exit 1
{before}
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
"""What a key's sessions run instead of a login: the same command, in a home that the test can watch."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def keygen(file: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return file


class Server:
    """The server; `stop` ends it."""

    def __init__(self, folder: Path) -> None:
        assert SSHD is not None, "there is no sshd; install openssh-server"
        self.folder, self.port = folder, free_port()
        self.known_hosts = folder / "known_hosts"
        public = keygen(folder / "host_key").with_suffix(".pub").read_text()
        self.known_hosts.write_text(f"127.0.0.1 {public}")
        (folder / "authorized_keys").touch()
        config = folder / "sshd_config"
        config.write_text(CONFIG.format(port=self.port, folder=folder, sftp=SFTP))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it separates its privileges
        lenient = "PerSourcePenalties no"  # since 9.8 it turns away, for a while, whoever failed to log in
        if not subprocess.run(
            [SSHD, "-t", "-f", str(config), "-o", lenient], capture_output=True, check=False
        ).returncode:
            config.write_text(config.read_text() + lenient + "\n")
        self.process = subprocess.Popen([SSHD, "-D", "-f", str(config), "-E", str(folder / "sshd.log")])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert self.process.poll() is None, (folder / "sshd.log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError("sshd does not listen")

    def board(self, name: str, *, sensors: Path | None = None, before: str = "", **fields: object) -> DeviceConfig:
        """A board with a home and a temporary folder of its own; ``before`` are lines of its login."""
        root = self.folder / name
        for part in ("home", "tmp"):
            (root / part).mkdir(parents=True)
        pairs = {"HOME": root / "home", "TMPDIR": root / "tmp", "EDGEKIT_SENSORS": sensors or ""}
        session = root / "session"
        environment = " ".join(f"{key}={shlex.quote(str(value))}" for key, value in pairs.items())
        session.write_text(SESSION.format(environment=environment, before=before))
        session.chmod(0o755)
        key = keygen(root / "key")
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(f'command="{session}" {key.with_suffix(".pub").read_text()}')
        plain = {
            "kind": "ssh",
            "host": "127.0.0.1",
            "user": getpass.getuser(),
            "port": self.port,
            "key": str(key),
            "known_hosts": str(self.known_hosts),
            "python": sys.executable,
        }
        return DeviceConfig(**plain | fields)  # type: ignore[arg-type]

    def home(self, config: DeviceConfig) -> Path:
        assert config.key is not None
        return Path(config.key).parent / "home"

    def tree(self, config: DeviceConfig) -> list[str]:
        """Every path in a board's home and temporary folder."""
        assert config.key is not None
        root = Path(config.key).parent
        return sorted(str(path.relative_to(root)) for part in ("home", "tmp") for path in (root / part).rglob("*"))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Wire:
    """A TCP connection to the server that can be cut or frozen, at once or after so many bytes."""

    def __init__(self, port: int) -> None:
        self._to, self._pairs, self._open = port, [], True
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.up = self.down = 0
        self.cut_up = self.cut_down = 1 << 62
        self.frozen = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs.append((near, far))
                threading.Thread(target=self._pump, args=(near, far, "up"), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, "down"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while content := source.recv(16384):
                while self.frozen.is_set():
                    time.sleep(0.01)
                setattr(self, way, getattr(self, way) + len(content))
                if getattr(self, way) > getattr(self, f"cut_{way}"):
                    self.cut_up = self.cut_down = 1 << 62  # this once
                    break
                sink.sendall(content)
        self._end(source, sink)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self) -> None:
        for pair in self._pairs:
            self._end(*pair)
        self._pairs.clear()

    def unplug(self) -> None:
        """Nobody gets through any more; what is connected stays so."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listening.close()

    def close(self) -> None:
        self.frozen.clear()
        self.unplug()
        self.cut()


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def says(*command: str) -> str:
    """What a command prints outside of this project's folder (pyenv obeys files there); nothing if it fails."""
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def interpreter(version: str) -> str | None:
    """An installed Python of a version such as 3.11; None where there is none."""
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    code = "import sys; print('%d.%d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))"
    for name in (f"python{version}", f"/usr/bin/python{version}", *map(str, kept)):
        found, _, path = says(name, "-c", code).partition(" ")
        if found == version:
            return path
    return None


def bare(folder: Path, *borrowed: str) -> str:
    """A Python without packages, but for some of this one's."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (target,) = (folder / "lib").glob("python3*/site-packages")
    source = Path(numpy.__file__).parent.parent
    for name in borrowed:
        for path in [source / name, *source.glob(f"{name}-*.dist-info"), *source.glob(f"{name}.libs")]:
            (target / path.name).symlink_to(path)
    return str(folder / "bin/python")


def processes(word: str) -> list[str]:
    """Command lines of this machine's processes that hold a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line and int(folder.name) != os.getpid():
                found.append(line)
    return found
