"""What a phone's folders are called, and how phones are described."""

import pytest

from edgekit.drivers.adb import bridge, finding, places
from edgekit.nouns.profile import Device, DeviceConfig

HERE = "edgekit-desk-4711-0"


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
    at_a_cable = Device(id="28291FDH200AAA", kind="adb", title="", config=DeviceConfig(kind="adb", supply_mv=3850))
    assert bridge.serial(at_a_cable) == "28291FDH200AAA"


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
