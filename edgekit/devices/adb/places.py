"""Folders of edgekit on a phone, and the sweep of those that dead runs left.

A place is named ``edgekit-HOST-PID-N`` after the process on this host that made it. A place is dead if
no such process runs on this host any more, or another one that got its number since (the place's
``owner`` file holds when the process started). Other hosts' places are never touched.
"""

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path

from edgekit.devices import PLACE
from edgekit.devices.adb.bridge import Phone

FOLDER = "/data/local/tmp"
"""Where adb's shell user may write and run files."""

OWNER, PROCESSES, RESTORE = "owner", "processes", "restore.json"
"""Files of a place: when its maker started, what runs there, and what is to be put back."""

_NAME = re.compile(rf"{re.escape(PLACE)}(?P<host>.+)-(?P<pid>\d+)-(?P<n>\d+)")


def path(place: str) -> str:
    """A place's path on the phone, by its name or path.

    Raises:
        ValueError: it is not called as edgekit's places are, so nothing there may be removed.
    """
    name = place.rpartition("/")[2]
    if not name.startswith(PLACE):
        raise ValueError(f"{place!r} is no place of edgekit")
    return f"{FOLDER}/{name}"


def born(pid: int) -> str | None:
    """When a process of this host started, in its own ticks; empty where the system does not tell, None: it is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it lives and belongs to somebody else
        pass
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf8").rpartition(")")[2].split()[19]
    return ""


def owner(name: str) -> str:
    """What a new place's ``owner`` file holds."""
    found = _NAME.fullmatch(name)
    return (born(int(found["pid"])) or "") if found else ""


def dead(name: str, written: str, here: str) -> bool:
    """Whether a place was left by a dead run of this host.

    Args:
        name: the place.
        written: the content of its ``owner`` file, empty if it has none.
        here: another place; it names this host.
    """
    mine, found = _NAME.fullmatch(here), _NAME.fullmatch(name)
    if mine is None or found is None or found["host"] != mine["host"]:
        return False
    now = born(int(found["pid"]))
    return now is None or bool(now and written and now != written)


def listed(phone: Phone) -> dict[str, str]:
    """Every place on a phone → what its ``owner`` file holds.

    Raises:
        DeviceError: it does not answer.
    """
    line = (
        f'cd {FOLDER} && for d in {PLACE}*; do [ -d "$d" ] && echo "$d" "$(cat "$d/{OWNER}" 2>/dev/null)"; done; true'
    )
    rows = [row.partition(" ") for row in phone.shell(line).stdout.splitlines()]
    return {name: written.strip() for name, _, written in rows}


def left(phone: Phone, here: str) -> tuple[str, ...]:
    """Names of the places that dead runs of this host left, and of one that is called as the new one (``here``).

    Raises:
        DeviceError: the phone does not answer.
    """
    return tuple(name for name, written in listed(phone).items() if name == here or dead(name, written, here))


def beside(phone: Phone, here: str) -> tuple[str, ...]:
    """Names of the places of this host's living runs, other than ``here``: what is in use at the same time.

    Raises:
        DeviceError: the phone does not answer.
    """
    mine = _NAME.fullmatch(here)
    return tuple(
        name
        for name, written in listed(phone).items()
        if mine is not None
        and name != here
        and (found := _NAME.fullmatch(name)) is not None
        and found["host"] == mine["host"]
        and not dead(name, written, here)
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
