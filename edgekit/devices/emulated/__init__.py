"""ARM without a board: the real aarch64 LiteRT under qemu, playing a named core.

It runs an artifact on the kernels that a phone runs and brings back outputs, so that arithmetic can be
proven where there is no phone. Times under emulation mean nothing: it never reports one, nor memory.

The core must be named: with ``-cpu max`` qemu 7.2 offers SME, with which LiteRT's float kernels come
out wrong and 60 times slower (tried on MLPerf Tiny's keyword spotting).
"""

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.config import cache_folder
from edgekit.devices import Driver
from edgekit.devices.emulated import root
from edgekit.errors import DeviceError, EdgekitError, MissingTool, Unsupported
from edgekit.profiles import Block, Device, DeviceConfig, Output, Run, Stand, State

LOOK_S = 60
"""How long Python may take to start under emulation, on a busy machine."""

CLOSE_S = 5.0
"""How long a folder may resist being removed."""

SAID = "said.txt"
"""What a block's process printed, in its folder."""

NO_CORE = "max is no real core, and LiteRT computes wrongly on it. fix: name a core, such as cortex-a76"
"""What is wrong with the name ``max`` (see above)."""


def system_folder() -> Path:
    """The folder with the aarch64 system."""
    return cache_folder() / "emulators" / "arm64"


def _places() -> Path:
    """The folder of everything that is opened; `edgekit.profiles.Stand.place` may be the name alone."""
    return cache_folder() / "places"


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
        device = Device(id=name, kind="emulated", title="arm64 under qemu", times=False, config=config)
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
        try:
            done = subprocess.run(
                _command(device, str(place), "look"),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LOOK_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"Python did not start under qemu within {LOOK_S} s.", place=device.id, fix="try it again"
            ) from error
        if done.returncode:
            words = (done.stderr.decode("utf8", "replace").strip().splitlines() or ["nothing"])[-1]
            raise DeviceError(
                f"Python does not run under qemu: {words[:300]}",
                place=device.id,
                fix="name a core that qemu-aarch64-static -cpu help lists, such as cortex-a76",
            )
        return runner.seen(done.stdout, device.id)

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
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        folder.mkdir()
        stand = Stand(place=str(folder), model=str(folder / artifact.name), inputs=str(folder / "inputs.npz"))
        try:
            shutil.copyfile(artifact, stand.model)
            shutil.copyfile(inputs, stand.inputs)
            (folder / runner.PROGRAM).write_bytes(runner.program())
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DeviceError(
                f"The files cannot be put in place: {error.strerror}.",
                place=str(error.filename or folder),
                fix="free some space, or choose another folder with EDGEKIT_CACHE",
            ) from error
        return stand

    def run(self, device: Device, stand: Stand, run: Run, out: Path) -> Block:
        """The outputs of every sample; no other mode."""
        if run.mode != "outputs":
            raise Unsupported(
                "Times under emulation mean nothing, so none are measured.",
                place=device.id,
                fix="measure on a real device: edgekit devices lists those attached",
            )
        command = _command(device, str(Path(stand.place) / runner.PROGRAM))
        folder = Path(stand.place) / "block"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
        except OSError as error:
            raise DeviceError(
                "What was put in place for this run is gone.",
                place=stand.place,
                fix="run it again, without removing files of the cache meanwhile",
            ) from error
        (folder / runner.ORDER).write_bytes(runner.order(stand, run, str(folder)))
        code = _carried_out([*command, str(folder), "follow"], folder, runner.limit_s(run))
        answer = folder / runner.ANSWER
        seen = runner.block(
            answer.read_bytes() if answer.is_file() else b"",
            code=code,
            place=f"{Path(stand.model).name} on {device.id}",
            last_words=(folder / SAID).read_text(encoding="utf8", errors="replace"),
        )
        shutil.move(folder / "outputs.npz", out / "outputs.npz")
        return Block(runtime=seen.runtime, outputs="outputs.npz", notes=(f"emulated {_core(device)}",))

    def close(self, device: Device, stand: Stand) -> None:  # noqa: ARG002
        """Remove the folder, which its name alone tells."""
        folder = _places() / Path(stand.place).name
        end = time.monotonic() + CLOSE_S
        while folder.exists():  # a process that is just ending may still write into it
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists() and time.monotonic() > end:
                raise DeviceError(
                    "A folder cannot be removed.", place=str(folder), fix=f"remove it by hand: rm -r {folder}"
                )


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


def _command(device: Device, *arguments: str) -> list[str]:
    """The system's Python under qemu.

    Raises:
        MissingTool: it is not set up.
    """
    system = system_folder()
    python = str(system / "usr" / "bin" / f"python{root.PYTHON}")
    return [_ready(device), "-cpu", _core(device), "-L", str(system), python, *arguments]


def _environment() -> dict[str, str]:
    """This host's, without what is meant for its own Python and loader."""
    system, hidden = system_folder(), ("PYTHON", "LD_", "QEMU_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    return kept | {"PYTHONHOME": str(system / "usr"), "PYTHONPATH": str(system / "wheels")}


def _carried_out(command: list[str], folder: Path, limit_s: float) -> int:
    """Run a block's process to its end; its exit code. It ends with this one, because its standard input does.

    Raises:
        DeviceError: it takes longer than it may.
    """
    with (
        (folder / SAID).open("wb") as said,
        subprocess.Popen(command, env=_environment(), stdin=subprocess.PIPE, stdout=said, stderr=said) as process,
    ):
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"It did not answer within {limit_s:g} s.",
                place=command[5],
                fix="use fewer samples, or a smaller model",
            ) from error
        finally:
            process.kill()


def _write(file: Path, content: bytes) -> None:
    """Write a file that another process may write too."""
    made = file.with_name(f"{file.name}.{os.getpid()}")
    made.write_bytes(content)
    made.replace(file)


def _sweep(places: Path) -> None:
    """Remove what killed runs left."""
    for left in places.iterdir():
        if runner.abandoned(left.name):
            shutil.rmtree(left, ignore_errors=True)
