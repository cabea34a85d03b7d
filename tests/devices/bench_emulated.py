"""The arm64 emulator for tests: set up once in the cache of the test run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices import PLACE
from edgekit.devices.emulated import Emulated
from edgekit.errors import MissingTool
from edgekit.measure.agreement import Runs
from edgekit.profiles import Device, DeviceConfig, Run
from edgekit.tensors import Array

ID = "arm64-emulated"


@contextmanager
def bench(
    tmp_path_factory: pytest.TempPathFactory, cpu: str = "cortex-a76"
) -> Iterator[tuple[dict[str, DeviceConfig], Device]]:
    """Tables of devices, and one device that can be used; skips where qemu or debootstrap are missing."""
    configured = {ID: DeviceConfig(kind="emulated", cpu=cpu)}
    try:
        Emulated().set_up(configured[ID])
    except MissingTool as missing:
        pytest.skip(f"{missing.problem} fix: {missing.fix}")
    (device,) = Emulated().find(configured)
    assert device.usable, device.problems
    yield configured, device


def runs_on(device: Device, folder: Path, *, name: str = f"{PLACE}test-1-1") -> Runs:
    """Runs a file on a device through its driver, as a measurement does."""

    def run(file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        given = folder / "given.npz"
        np.savez(given, allow_pickle=False, **inputs)
        order = Run(mode="outputs")
        stand = Emulated().open(device, file, given, order, name)
        try:
            block = Emulated().run(device, stand, order, folder)
        finally:
            Emulated().close(device, stand)
        assert block.outputs is not None
        with np.load(folder / block.outputs) as found:
            return dict(found)

    return run
