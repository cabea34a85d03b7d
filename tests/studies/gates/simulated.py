"""Measuring that is drawn instead of done: blocks whose processes and sessions differ by chosen amounts.

A gate is run whole on it: manifests and baselines are files, and only `edgekit.verbs.gate.measure` is replaced.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from edgekit.measure.protocol import MeasurementSettings
from edgekit.nouns import manifest as manifests
from edgekit.nouns.profile import Device
from edgekit.nouns.results import Measured
from tests.measure.gated_folders import PI, profile


@dataclass
class World:
    """A machine: by how much its processes and its sessions differ (standard deviations of logarithms).

    ``recorded`` are sessions of real blocks' medians, relative to their session's own: they are drawn from, instead.
    The new file takes ``slowdown`` times as long as the baseline's. ``measured`` is how many files each
    measurement had, ``blocks`` how many blocks of each.
    """

    process_sd: float = 0.02
    session_sd: float = 0.0
    slowdown: float = 1.0
    seed: int = 0
    recorded: list[list[float]] = field(default_factory=list)
    measured: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = np.random.default_rng(self.seed)

    def session(self, *slower: float, blocks: int = 10) -> list[list[float]]:
        """A session's blocks for each file: what the session does meets all of them alike."""
        at = float(self.draw.normal(0, self.session_sd))
        if not self.recorded:
            return [list(by * np.exp(at + self.draw.normal(0, self.process_sd, blocks))) for by in slower]
        row = np.asarray(self.recorded[self.draw.integers(len(self.recorded))])
        return [list(by * np.exp(at) * self.draw.choice(row, blocks)) for by in slower]

    def find(self, *_: Any) -> Device:
        """The device to measure on."""
        return PI

    def measure(self, _: Any, files: list[Path], settings: MeasurementSettings) -> list[Measured]:
        """In place of `edgekit.measure.measurement.measure`; the first file is the new one."""
        self.measured.append(len(files))
        self.blocks.append(settings.protocol.blocks)
        rows = self.session(*([self.slowdown, 1.0][: len(files)]), blocks=settings.protocol.blocks)
        file = manifests.read(files[0].parent / manifests.FILE_NAME).artifacts[0]
        return [Measured(profile(file, row, at="2026-02-01T00:00:00+00:00"), Path("p.json")) for row in rows]


@contextmanager
def simulated(world: World) -> Iterator[World]:
    """While open, gates measure in a world."""
    with (
        mock.patch("edgekit.verbs.gate.measure", world.measure),
        mock.patch("edgekit.verbs.gate.subjects", lambda _, path, **__: [path]),
        mock.patch("edgekit.verbs.gate.Bench"),
    ):
        yield world
