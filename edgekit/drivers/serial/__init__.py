"""A microcontroller at a serial port whose firmware speaks the commands of MLPerf Tiny.

It runs what was flashed into it: edgekit cannot flash. That the flashed model is the file at hand is
checked by the size of its input and shown by its outputs alone.

| block | what is done |
| --- | --- |
| time | ``infer n 0`` again and again; each pair of ``m-lap-us`` is one sample |
| outputs | the input by ``db load``, ``infer 1 0``, and ``m-results`` in the file's terms |
| idle | nothing, between two ``timestamp`` commands |

Memory, initialization and operators are not told over this protocol. Energy: a firmware in energy mode
prints no times; it pulls a pin low for at least 1 µs at each timestamp, which is the edge by which an
external meter with an input (Joulescope's GPI) finds the block in its own trace.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from edgekit.drivers import Driver
from edgekit.drivers.serial import blocks, protocol
from edgekit.drivers.serial.monitor import Monitor
from edgekit.errors import DeviceError, EdgekitError, InputError, Unsupported
from edgekit.nouns.profile import Block, Deployment, Device, DeviceConfig, Output, Run, State
from edgekit.runner import here
from edgekit.waist.tensors import arrays


class Serial(Driver):
    """Boards at serial ports; none is found without being configured, for asking a wrong port may harm."""

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """Every configured board, asked for its name and what is flashed."""
        with ThreadPoolExecutor(max(len(configured), 1)) as pool:
            return tuple(pool.map(_found, configured, configured.values()))

    def state(self, device: Device) -> State:
        """Only the time; the protocol tells no temperature and no clock."""
        with _monitor(device):
            return State(utc=datetime.now(UTC).isoformat(timespec="seconds"))

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:  # noqa: ARG002
        """Every line answers 127: there is no shell."""
        return tuple(Output(code=127, stdout="", stderr="a microcontroller has no shell") for _ in lines)

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:  # noqa: ARG002
        """Check that what is flashed can be this file, and keep it and the inputs here: a board keeps nothing."""
        if artifact.suffix != ".tflite":
            raise Unsupported(
                f"A microcontroller is compared with a .tflite file, not {artifact.suffix}.",
                place=artifact.name,
                fix="name the .tflite file that its firmware was built from",
            )
        if not artifact.is_file():
            raise InputError("There is no such file.", place=str(artifact), fix="check the path")
        given, _ = blocks.signature(artifact)
        with _monitor(device) as monitor:
            model = monitor.identity.model
        known, size = protocol.MODELS.get(model), math.prod(given.shape) * np.dtype(given.dtype).itemsize
        if known is not None and known.feeds == "real":
            size = math.prod(given.shape) * 4
        if known is not None and known.input_bytes != size:
            raise Unsupported(
                f"The board has {model} flashed, whose input has {known.input_bytes} bytes; the file's has {size}.",
                place=artifact.name,
                fix=blocks.FLASH,
            )
        return here.open_place(place, artifact, inputs)

    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """One block; opening the port restarts most boards, which is their fresh process."""
        if run.mode == "operators":
            raise Unsupported(
                "The firmware tells no times of operators.", place=device.id, fix="leave out --ops for this device"
            )
        here.place_of(deployment)
        with _monitor(device) as monitor:
            if run.mode == "idle":
                return blocks.idle(monitor, run)
            given, made = blocks.signature(Path(deployment.model))
            samples = arrays(Path(deployment.inputs))[given.name]
            if run.mode == "outputs":
                return blocks.outputs(monitor, given, made, samples, out)
            blocks.load(monitor, given, samples[0])
            return blocks.timed(monitor, run, out)

    def close(self, device: Device, deployment: Deployment) -> None:  # noqa: ARG002
        """Remove what is kept here; nothing stays on the board."""
        here.close_place(deployment)


def _found(name: str, config: DeviceConfig) -> Device:
    title = f"board at {config.serial_port}" if config.serial_port else name
    device = Device(id=name, kind="serial", title=title, config=config)
    try:
        with _monitor(device) as monitor:
            vendor, firmware, model = monitor.identity
    except EdgekitError as error:
        problem = f"{error.problem} fix: {error.fix}"
        return msgspec.structs.replace(device, usable=False, problems=(problem,))
    return msgspec.structs.replace(
        device,
        title=f"{vendor or 'a board'} at {config.serial_port}, {model or 'an unnamed model'} flashed",
        cpu=vendor or None,
        runs=(".tflite",),
        runtimes={firmware or "unnamed firmware": model or "unnamed model"},
        delegates=("none",),
    )


def _monitor(device: Device) -> Monitor:
    config = device.config
    if config is None or config.serial_port is None:
        raise DeviceError(
            "No port is configured for this board.",
            place=f"devices.{device.id}",
            fix='add serial_port = "/dev/ttyACM0" to its table',
        )
    return Monitor(config.serial_port, config.baud)
