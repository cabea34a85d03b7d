"""ARM without a board: the real aarch64 LiteRT under qemu, playing a named core.

It runs an artifact on the kernels that a phone runs and brings back outputs, so that arithmetic can be
proven where there is no phone. Times under emulation mean nothing: it never reports one, nor memory.

The core must be named: with ``-cpu max`` qemu 7.2 offers SME, with which LiteRT's float32 kernels come
out wrong and 60 times slower (tried on MLPerf Tiny's keyword spotting).
"""

import contextlib
import os
import platform
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.config import cache_folder
from edgekit.devices import PLACE, Driver
from edgekit.devices.emulated import root
from edgekit.errors import DeviceError, EdgekitError, MissingTool, Unsupported
from edgekit.profiles import Block, Device, DeviceConfig, Output, Run, Stand, State

LOOK_LIMIT_S, OUTPUTS_LIMIT_S = 60, 3600
"""How long Python may take to start, and a file to run over its samples: emulation is up to 60 times slower."""

NO_CORE = "max is no real core, and LiteRT computes wrongly on it. fix: name a core, such as cortex-a76"
"""What is wrong with the name ``max`` (see above)."""


def system_folder() -> Path:
    """The folder with the aarch64 system."""
    return cache_folder() / "emulators" / "arm64"


def _places() -> Path:
    """The folder of everything that is opened; `edgekit.profiles.Stand.place` may be the name alone."""
    return system_folder().with_name("places")


class Emulated(Driver):
    """Runs TFLite files on an emulated aarch64 core of this host."""

    def set_up(self, config: DeviceConfig) -> tuple[str, ...]:
        """Unpack the aarch64 system into the cache (22 s on an idle machine, 75 MB fetched, 225 MB kept)."""
        made = root.build(system_folder())
        found = self._look(Device(id="arm64", kind="emulated", title="", config=config))
        return (
            f"Debian {made.suite} for arm64 in {system_folder()}, Python {found.python}",
            *(f"{name} {version}" for name, version in found.runtimes.items()),
        )

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """Every configured emulator; usable once it is set up."""
        return tuple(self._found(name, config) for name, config in configured.items())

    def _found(self, name: str, config: DeviceConfig) -> Device:
        title = f"arm64 under qemu, {config.cpu}"
        device = Device(id=name, kind="emulated", title=title, times=False, config=config)
        try:
            seen = runner.described(device, self._look(device))
        except EdgekitError as error:
            problem = f"{error.problem} fix: {error.fix}"
            return msgspec.structs.replace(device, usable=False, problems=(problem,))
        problems = (*seen.problems, *((NO_CORE,) if config.cpu == "max" else ()))
        return msgspec.structs.replace(
            seen, cpu=config.cpu, delegates=("xnnpack", "none"), problems=problems, state=None
        )

    def _look(self, device: Device) -> runner.Seen:
        place = system_folder() / runner.PROGRAM
        if system_folder().is_dir() and not (place.is_file() and place.read_bytes() == runner.program()):
            _write(place, runner.program())
        done = _python(device, str(place), "look", limit_s=LOOK_LIMIT_S)
        if done.returncode:
            words = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise DeviceError(
                f"Python does not run under qemu: {words[:300]}",
                place=device.id,
                fix="name a core that qemu-aarch64-static -cpu help lists, such as cortex-a76",
            )
        return runner.seen(done.stdout.encode(), device.id)

    def state(self, device: Device) -> State:
        """Only the time: nothing of an emulated core can throttle."""
        _ready(device)
        return State(utc=datetime.now(UTC).isoformat(timespec="seconds"))

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:
        """Every line answers 127: there is no shell, and no sensor."""
        _ready(device)
        return tuple(Output(code=127, stdout="", stderr="an emulated core has no shell") for _ in lines)

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Stand:  # noqa: ARG002
        """Make a folder in the cache with the file, its inputs and the runner."""
        if artifact.suffix != ".tflite":
            raise Unsupported(
                f"An emulated device runs .tflite files, not {artifact.suffix}.",
                place=artifact.name,
                fix="choose the artifact's .tflite file, or another device",
            )
        _ready(device)
        folder = _places() / place
        _clear(folder.parent)
        folder.mkdir(parents=True)
        try:
            shutil.copy(artifact, folder / "model.tflite")
            shutil.copy(inputs, folder / "inputs.npz")
            (folder / runner.PROGRAM).write_bytes(runner.program())
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Stand(place=str(folder), model=str(folder / "model.tflite"), inputs=str(folder / "inputs.npz"))

    def run(self, device: Device, stand: Stand, run: Run, out: Path) -> Block:
        """The outputs of every sample; no other mode."""
        if run.mode != "outputs":
            raise Unsupported(
                "Times under emulation mean nothing, so none are measured.",
                place=device.id,
                fix="measure on a real device: edgekit devices lists those attached",
            )
        folder = Path(stand.place)
        results = folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir()
        (folder / runner.ORDER).write_bytes(runner.order(stand, run, str(results)))
        answer = folder / runner.ANSWER
        answer.unlink(missing_ok=True)
        done = _python(device, str(folder / runner.PROGRAM), str(folder), limit_s=OUTPUTS_LIMIT_S)
        content = answer.read_bytes() if answer.is_file() else b""
        seen = runner.block(content, code=done.returncode, place=device.id, last_words=done.stdout + done.stderr)
        shutil.copy(results / "outputs.npz", out / "outputs.npz")
        return Block(runtime=seen.runtime, outputs="outputs.npz", notes=(f"emulated {_core(device)}",))

    def close(self, device: Device, stand: Stand) -> None:  # noqa: ARG002
        """End what still runs there and remove the folder, which its name alone tells."""
        _remove(_places() / Path(stand.place).name)


