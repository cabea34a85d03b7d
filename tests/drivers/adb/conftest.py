"""A bench for tests of adb: one server for all, phones as they are needed, a small network with inputs."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.drivers.adb import AdbDriver
from edgekit.nouns.profile import Device, DeviceConfig, Run
from tests import networks
from tests.drivers.adb import standin
from tests.drivers.adb.standin import Standin

QUICK = Run(warm_up_runs=2, warm_up_s=0.05, min_runs=20, min_s=0.1, max_s=5.0)
"""A block that is over at once."""

PLACE = f"edgekit-{socket.gethostname()}-{os.getpid()}-0"


@pytest.fixture(scope="package")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with standin.server(tmp_path_factory.mktemp("adb-home")):
        yield


@pytest.fixture
def phones(adb_server: None, tmp_path: Path) -> Iterator[Callable[..., Standin]]:
    """Makes phones."""
    with contextlib.ExitStack() as several:

        def make(name: str = "oriole", *, tool: bool = True) -> Standin:
            return several.enter_context(standin.phone(tmp_path / name, tool=tool, name=name))

        yield make


@pytest.fixture
def phone(phones: Callable[..., Standin]) -> Standin:
    return phones()


@pytest.fixture
def device(phone: Standin) -> Device:
    return found(phone)


def config(phone: Standin) -> DeviceConfig:
    return DeviceConfig(kind="adb", host="127.0.0.1", port=phone.port)


def found(phone: Standin, name: str = "bench") -> Device:
    devices = {device.id: device for device in AdbDriver().find({name: config(phone)})}
    return devices[name]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.classifier(tmp_path_factory.mktemp("adb-model") / "classifier.tflite")


@pytest.fixture(scope="session")
def inputs(model: Path) -> Path:
    file = model.parent / "inputs.npz"
    np.savez(file, image=np.random.default_rng(0).standard_normal((3, 1, 8, 8, 3)).astype(np.float32))
    return file


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
