"""Compare what a device computes with what this host computes."""

from edgekit.engine.session import Session
from edgekit.errors import InputError, Unsupported
from edgekit.measure import discovery, protocol, record
from edgekit.measure.measurement import run_of, verified
from edgekit.measure.protocol import Bench, MeasurementSettings
from edgekit.measure.subject import Measurable, write_inputs
from edgekit.nouns.profile import Device, DeviceVerification


def refuse_host(device: Device) -> None:
    """Refuse this host if another device is needed.

    Raises:
        InputError: the device is this host.
    """
    if device.id == discovery.LOCAL:
        raise InputError(
            "This host is what a device is compared with.",
            place="--verify-on",
            fix="name another device: edgekit devices lists them, edgekit devices add arm64-emulated makes one",
        )


def verify_on(
    session: Session, device: Device, file: Measurable, settings: MeasurementSettings
) -> tuple[str, DeviceVerification]:
    """Compare a file's outputs on a device with this host's, and put the verdict into its manifest.

    Returns:
        The file's name, and the verdict.

    Raises:
        As `edgekit.verbs.profile.profile`.
    """
    refuse_host(device)
    bench = Bench(session, device)
    session.progress.plan(1)
    with protocol.workbench() as out:
        inputs = out / "inputs.npz"
        write_inputs(session, file, settings.inputs, settings.protocol.seed, inputs)
        found, unavailable = verified(bench, file, inputs, run_of(file, device, settings), out / "outputs")
    if found is None:
        raise Unsupported(unavailable["verification"], place=f"device {device.id}", fix="choose another device")
    if file.manifest is not None:
        record.verified(file.manifest, file.name, found)
    return file.name, found
