"""A board at a pseudo-terminal for tests, with a small int8 network flashed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgekit.devices.serial import Serial
from edgekit.profiles import Device, DeviceConfig
from tests.devices.firmware import Firmware

ID = "nucleo"


@contextmanager
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, DeviceConfig], Device]]:
    """Tables of devices, and one device that can be used: whatever it is fed it answers 0.5."""
    with Firmware(model="unnamed") as board:
        configured = {ID: DeviceConfig(kind="serial", serial_port=board.port)}
        (device,) = Serial().find(configured)
        assert device.usable, device.problems
        yield configured, device
