"""One server for all tests of this folder; a board of its own for each."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.drivers.ssh import Ssh
from edgekit.nouns.profile import Device, DeviceConfig, Run
from tests.drivers.ssh.server import Server, Wire, served
from tests.networks import classifier

QUICK = Run(warm_up_runs=2, warm_up_s=0.01, min_runs=20, min_s=0.02)
"""A block that ends at once."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio complains once for every packet of a connection that a test cuts."""
    caplog.set_level(logging.ERROR, "asyncio")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def driver() -> Ssh:
    return Ssh()


@pytest.fixture
def board(server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., DeviceConfig]]:
    """Makes boards; at the end of the test nothing may be left on any of them."""
    made: list[DeviceConfig] = []

    def make(**fields: object) -> DeviceConfig:
        name = f"{request.node.name.translate(dict.fromkeys(map(ord, '[]/ '), '_'))}{len(made)}"
        made.append(server.board(name, **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    assert [path for config in made for path in server.tree(config)] == []


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    running = Wire(server.port)
    yield running
    running.close()


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An artifact and inputs for it: three images."""
    folder = tmp_path_factory.mktemp("network")
    inputs = folder / "inputs.npz"
    np.savez(inputs, image=np.random.default_rng(0).random((3, 1, 8, 8, 3), np.float32))
    return classifier(folder / "model.tflite"), inputs


def device_of(config: DeviceConfig, name: str = "bench") -> Device:
    """A device as `find` would give it for a good board."""
    return Device(id=name, kind="ssh", title="board", runs=(".tflite",), config=config)


def through(config: DeviceConfig, wire: Wire) -> DeviceConfig:
    """The same board, reached over a wire."""
    return msgspec.structs.replace(config, port=wire.port)
