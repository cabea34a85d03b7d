"""Which folders on a phone are dead, so that a sweep takes them and no others."""

import os
import subprocess
import sys

import pytest

from edgekit.devices.adb import bridge, finding, places
from edgekit.profiles import Device, DeviceConfig

HERE = f"edgekit-desk-{os.getpid()}-0"


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_living_process_has_a_start_and_a_dead_one_none(gone: int) -> None:
    assert places.born(os.getpid())
    assert places.born(os.getpid()) == places.born(os.getpid())
    assert places.born(gone) is None


def test_the_owner_is_the_process_in_the_name(gone: int) -> None:
    assert places.owner(HERE) == places.born(os.getpid())
    assert places.owner(f"edgekit-desk-{gone}-0") == ""
    assert places.owner("something-else") == ""


def test_a_place_is_dead_with_its_process(gone: int) -> None:
    assert places.dead(f"edgekit-desk-{gone}-3", "", HERE)
    assert not places.dead(f"edgekit-desk-{os.getpid()}-3", str(places.born(os.getpid())), HERE)
    assert not places.dead(f"edgekit-desk-{os.getpid()}-3", "", HERE), "it has only just been made"


def test_a_process_that_got_a_dead_ones_number_does_not_keep_its_place() -> None:
    assert places.dead(f"edgekit-desk-{os.getpid()}-3", "1", HERE)


@pytest.mark.parametrize(
    "name", ["edgekit-desk-2-{}-0", "edgekit-another-{}-0", "edgekit-desk-x", "edgekit-", "tflite"]
)
def test_what_is_not_this_hosts_is_never_dead(name: str, gone: int) -> None:
    assert not places.dead(name.format(gone), "", HERE)


def test_only_places_of_edgekit_are_ever_removed() -> None:
    assert places.path(HERE) == places.path(f"/data/local/tmp/{HERE}") == f"/data/local/tmp/{HERE}"
    for place in ("", "/", "/data/local/tmp", "/data/local/tmp/", "/data/local/tmp/benchmark_model"):
        with pytest.raises(ValueError, match="no place of edgekit"):
            places.path(place)


def test_a_configured_phone_has_an_address() -> None:
    config = DeviceConfig(kind="adb", host="192.168.0.7")
    assert bridge.address(config) == "192.168.0.7:5555"
    assert bridge.address(DeviceConfig(kind="adb", host="phone", port=4444)) == "phone:4444"
    assert bridge.serial(Device(id="mine", kind="adb", title="", config=config)) == "192.168.0.7:5555"
    assert bridge.serial(Device(id="28291FDH200AAA", kind="adb", title="")) == "28291FDH200AAA"


@pytest.mark.parametrize(
    ("state", "problem", "fix"),
    [
        ("unauthorized", "not allowed this computer", "accept 'Allow USB debugging?'"),
        ("offline", "no answer (offline)", "adb reconnect offline"),
        ("no", "no permissions", "android-sdk-platform-tools-common"),
        ("recovery", "in recovery, not in Android", "adb reboot"),
        ("sideload", "in sideload, not in Android", "adb reboot"),
        ("authorizing", "still asking", "unlock it"),
    ],
)
def test_every_state_has_plain_words(state: str, problem: str, fix: str) -> None:
    (words,) = finding.absent("x", state).problems
    assert problem in words
    assert fix in words


@pytest.mark.parametrize(
    ("serial", "wifi"),
    [("28291FDH200AAA", False), ("192.168.1.5:5555", True), ("adb-2829-x4ZfQk._adb-tls-connect._tcp", True)],
)
def test_a_phone_on_the_cable_is_told_how_to_come_off_it(serial: str, wifi: bool) -> None:
    said = "ro.build.version.sdk=34\n-- edgekit --\n\n  USB powered: true\n  status: 2\n  level: 50\n"
    charging = next(words for words in finding.described(serial, said).problems if "charging" in words)
    assert ("adb tcpip 5555" in charging) is not wifi


def test_a_phone_that_tells_little_is_still_described() -> None:
    device = finding.described("x", "")
    assert (device.title, device.os, device.abi, device.cores) == ("Android device", None, None, None)
    assert finding.api_level(device) == 0
