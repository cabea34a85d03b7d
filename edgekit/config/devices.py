"""The user's own ``devices.toml``, and the devices that a project brings."""

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.config import toml
from edgekit.errors import InputError
from edgekit.host import replacing
from edgekit.host.ownership import writing
from edgekit.nouns import leaves
from edgekit.nouns.base import Noun
from edgekit.nouns.profile import DeviceConfig

if TYPE_CHECKING:
    from edgekit.config.project import Project


class DeviceFile(Noun, frozen=True, kw_only=True):
    """What ``devices.toml`` holds: a table ``[devices.ID]`` for each device that is not discovered by itself."""

    devices: dict[str, DeviceConfig] = {}


def devices_file() -> Path:
    """The user's own ``devices.toml``: in ``EDGEKIT_CONFIG``, or the platform's folder for settings."""
    named = os.environ.get("EDGEKIT_CONFIG")
    if named:
        return Path(named) / "devices.toml"
    import platformdirs  # noqa: PLC0415  only measuring needs it

    return platformdirs.user_config_path("edgekit") / "devices.toml"


def devices(given: "Project | None" = None) -> dict[str, DeviceConfig]:
    """Every configured device by id: those of a project, and above them the user's own.

    Raises:
        InputError: something in the file is wrong; the key and the remedy are named.
    """
    file = devices_file()
    found: DeviceFile = toml.convert(toml.read(file), DeviceFile, file) if file.is_file() else DeviceFile()
    return (given.devices if given is not None else {}) | checked(found.devices, file, file.parent)


def checked(found: dict[str, DeviceConfig], file: Path, folder: Path) -> dict[str, DeviceConfig]:
    """The devices of a file with proper names, and with paths of this host below ``folder``."""
    made = {}
    for name, device in found.items():
        place = f"{file}: {toml.join('devices', name)}"
        check_device_name(name, place)
        place_of = partial(toml.join, place)
        check_device_keys(device.kind, device_table(device).keys() - {"kind"}, place_of)
        made[name] = _reachable(device, folder, place_of)
    return made


def check_device_name(name: str, place: str) -> None:
    """Refuse a name that no device can have.

    Raises:
        InputError: it is no plain word, or that of this host.
    """
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII) or name == "local":
        fix = "use letters, digits, . _ and -; local is this host"
        raise InputError(f"{name!r} is no name for a device.", place=place, fix=fix)


def check_device_keys(
    kind: str, given: Iterable[str], place: Callable[[str], str], written: Callable[[str], str] = str
) -> None:
    """Refuse keys that a kind of device would not read.

    Args:
        kind: of the device; unknown ones and a third party's may read any.
        given: the keys.
        place: gives a key's place.
        written: gives a key as the user writes it.

    Raises:
        InputError: one is of another kind.
    """
    known = leaves.driver(kind).keys
    for key in sorted(given):
        if known is not None and key not in known:
            raise InputError(
                f"A device of kind {kind} has no {key.replace('_', ' ')}.",
                place=place(key),
                fix=f"leave it out; this kind takes {', '.join(map(written, sorted(known)))}",
            )


def _reachable(device: DeviceConfig, folder: Path, place: Callable[[str], str]) -> DeviceConfig:
    """A device whose files on this host are absolute paths, relative ones being below ``folder``.

    ``place`` gives a key's place, for complaints.
    """
    here = ("key", "known_hosts", *(("python", "delegate_library") if device.kind == "local" else ()))
    given = {name: value for name in here if (value := getattr(device, name)) is not None and "/" in value}
    given |= {name: value for name in ("key", "known_hosts") if (value := getattr(device, name)) is not None}
    paths = {name: _below(folder, value, place(name)) for name, value in given.items()}
    return msgspec.structs.replace(device, **paths)


def _below(folder: Path, value: str, place: str) -> str:
    try:
        return str(folder / Path(value).expanduser())
    except RuntimeError as error:  # ~name, and nobody here has that name
        raise InputError(f"There is no home folder for {value}.", place=place, fix="write the whole path") from error


def write_device(name: str, made: DeviceConfig) -> None:
    """Put a device into the user's own ``devices.toml``; what else stands there stays as it is.

    Raises:
        InputError: the name is no plain word, or the file cannot be read or written.
    """
    check_device_name(name, "NAME")
    reachable = _reachable(made, Path.cwd(), lambda key: f"--{key.replace('_', '-')}")

    def put(tables: Any) -> None:
        tables[name] = device_table(reachable)

    _edit_devices(put)


def device_table(device: DeviceConfig) -> dict[str, Any]:
    """What a device's table holds: its kind, and every key that is not as it would be without."""
    plain = msgspec.to_builtins(device)
    defaults = msgspec.to_builtins(DeviceConfig(kind=device.kind))
    return {key: value for key, value in plain.items() if key == "kind" or value != defaults[key]}


def remove_device(name: str) -> None:
    """Take a device out of the user's own ``devices.toml``.

    Raises:
        InputError: it is not there.
    """
    known = tuple(devices())
    if name not in known:
        raise InputError(
            f"{devices_file().name} holds no device {name}.",
            place=str(devices_file()),
            fix=toml.nearest(name, known, 0.75) or f"it holds: {', '.join(known) or 'nothing'}",
        )
    _edit_devices(lambda tables: tables.pop(name))


def _edit_devices(change: Callable[[Any], object]) -> None:
    """Change the table of devices; comments and order are kept, and the file is replaced whole."""
    import tomlkit  # noqa: PLC0415  only here, and a tenth of a second

    file = devices_file()
    devices()  # complains about a file that is wrong, before it is changed
    file.parent.mkdir(parents=True, exist_ok=True)
    with writing(file.parent):
        document = tomlkit.parse(file.read_text(encoding="utf8")) if file.is_file() else tomlkit.document()
        if "devices" not in document:
            document["devices"] = tomlkit.table(is_super_table=True)
        change(document["devices"])
        replacing.write(file, tomlkit.dumps(document).encode())
