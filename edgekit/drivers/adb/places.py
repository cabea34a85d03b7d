"""Folders of edgekit on a phone, and the sweep of those that dead runs left.

Whose they are and which are dead, `edgekit.runner` knows. Other hosts' places are never touched.
"""

import shlex

from edgekit import runner
from edgekit.drivers.adb.bridge import Phone

FOLDER = "/data/local/tmp"
"""Where adb's shell user may write and run files."""

PROCESSES, RESTORE = "processes", "restore.json"
"""Files of a place beside `edgekit.runner.OWNER`: what runs there, and what is to be put back."""


def path(place: str) -> str:
    """A place's path on the phone, by its name or path.

    Raises:
        ValueError: it is not called as edgekit's places are, so nothing there may be removed.
    """
    name = place.rpartition("/")[2]
    if not name.startswith(runner.PLACE):
        raise ValueError(f"{place!r} is no place of edgekit")
    return f"{FOLDER}/{name}"


def listed(phone: Phone) -> dict[str, str]:
    """Every place on a phone → what its ``owner`` file holds.

    Raises:
        DeviceError: it does not answer.
    """
    each = f'[ -d "$d" ] && echo "$d" "$(cat "$d/{runner.OWNER}" 2>/dev/null)"'
    line = f"cd {FOLDER} && for d in {runner.PLACE}*; do {each}; done; true"
    rows = [row.partition(" ") for row in phone.shell(line).stdout.splitlines()]
    return {name: written.strip() for name, _, written in rows}


def left(phone: Phone, here: str) -> tuple[str, ...]:
    """Names of the places that dead runs of this host left, and of one that is called as the new one (``here``).

    Raises:
        DeviceError: the phone does not answer.
    """
    return tuple(name for name, written in listed(phone).items() if name == here or runner.abandoned(name, written))


def beside(phone: Phone, here: str) -> tuple[str, ...]:
    """Names of the places of this host's living runs, other than ``here``: what is in use at the same time.

    Raises:
        DeviceError: the phone does not answer.
    """
    return tuple(
        name
        for name, written in listed(phone).items()
        if name != here and runner.maker(name) is not None and not runner.abandoned(name, written)
    )


def remove(phone: Phone, place: str) -> str:
    """End what still runs for a place (a path) and delete it; what could not be deleted, empty if nothing.

    Raises:
        DeviceError: it does not answer.
    """
    folder = shlex.quote(place)
    ended = f"grep -qF {folder} /proc/$p/cmdline && kill -9 $p"
    # What just ended may still write, so a second try follows.
    gone = f"rm -rf {folder} 2>/dev/null"
    line = (
        f"{{ for p in $(cat {folder}/{PROCESSES}); do {ended}; done; }} 2>/dev/null; "
        f"{gone} || {{ sleep 1; {gone}; }}; [ -e {folder} ] && echo {folder}; true"
    )
    return phone.shell(line).stdout.strip()
