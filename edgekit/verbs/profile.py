"""Measure files on a device, one after the other."""

from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.measure.measurement import measure, steps
from edgekit.measure.protocol import Bench, MeasurementSettings
from edgekit.measure.subject import Measurable
from edgekit.nouns import leaves
from edgekit.nouns.profile import Device
from edgekit.nouns.results import Measured


def profile(session: Session, device: Device, files: list[Measurable], settings: MeasurementSettings) -> list[Measured]:
    """Measure each file on its own, one after the other, and record what was seen.

    Raises:
        DeviceError: the device went away; what it had been given is taken back at the next run.
        MissingTool: the device has no runtime for the file.
        Unsupported: the device cannot run the file.
    """
    bench = Bench(session, device)
    session.progress.plan(len(files) * steps(device, settings))
    return [one for file in files for one in measure(bench, [file], settings)]


def require_fit(device: Device, settings: MeasurementSettings) -> None:
    """Refuse settings of another kind of device.

    Raises:
        InputError: they name Android's tool, and the device is no phone.
    """
    if settings.run.benchmark_binary is not None and leaves.driver(device.kind).system != "android":
        raise InputError(
            f"{device.title} runs no benchmark_model; only phones do.", place="--benchmark-binary", fix="leave it out"
        )
