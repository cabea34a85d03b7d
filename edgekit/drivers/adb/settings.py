"""Settings that a run changes on a phone, and how all of them are put back.

What is to be put back is written into the place before anything is changed, so that any later
process can do it. Fixed performance is Android's own mode for benchmarks (API 30 and later); nothing
tells whether it is on, so it is switched off afterwards, as a restart does.
"""

import shlex

import msgspec

from edgekit.drivers.adb import conditions, places
from edgekit.drivers.adb.bridge import Phone
from edgekit.nouns.base import decoded

FIXED_PERFORMANCE_API = 30
"""The first API level with ``cmd power set-fixed-performance-mode-enabled``."""

SLEEP, WAKE_UP = 223, 224
"""``KEYCODE_SLEEP`` and ``KEYCODE_WAKEUP`` of ``android.view.KeyEvent``."""

_FIXED = "cmd power set-fixed-performance-mode-enabled"


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """How a phone was: what ``restore.json`` holds.

    ``fixed_performance`` is set if this run switches it on. ``screen_on`` is set if this run
    switches the screen off. ``battery_stopped`` says that the battery's updates were stopped already.
    """

    fixed_performance: bool = False
    screen_on: bool = False
    battery_stopped: bool = False


def planned(state: str, api: int) -> Before:
    """What opening a place will change, by the output of `edgekit.drivers.adb.conditions.LINE`."""
    parts = state.split(conditions.MARK)
    return Before(fixed_performance=api >= FIXED_PERFORMANCE_API, battery_stopped=conditions.battery(parts[0]).stopped)


def apply(phone: Phone, before: Before) -> tuple[str, ...]:
    """Change the settings; remarks on what this phone does not have.

    Raises:
        DeviceError: it does not answer.
    """
    notes = []
    if before.fixed_performance:
        said = phone.shell(f"{_FIXED} true")
        if said.code or "failed" in (said.stdout + said.stderr).lower():
            notes.append("this phone has no fixed performance mode: its clock may move")
    return tuple(notes)


def darken(phone: Phone, place: str) -> None:
    """Switch the screen off, which would take more than the network; it is written down first.

    Raises:
        DeviceError: the phone does not answer.
    """
    before = _written(phone, place) or Before()
    phone.push(msgspec.json.encode(msgspec.structs.replace(before, screen_on=True)), f"{place}/{places.RESTORE}")
    phone.shell(f"input keyevent {SLEEP}")


def restore(phone: Phone, place: str) -> None:
    """Put everything back that a place's ``restore.json`` names; nothing if there is no such file.

    While another place of this host is in use, as when two files are compared, it takes the duty over.

    Raises:
        DeviceError: the phone does not answer.
    """
    before = _written(phone, place)
    if before is None:
        return
    for name in places.beside(phone, place.rpartition("/")[2]):
        heir = places.path(name)
        theirs = _written(phone, heir)
        if theirs is not None:
            both = Before(
                fixed_performance=before.fixed_performance or theirs.fixed_performance,
                screen_on=before.screen_on or theirs.screen_on,
                battery_stopped=before.battery_stopped and theirs.battery_stopped,
            )
            phone.push(msgspec.json.encode(both), f"{heir}/{places.RESTORE}")
            return
    if before.fixed_performance:
        phone.shell(f"{_FIXED} false")
    if before.screen_on:
        phone.shell(f"input keyevent {WAKE_UP}")
    if not before.battery_stopped and conditions.battery(phone.shell("dumpsys battery").stdout).stopped:
        phone.shell("dumpsys battery reset")


def _written(phone: Phone, place: str) -> Before | None:
    said = phone.shell(f"cat {shlex.quote(place)}/{places.RESTORE} 2>/dev/null")
    try:
        return decoded(said.stdout.encode(), Before)
    except msgspec.MsgspecError:  # none, or cut off while it was written, so nothing was changed after it
        return None


def boot(phone: Phone) -> str:
    """How often the phone has started (API 24 and later), to see that it did not start anew; may be empty.

    Raises:
        DeviceError: it does not answer.
    """
    said = phone.shell("settings get global boot_count 2>/dev/null").stdout.strip()
    return said if said.isdecimal() else ""
