"""The arm64 emulator for tests: set up once in the cache of the test run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekit import runner
from edgekit.drivers.emulated import Emulated
from edgekit.errors import MissingTool
from edgekit.host.cachedir import cache_folder
from edgekit.measure.agreement import Runs
from edgekit.nouns.profile import Device, DeviceConfig, Run
from edgekit.waist import graph
from edgekit.waist.tensors import Array
from tests.drivers.benches import Bench

ID = "arm64-emulated"


def places() -> set[str]:
    """What lies in the cache's folder of places."""
    folder = cache_folder() / "places"
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """The usual emulated core; skips where qemu or debootstrap are missing."""
    configured = {ID: DeviceConfig(kind="emulated")}
    try:
        Emulated().set_up(configured[ID])
    except MissingTool as missing:
        pytest.skip(f"{missing.problem} fix: {missing.fix}")
    yield Bench(id=ID, left=places, configured=configured)


def found(made: Bench) -> Device:
    """The device of a bench."""
    (device,) = Emulated().find(made.configured)
    assert device.usable, device.problems
    return device


def runs_on(device: Device, folder: Path) -> Runs:
    """Runs a file on a device through its driver, as a measurement does."""

    def run(file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        given = folder / "given.npz"
        np.savez(given, allow_pickle=False, **inputs)
        order = Run(mode="outputs")
        deployment = Emulated().open(device, file, given, order, runner.place_name(1))
        try:
            block = Emulated().run(device, deployment, order, folder)
        finally:
            Emulated().close(device, deployment)
        assert block.outputs is not None
        with np.load(folder / block.outputs) as made:
            return dict(made)

    return run


def random_inputs(file: Path, samples: int) -> dict[str, Array]:
    """Seeded values over the whole range of integers, standard normal ones for floats."""
    draw, main = np.random.default_rng(7), graph.read(file)[0]
    made = {}
    for index in main.inputs:
        tensor = main.tensors[index]
        shape, dtype = (samples, *tensor.shape), np.dtype(tensor.dtype)
        whole = dtype.kind in "iu"
        values = (
            draw.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, endpoint=True)
            if whole
            else draw.normal(size=shape)
        )
        made[tensor.name] = values.astype(dtype)
    return made
