"""``edgekit devices``."""

from typing import Any

import click
import msgspec

from edgekit import config
from edgekit.cli import options, trusting
from edgekit.cli.console import say
from edgekit.config import toml
from edgekit.engine import registry
from edgekit.engine.session import Session
from edgekit.errors import DeviceError, EdgekitError, InputError, MissingTool
from edgekit.measure import discovery
from edgekit.nouns import leaves
from edgekit.nouns.profile import Device, DeviceConfig
from edgekit.nouns.sensing import Availability
from edgekit.report import profiles as screens
from edgekit.verbs import devices as verbs


@click.group(invoke_without_command=True)
@trusting.trust_option
@options.json_option
@click.pass_context
def verb(context: click.Context, *, as_json: bool, trust_project: bool) -> int:
    """List what is attached, what each device can run, and what is wrong with it.

    \b
    edgekit devices
    edgekit devices add pi5 --host pi5.local --user pi
    edgekit devices check pi5
    edgekit devices add arm64-emulated
    """
    if context.invoked_subcommand is not None:
        return 0
    configured, left_out = trusting.all_devices(trusted=trust_project)
    with options.session(options.stderr()) as session:
        found = verbs.devices(session, configured)
    options.stdout(as_json=as_json).print(screens.devices(found))
    if left_out:
        names = f"{config.FILE_NAME} here names {', '.join(left_out)}"
        say(f"{names}, which needs your trust: look at the file, then add --trust-project")
    if as_json:
        options.print_json({"devices": [_document(*row) for row in found]})
    return 0


def _document(device: Device, offers: dict[str, Availability]) -> dict[str, Any]:
    meters = {
        name: {"works": offer.probe is not None, "reason": offer.reason, "fix": offer.fix}
        for name, offer in offers.items()
    }
    plain: dict[str, Any] = msgspec.to_builtins(device)
    return plain | {"meters": meters}


@verb.command()
@click.argument("name")
@click.option("--kind", help="Kind of device.  [default: ssh]")
@click.option("--host", help="Host name or address of a board.")
@click.option("--user", help="Login name on the board.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the SSH server.  [default: 22]")
@click.option("--key", metavar="FILE", help="Private key file.  [default: the agent's keys]")
@click.option("--known-hosts", metavar="FILE", help="File of accepted host keys.  [default: ~/.ssh/known_hosts]")
@click.option("--python", metavar="PATH", help="Python interpreter on the device.  [default: python3]")
@click.option("--delegate-library", metavar="PATH", help="Edge TPU delegate library on the device.")
@click.option("--serial-port", metavar="PATH", help="Serial port of a microcontroller, for example /dev/ttyACM0.")
@click.option("--baud", type=click.IntRange(1, 2**31 - 1), help="Baud rate of the serial port.  [default: 115200]")
@click.option("--cpu", metavar="CORE", help="CPU core to emulate.  [default: cortex-a76]")
@click.option("--supply-mv", type=click.IntRange(1, 2**31 - 1), help="Supply voltage in mV, for a PPK2.")
@options.json_option
def add(name: str, *, kind: str | None, as_json: bool, **flags: Any) -> int:
    """Configure a device in your own devices.toml, and look whether it answers.

    \b
    edgekit devices add pi5 --host pi5.local --user pi --key ~/.ssh/id_ed25519
    edgekit devices add mcu --kind serial --serial-port /dev/ttyACM0
    edgekit devices add arm64-emulated

    It takes the place of a device of that name.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    kind = kind or _kind(name, given)
    if kind not in registry.names("drivers"):
        raise discovery.no_kind(kind, "--kind")
    config.check_device_name(name, "NAME")
    _check_given(kind, given)
    made, before = DeviceConfig(kind=kind, **given), config.devices().get(name)
    console = options.stderr()
    with options.session(console) as session:
        registry.require("drivers", kind)
        if takes := leaves.driver(kind).set_up:
            console.print(f"setting up {name}, for {takes}; what it does is logged in {session.log}")
            session.progress.begin(f"setting up {name}")
        remarks = session.driver(kind).set_up(made)
        config.write_device(name, made)
    for remark in (*remarks, f"{name} is written to {config.devices_file()}", *_replaced(name, before)):
        say(remark)
    code = _check(name, config.devices(), as_json=as_json)
    if code:
        say(f"It stays configured; edgekit devices remove {name} takes it out again.")
    return code


def _kind(name: str, given: dict[str, Any]) -> str:
    """The kind of device that a user means: the one that such a name or such options belong to."""
    rows = leaves.DRIVERS
    usual = next((kind for kind, row in rows.items() if row.usual_id == name), None)
    return usual or next((kind for kind, row in rows.items() if row.needed and given.get(row.needed[0])), "ssh")


def _check_given(kind: str, given: dict[str, Any]) -> None:
    """Refuse options that lack what the kind needs, or that it would not read."""
    config.check_device_keys(kind, given, _option, _option)
    needed = leaves.driver(kind).needed
    if needed is None:
        return
    key, why, example = needed
    if not given.get(key):
        raise InputError(why, place=_option(key), fix=f"add {_option(key)} {example}")


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _replaced(name: str, before: DeviceConfig | None) -> tuple[str, ...]:
    """What stood under a name, for people who want it back; nothing if it is the same."""
    if before is None or before == config.devices()[name]:
        return ()
    table = ", ".join(f"{key} = {toml.shown(value)}" for key, value in config.device_table(before).items())
    return (f"it takes the place of: {table}",)


@verb.command()
@click.argument("name")
def remove(name: str) -> int:
    """Take a device out of your own devices.toml.

    \b
    edgekit devices remove pi5
    """
    config.remove_device(name)
    say(f"{name} is no longer in {config.devices_file()}")
    return 0


@verb.command()
@click.argument("name")
@trusting.trust_option
@options.json_option
def check(name: str, *, as_json: bool, trust_project: bool) -> int:
    """Look at one device closely: runtimes, state, meters, and what is wrong.

    \b
    edgekit devices check pi5
    """
    return _check(name, trusting.devices(trusted=trust_project, wanted=name), as_json=as_json)


def _check(name: str, configured: dict[str, DeviceConfig], *, as_json: bool) -> int:
    with options.session(options.stderr()) as session:
        device, error = _reached(session, name, configured)
        offers = verbs.meters(session, device) if device.usable else {}
    options.stdout(as_json=as_json).print(screens.device(device, offers))
    if as_json:
        options.print_json(_document(device, offers))
    return 0 if error is None else error.exit_code


def _reached(session: Session, name: str, configured: dict[str, DeviceConfig]) -> tuple[Device, EdgekitError | None]:
    """The device, usable or not."""
    try:
        return discovery.choose(session, configured, name, "NAME"), None
    except (DeviceError, MissingTool) as error:
        kinds = discovery.kinds_of(configured, name)
        found = discovery.find(session, {k: v for k, v in configured.items() if k == name}, kinds)
        return next(device for device in found if device.id == name), error
