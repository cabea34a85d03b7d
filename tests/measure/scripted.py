"""A device that is a script: what the protocol asks of it is kept, what it answers is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.engine.proxies import LeafProxies
from edgekit.engine.session import Silent
from edgekit.errors import DeviceError
from edgekit.nouns.profile import Block, Deployment, Device, Distribution, Run, State
from edgekit.nouns.sensing import PowerTrace, Series

DEVICE = Device(id="board", kind="scripted", title="a board")


class Scripted(LeafProxies):
    """Stands in for a session: answers for the driver ``scripted`` and for one meter.

    ``latency_ms(which, i)`` is the latency of block ``i`` (over all) of subject ``which``; ``states`` are
    given one after the other, the last one for ever; a block begins in the one before. ``per_reading(which)``
    inferences of a subject share a reading of the clock where the device may choose.
    """

    def __init__(
        self,
        latency_ms: Callable[[int, int], float] = lambda which, i: 1.0,
        states: tuple[State, ...] = (State(utc="2026-01-01T00:00:00+00:00"),),
        dies_at: int | None = None,
        per_reading: Callable[[int], int] = lambda which: 1,
    ) -> None:
        self.progress = Silent()
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.open_places: list[str] = []
        self.now_s = 100.0
        self._latency_ms, self._states, self._dies_at = latency_ms, list(states), dies_at
        self._blocks, self._per_reading, self._last = 0, per_reading, states[0]

    def _call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> Any:
        self.asked.append((leaf, method, arguments))
        return getattr(self, f"_{room}_{method}")(**arguments)

    def _drivers_state(self, device: Device) -> State:
        self._last = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return self._last

    def _drivers_open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:
        self.open_places.append(place)
        return Deployment(place=f"/there/{place}", model=str(artifact), inputs=str(inputs))

    def _drivers_close(self, device: Device, deployment: Deployment) -> None:
        name = Path(deployment.place).name
        if name in self.open_places:
            self.open_places.remove(name)

    def _drivers_run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        if run.mode == "idle":
            begin, self.now_s = self.now_s, self.now_s + run.idle_s
            return Block(begin_s=begin, end_s=self.now_s, host_offset_s=1000.0)
        if self._blocks == self._dies_at:
            raise DeviceError("The board went away.", place="board", fix="look at its cable")
        which = self.open_places.index(Path(deployment.place).name)
        ms = self._latency_ms(which, self._blocks)
        taken = ms * np.random.default_rng(self._blocks).uniform(0.99, 1.01, 400)
        np.save(out / "latencies.npy", taken)
        begin, self.now_s = self.now_s, self.now_s + run.min_s
        self._blocks += 1
        return Block(
            runtime="scripted 1",
            begin_s=begin,
            end_s=self.now_s,
            host_offset_s=1000.0,
            init_ms=3.0,
            first_ms=2.0,
            latency=Distribution(
                runs=400, inferences_per_reading=run.inferences_per_reading or self._per_reading(which), mean_ms=float(taken.mean()), min_ms=float(taken.min()), max_ms=float(taken.max()),
                median_ms=float(np.median(taken)),
            ),
            before=self._last,
            after=self._drivers_state(device),
            latencies="latencies.npy",
        )  # fmt: skip

    def _meters_start(self, probe: Any) -> None:
        self._began_s = self.now_s

    def _meters_stop(self, probe: Any, sensed: Path | None) -> PowerTrace:
        t_s = np.linspace(self._began_s + 1000.0, self.now_s + 1000.0, 50)
        series = Series(t_s=tuple(t_s), values=(2.0,) * 50)
        return PowerTrace(
            meter="desk", provenance="external_meter", quantity="power", rails={"all": series},
            resolution=1e-3, period_s=0.001,
        )  # fmt: skip