def _core(device: Device) -> str:
    return device.config.cpu if device.config is not None else DeviceConfig(kind="emulated").cpu


def _ready(device: Device) -> str:
    """The emulator's program.

    Raises:
        MissingTool: it is not installed, or the system for it is not set up.
    """
    program = root.emulator()
    if program is None:
        raise MissingTool(
            "qemu for aarch64 is not installed.",
            place=device.id,
            fix="sudo apt-get install qemu-user-static debootstrap",
        )
    if root.read(system_folder()) is None:
        raise MissingTool("The arm64 system is not set up.", place=device.id, fix=f"edgekit devices add {device.id}")
    return program


def _python(device: Device, *arguments: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run the system's Python under qemu; a file ``pid`` beside the runner lets `_remove` end it.

    Raises:
        MissingTool: it is not set up.
        DeviceError: it takes longer than ``limit_s``.
    """
    program, system = _ready(device), system_folder()
    hidden = ("PYTHON", "LD_", "QEMU_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    environment |= {"PYTHONHOME": str(system / "usr"), "PYTHONPATH": str(system / "wheels"), "PYTHONSAFEPATH": "1"}
    python = str(system / "usr" / "bin" / f"python{root.PYTHON}")
    process = subprocess.Popen(
        [program, "-cpu", _core(device), "-L", str(system), python, *arguments],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    folder = Path(arguments[-1])
    try:
        if folder.is_dir():
            (folder / "pid").write_text(str(process.pid), encoding="utf8")
        stdout, stderr = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"It did not answer within {limit_s:g} s.", place=device.id, fix="use fewer samples, or a smaller model"
        ) from error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def _write(file: Path, content: bytes) -> None:
    """Write a file that another process may write too."""
    made = file.with_name(f"{file.name}.{os.getpid()}")
    made.write_bytes(content)
    made.replace(file)


def _clear(places: Path) -> None:
    """Remove what dead runs of this host left."""
    for left in places.glob(f"{PLACE}{platform.node()}-*"):
        process = left.name.rsplit("-", 2)[1]
        if process.isdigit() and not root.alive(int(process)):
            _remove(left)


def _remove(folder: Path) -> None:
    """End the process that works in a folder, if one still does, and remove the folder."""
    with contextlib.suppress(OSError, ValueError):
        process = int((folder / "pid").read_text(encoding="utf8"))
        if str(folder).encode() in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
