"""This host: a fresh process of this Python for every block."""

import subprocess
import sys
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.drivers import Driver
from edgekit.errors import DeviceError, Unsupported
from edgekit.nouns.profile import Block, Deployment, Device, DeviceConfig, Output, Run, State
from edgekit.runner import here
from edgekit.runner.board import machine

LINE_S = 60.0
"""The longest that one shell line may take."""


class Local(Driver):
    """This host, and other interpreters on it that a table of this kind names by ``python``."""

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """This host as ``local``, then what is configured."""
        host = Device(id="local", kind="local", title="this host", delegates=("xnnpack", "none"))
        others = [
            Device(
                id=name,
                kind="local",
                title=f"{config.python} on this host",
                delegates=("xnnpack", *(("edgetpu",) if config.delegate_library else ()), "none"),
                config=config,
            )
            for name, config in configured.items()
            if config.kind == "local"
        ]
        return (runner.described(host, msgspec.convert(machine.look(), runner.MachineSeen)), *map(_looked, others))

    def state(self, device: Device) -> State:  # noqa: ARG002  there is one host
        """The host's state, read here and now."""
        return msgspec.convert(machine.state(), State)

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:  # noqa: ARG002
        """Each line in ``sh``; code 124 for one that takes longer than `LINE_S`, 127 for all without ``sh``."""
        return tuple(map(_execute, lines))

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:  # noqa: ARG002
        """Link the artifact and its companions into a folder of their own; changes nothing else."""
        if artifact.suffix not in device.runs:
            if artifact.suffix in machine.RUNTIMES:
                raise runner.missing(artifact.suffix, device.id, _python(device))
            raise Unsupported(
                f"This host runs {', '.join(device.runs)} files.", place=str(artifact), fix="name one of those"
            )
        library = device.config.delegate_library if device.config else None
        return msgspec.structs.replace(here.open_place(place, artifact, inputs), library=library)

    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """One process; it ends with this one."""
        return here.run_block([_python(device)], device, deployment, run, out)

    def close(self, device: Device, deployment: Deployment) -> None:  # noqa: ARG002
        """Remove the folder."""
        here.close_place(deployment)


def _python(device: Device) -> str:
    """The interpreter for a device: this one, unless its table names another."""
    named = device.config.python if device.config else "python3"
    return sys.executable if named == "python3" else named


def _looked(device: Device) -> Device:
    """A configured device as the runner sees it from that interpreter."""
    python = _python(device)
    try:
        return runner.described(device, here.look([python], device, fix=f"try it: {python} --version"))
    except DeviceError as error:
        problem = f"{error.problem} fix: {error.fix}"
        return msgspec.structs.replace(device, usable=False, problems=(*device.problems, problem))


def _execute(line: str) -> Output:
    try:
        done = subprocess.run(
            ["sh", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LINE_S,
            check=False,
        )
    except FileNotFoundError:
        return Output(code=127, stdout="", stderr="there is no sh here")
    except subprocess.TimeoutExpired:
        return Output(code=124, stdout="", stderr=f"it takes longer than {LINE_S:.0f} s")
    return Output(
        code=done.returncode, stdout=done.stdout.decode("utf8", "replace"), stderr=done.stderr.decode("utf8", "replace")
    )
