"""Asking whether a project's file may run what it names."""

import sys
from collections.abc import Collection
from pathlib import Path

import click

from edgekit import config
from edgekit.cli.console import say
from edgekit.config import FILE_NAME, Project
from edgekit.engine import trust
from edgekit.errors import InputError
from edgekit.nouns.profile import DeviceConfig

trust_option = click.option(
    "--trust-project", is_flag=True, help="Trust this edgekit.toml to run the code that it names, from now on."
)


def ensure(
    file: Path, project: Project, *, trusted: bool, said: Collection[str] = (), devices: Collection[str] = ()
) -> None:
    """Go on only if the user trusts what a project would run: now, or before with the same content.

    Args:
        file: the ``edgekit.toml``.
        project: what it holds.
        trusted: the user says so by ``--trust-project``.
        said: keys that flags decide instead.
        devices: those of its devices that are to be used.

    Raises:
        InputError: the user does not, or there is no terminal to ask.
    """
    request = trust.request(file, project, said, devices)
    if request is None or request.granted:
        return
    if not trusted and not _asked(request):
        raise InputError(
            f"{file.name} asks for what needs your trust: {'; '.join(request.effects)}.",
            place=str(file),
            fix="look at the file and at what it names; if you trust them, add --trust-project",
        )
    request.grant()


def _asked(request: trust.TrustRequest) -> bool:
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    say(f"{request.file} asks for what needs your trust:")
    for effect in request.effects:
        say(f"  {effect}")
    return click.confirm("Do you trust it?", default=False, err=True)


def devices(*, trusted: bool, wanted: str | None = None) -> dict[str, DeviceConfig]:
    """Every configured device by id: the user's own, and one of the current folder's project if it is ``wanted``.

    Raises:
        InputError: that one is not trusted, or a file is wrong.
    """
    own, project = config.devices(), here()
    if project is None or wanted is None or wanted in own or wanted not in project.devices:
        return own
    ensure(Path.cwd() / FILE_NAME, project, trusted=trusted, devices=(wanted,))
    return {wanted: project.devices[wanted]} | own


def all_devices(*, trusted: bool) -> tuple[dict[str, DeviceConfig], tuple[str, ...]]:
    """The same with every device of the current folder's project that is trusted, and the names of the others.

    Nothing is asked: a list does not need them all.
    """
    own, project = config.devices(), here()
    if project is None:
        return own, ()
    found, left = dict(own), []
    for name in project.devices.keys() - own.keys():
        request = trust.request(Path.cwd() / FILE_NAME, project, devices=(name,))
        if request is not None and trusted:
            request.grant()
        if request is None or trusted or request.granted:
            found[name] = project.devices[name]
        else:
            left.append(name)
    return found, tuple(sorted(left))


def here() -> Project | None:
    """The ``edgekit.toml`` of the current folder, which may configure devices."""
    return config.project(Path.cwd()) if (Path.cwd() / FILE_NAME).is_file() else None
