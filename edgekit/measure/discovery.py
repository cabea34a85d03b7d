"""Finding devices, and the meters that each offers."""

import itertools
from concurrent.futures import ThreadPoolExecutor

from edgekit.config import toml
from edgekit.engine import registry
from edgekit.engine.session import Session
from edgekit.errors import CancelledError, DeviceError, EdgekitError, InputError, MissingTool
from edgekit.nouns import leaves
from edgekit.nouns.profile import Device, DeviceConfig, Output
from edgekit.nouns.sensing import Availability

LOCAL = "local"
"""The id, and the leaf, of this host."""

Configured = dict[str, DeviceConfig]


def find(session: Session, configured: Configured, kinds: tuple[str, ...] | None = None) -> list[Device]:
    """Everything attached or configured, this host first; a kind that cannot be looked for is a problem of its own.

    Args:
        session: whose workers look.
        configured: devices by id (`edgekit.config.devices`).
        kinds: leaves to ask; those that can have a device without, and then tables of other kinds are problems too.
    """
    used = {config.kind for config in configured.values()}
    asked = kinds or tuple(name for name in registry.names("drivers") if name in used or leaves.driver(name).discovered)
    with ThreadPoolExecutor(max(len(asked), 1)) as pool:
        found = list(pool.map(lambda kind: _find(session, kind, configured), asked))
    every = list(itertools.chain.from_iterable(found))
    if kinds is None:
        known = registry.names("drivers")
        odd = {name: config for name, config in configured.items() if config.kind not in known}
        every += [
            _unreached(name, config, no_kind(config.kind, f"devices.{name}.kind")) for name, config in odd.items()
        ]
    return sorted(every, key=lambda device: (device.id != LOCAL, not device.usable, device.kind, device.id))


def _find(session: Session, kind: str, configured: Configured) -> tuple[Device, ...]:
    own = {name: config for name, config in configured.items() if config.kind == kind}
    try:
        registry.require("drivers", kind)
        devices = session.driver(kind).find(own)
    except CancelledError:
        raise
    except EdgekitError as error:
        missing = Device(id=kind, kind=kind, title=f"devices over {kind}", usable=False, problems=(_words(error),))
        return tuple(_unreached(name, config, error) for name, config in own.items()) or (missing,)
    return devices


def _unreached(name: str, config: DeviceConfig, error: EdgekitError) -> Device:
    return Device(
        id=name, kind=config.kind, title=config.host or name, usable=False, problems=(_words(error),), config=config
    )


def _words(error: EdgekitError) -> str:
    return f"{error.problem} fix: {error.fix}" if error.fix else error.problem


def no_kind(kind: str, place: str) -> InputError:
    """The complaint that there is no such kind of device, with those that there are."""
    return InputError(
        f"There is no kind of device named {kind}.",
        place=place,
        fix=f"choose one of: {', '.join(registry.names('drivers'))}",
    )


def choose(session: Session, configured: Configured, wanted: str | None, place: str = "--device") -> Device:
    """The device of an id; this host if none is given.

    Args:
        session: whose workers look.
        configured: devices by id (`edgekit.config.devices`).
        wanted: the id.
        place: what named it, for complaints.

    Raises:
        InputError: nothing of that id is attached or configured.
        MissingTool: it answers, but lacks what a measurement needs; the command that installs it is given.
        DeviceError: it is not usable for another reason; its problems are named.
    """
    name = wanted or LOCAL
    kinds = kinds_of(configured, name)
    if unknown := set(kinds) - set(registry.names("drivers")):
        raise no_kind(unknown.pop(), f"devices.{name}.kind")
    found = find(session, {name: configured[name]} if name in configured else {}, kinds)
    device = next((device for device in found if device.id == name), None)
    if device is None:
        known = (LOCAL, *configured, *(d.id for d in found if d.id != d.kind))
        only_to_add = any(row.usual_id == name for row in leaves.DRIVERS.values())
        near = f"edgekit devices add {name}" if only_to_add else toml.nearest(name, known, 0.75)
        reasons = [problem for d in found if not d.usable for problem in d.problems]
        raise InputError(
            f"There is no device {name}." + (f" {reasons[0]}" if reasons else ""),
            place=place,
            fix=near or "edgekit devices lists what is attached; edgekit devices add configures a board",
        )
    if not device.usable:
        raise _unusable(device)
    return device


def kinds_of(configured: Configured, name: str) -> tuple[str, ...]:
    """The kinds of device that one of this id can be of."""
    if name == LOCAL:
        return (LOCAL,)
    if name in configured:
        return (configured[name].kind,)
    return tuple(kind for kind, row in leaves.DRIVERS.items() if row.discovered and kind != LOCAL)


def _unusable(device: Device) -> EdgekitError:
    """Why a device cannot be used. One whose system is known answers: then something is to be installed there."""
    kind = DeviceError if device.os is None else MissingTool
    first, _, fix = next(iter(device.problems), "it does not answer").partition(" fix: ")
    return kind(
        f"{device.title} cannot be used: {'; '.join((first.rstrip('.;'), *device.problems[1:]))}.",
        place=f"device {device.id}",
        fix=fix or f"mend that, then see: edgekit devices check {device.id}",
    )


def _offered(session: Session, name: str, device: Device, seen: tuple[Output, ...]) -> Availability:
    """What a meter says of a device; one that fails keeps no other from being used."""
    try:
        return session.meter(name).available(device, seen)
    except CancelledError:
        raise
    except EdgekitError as error:
        return Availability(reason=error.problem, fix=error.fix)


def meters(session: Session, device: Device) -> dict[str, Availability]:
    """Whether each meter can measure on a device, by the meter's name."""
    lines: dict[str, tuple[str, ...]] = {}
    found: dict[str, Availability] = {}
    for name in registry.names("meters"):
        try:
            registry.require("meters", name)
            lines[name] = session.meter(name).look(device)
        except CancelledError:
            raise
        except EdgekitError as error:
            found[name] = Availability(reason=error.problem, fix=error.fix)
    every = tuple(line for name in lines for line in lines[name])
    outputs = session.driver(device.kind).execute(device, every) if every else ()
    for name, own in lines.items():
        seen, outputs = outputs[: len(own)], outputs[len(own) :]
        found[name] = _offered(session, name, device, seen)
    return dict(sorted(found.items()))
