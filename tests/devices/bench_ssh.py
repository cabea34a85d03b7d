"""A bench with one board over SSH: a real OpenSSH server on loopback, with this Python as the board's."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgekit.devices.ssh import Ssh
from edgekit.profiles import Device, DeviceConfig
from tests.devices.ssh.server import served


@contextmanager
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, DeviceConfig], Device]]:
    """The table of configured devices, and the device that is found; nothing may stay in its home."""
    with served(tmp_path_factory.mktemp("bench_ssh")) as server:
        table = {"board": server.board("board")}
        (device,) = Ssh().find(table)
        yield table, device
        assert server.tree(table["board"]) == []
