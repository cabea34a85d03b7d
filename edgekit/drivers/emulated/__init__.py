"""ARM without a board: the real aarch64 LiteRT under qemu, playing a named core.

It runs an artifact on the kernels that a phone runs and brings back outputs, so that arithmetic can be
proven without a phone. Times under emulation mean nothing: it never reports one, nor memory.

The core must be named: with ``-cpu max`` qemu 7.2 offers SME, with which LiteRT's float kernels come
out wrong and 60 times slower (tried on MLPerf Tiny's keyword spotting).
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.drivers import Driver
from edgekit.drivers.emulated import root
from edgekit.errors import EdgekitError, InputError, MissingTool, Unsupported
from edgekit.host.cachedir import cache_folder
from edgekit.nouns import leaves
from edgekit.nouns.profile import Block, Deployment, Device, DeviceConfig, Output, Run, State
from edgekit.runner import here


def system_folder() -> Path:
    """The folder with the aarch64 system."""
    return cache_folder() / "emulators" / "arm64"


class Emulated(Driver):
    """Runs TFLite files on an emulated aarch64 core of this host."""

    def set_up(self, config: DeviceConfig) -> tuple[str, ...]:
        """Unpack the aarch64 system into the cache (22 s on an idle machine, 75 MB fetched, 225 MB kept).

        Raises:
            InputError: the core is ``max``.
            MissingTool: qemu or debootstrap is not installed.
        """
        _check_named(config.cpu)
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
            _check_named(config.cpu)
            seen = runner.described(device, self._look(device))
        except EdgekitError as error:
            problem = f"{error.problem} fix: {error.fix}"
            return msgspec.structs.replace(device, usable=False, problems=(problem,))
        return msgspec.structs.replace(seen, cpu=config.cpu, delegates=("xnnpack", "none"), state=None)

    def _look(self, device: Device) -> runner.MachineSeen:
        fix = "name a core that qemu-aarch64-static -cpu help lists, such as cortex-a76"
        return here.look(_python(device), device, fix=fix, environment=_environment())

    def state(self, device: Device) -> State:
        """Only the time: nothing of an emulated core can throttle."""
        _ready(device)
        return State(utc=datetime.now(UTC).isoformat(timespec="seconds"))

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:
        """Every line answers 127: there is no shell, and no sensor."""
        _ready(device)
        return tuple(Output(code=127, stdout="", stderr="an emulated core has no shell") for _ in lines)

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:  # noqa: ARG002
        """Make a folder in the cache with the file, its inputs and the runner."""
        if artifact.suffix != ".tflite":
            raise Unsupported(
                f"An emulated device runs .tflite files, not {artifact.suffix}.",
                place=artifact.name,
                fix="choose the artifact's .tflite file, or another device",
            )
        _ready(device)
        return here.open_place(place, artifact, inputs)

    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """The outputs of every sample; no other mode."""
        if run.mode != "outputs":
            raise Unsupported(
                "Times under emulation mean nothing, so none are measured.",
                place=device.id,
                fix="measure on a real device: edgekit devices lists those attached",
            )
        seen = here.run_block(_python(device), device, deployment, run, out, environment=_environment())
        return Block(runtime=seen.runtime, outputs=seen.outputs, notes=(f"emulated {_core(device)}",))

    def close(self, device: Device, deployment: Deployment) -> None:  # noqa: ARG002
        """Remove the folder."""
        here.close_place(deployment)


def _check_named(core: str) -> None:
    """Refuse ``max``, also with features after a comma, on which a verdict would say nothing (see above).

    Raises:
        InputError: it is that.
    """
    if core.partition(",")[0].strip() == "max":
        raise InputError(
            "max is no real core: it is all that qemu can do, and LiteRT computes wrongly on it.",
            place=f'cpu = "{core}"',
            fix="name a core that a phone or board has, such as cortex-a76",
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
            fix=leaves.driver("emulated").program_fix,
        )
    if root.read(system_folder()) is None:
        raise MissingTool("The arm64 system is not set up.", place=device.id, fix=f"edgekit devices add {device.id}")
    return program


def _python(device: Device) -> list[str]:
    """The command that starts the system's Python under qemu.

    Raises:
        MissingTool: it is not set up.
    """
    system = system_folder()
    python = str(system / "usr" / "bin" / f"python{root.PYTHON}")
    return [_ready(device), "-cpu", _core(device), "-L", str(system), python]


def _environment() -> dict[str, str]:
    """This host's, without what is meant for its own Python and loader."""
    system, hidden = system_folder(), ("PYTHON", "LD_", "QEMU_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    return kept | {"PYTHONHOME": str(system / "usr"), "PYTHONPATH": str(system / "wheels")}
