"""A board at a pseudo-terminal for tests, with a small int8 network flashed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekit.host.cachedir import cache_folder
from edgekit.nouns.profile import DeviceConfig
from tests.drivers import integer_network
from tests.drivers.benches import Bench
from tests.drivers.firmware import Firmware

ID = "nucleo"


def places() -> set[str]:
    """What lies in the cache's folder of places; on the board nothing ever lies."""
    folder = cache_folder() / "places"
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """A board that computes what it is fed."""
    artifact, inputs = integer_network.write(folder / "network.tflite"), folder / "inputs.npz"
    values = np.random.default_rng(4).integers(-128, 127, (3, 1, 4), endpoint=True).astype(np.int8)
    np.savez(inputs, allow_pickle=False, x=values)
    with pytest.MonkeyPatch.context() as patch, Firmware(artifact, model="own") as board:
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        configured = {ID: DeviceConfig(kind="serial", serial_port=board.port)}
        yield Bench(id=ID, left=places, configured=configured, artifact=artifact, inputs=inputs)
