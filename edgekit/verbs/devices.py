"""The devices that are attached or configured, with their meters."""

from edgekit.engine.session import Session
from edgekit.errors import DeviceError
from edgekit.measure import discovery
from edgekit.nouns.profile import Device
from edgekit.nouns.sensing import Availability


def devices(session: Session, configured: discovery.Configured) -> list[tuple[Device, dict[str, Availability]]]:
    """Every device, this host first, with what can measure its energy; what is wrong with one is among its problems.

    Args:
        session: whose workers look.
        configured: devices by id (`edgekit.config.devices`).
    """
    return [(device, meters(session, device)) for device in discovery.find(session, configured)]


def meters(session: Session, device: Device) -> dict[str, Availability]:
    """What a device offers; one that stops answering meanwhile offers nothing."""
    if not device.usable or not device.times:
        return {}
    try:
        return discovery.meters(session, device)
    except DeviceError as error:
        return {"all": Availability(reason=error.problem, fix=error.fix)}
