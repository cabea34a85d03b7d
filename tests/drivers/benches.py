"""What the conformance test needs of a kind of device: one that can be reached here and now.

The bench of the leaf ``NAME`` is the function ``bench`` in ``tests/drivers/bench_NAME.py``: a context
manager that takes an empty folder and yields a `Bench`. What it starts it ends.
"""

import importlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine import registry
from edgekit.nouns.profile import DeviceConfig, Run
from tests import networks

QUICK = Run(warm_up_runs=1, warm_up_s=0.01, min_runs=5, min_s=0.02, max_s=20.0)
"""A block that is over at once."""


STUDIED = {"emulated"}
"""Leaves whose device is a system of 75 MB that is fetched, and runs a hundred times slower than this host."""

LEAVES = [pytest.param(name, marks=pytest.mark.study if name in STUDIED else ()) for name in registry.names("drivers")]
"""Every kind of device; `STUDIED` ones among the studies."""


@dataclass
class Bench:
    """A reachable device.

    ``id`` is the one to use of those that `find` returns for ``configured``. ``left`` lists what lies
    on the device where edgekit puts things. ``computes`` is False where a stand-in only replays
    recorded answers. ``artifact`` and ``inputs`` replace the small network of the conformance test
    on a device that runs nothing else.
    """

    id: str
    left: Callable[[], set[str]]
    configured: dict[str, DeviceConfig] = field(default_factory=dict)
    computes: bool = True
    artifact: Path | None = None
    inputs: Path | None = None
    run: Run = QUICK


def bench_of(leaf: str) -> Callable[[Path], AbstractContextManager[Bench]] | None:
    """A leaf's bench; None where nobody wrote one."""
    name = f"tests.drivers.bench_{leaf}"
    found: Any = importlib.import_module(name).bench if importlib.util.find_spec(name) is not None else None
    return found


def network(folder: Path) -> tuple[Path, Path]:
    """A small float classifier and three samples for it."""
    artifact = networks.classifier(folder / "classifier.tflite")
    values = np.random.default_rng(3).standard_normal((3, 1, 8, 8, 3)).astype(np.float32)
    np.savez(folder / "inputs.npz", image=values)
    return artifact, folder / "inputs.npz"
