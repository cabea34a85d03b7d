"""A bench with one phone on it, for every test that needs a device which adb reaches."""

import contextlib
from collections.abc import Iterator

import pytest

from edgekit.devices.adb import AdbDriver
from edgekit.profiles import Device, DeviceConfig
from tests.devices.adb import standin

NAME = "bench-phone"


@contextlib.contextmanager
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, DeviceConfig], Device]]:
    """The configured table and the one device of it, as the driver found it; all of it is gone afterwards."""
    with standin.server(tmp_path_factory.mktemp("adb-home")), standin.phone(tmp_path_factory.mktemp("phone")) as phone:
        configured = {NAME: DeviceConfig(kind="adb", host="127.0.0.1", port=phone.port)}
        (device,) = AdbDriver().find(configured)
        yield configured, device
