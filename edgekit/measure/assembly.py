"""From what was seen to a profile: figures, flags, and what could not be had."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import __version__ as edgekit_version
from edgekit.measure import energy, estimate, flags, record, statistics
from edgekit.measure.protocol import Bench, MeasurementSettings, Metering, Observations
from edgekit.measure.subject import Measurable
from edgekit.nouns.profile import (
    Block,
    Delegation,
    DeviceVerification,
    Energy,
    Estimate,
    Latency,
    Memory,
    OperatorTime,
    Profile,
    Run,
    per_reading,
)
from edgekit.nouns.results import Measured
from edgekit.report import plots
from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class ObservedFile:
    """What is known of a subject beside its blocks."""

    subject: Measurable
    run: Run
    verification: DeviceVerification | None
    unavailable: dict[str, str]
    operators: tuple[OperatorTime, ...] = ()

    def with_operators(self, operators: tuple[OperatorTime, ...], reason: str) -> "ObservedFile":
        """The same with times by operator, or with the reason why there are none."""
        more = {"operators": reason} if reason else {}
        return ObservedFile(self.subject, self.run, self.verification, self.unavailable | more, operators)


@dataclass(frozen=True)
class Recorder:
    """Turns observations into profiles and records them."""

    bench: Bench
    settings: MeasurementSettings
    observations: Observations
    metering: Metering | None
    run_id: str
    now: datetime
    unavailable: dict[str, str]

    def record(self, seen: ObservedFile, which: int, output: str | None) -> Measured:
        """Write the profile of one subject, with its samples and plots, where its profiles stand.

        Raises:
            InputError: nothing can be written there.
        """
        made, arrays = self._profile(seen, which)
        hurried = 0 < len(made.blocks) < self.settings.protocol.blocks  # drawing takes another second
        drawn = {} if hurried else plots.draw(made, arrays)
        file = record.write(made, arrays, drawn, seen.subject, record.folder(seen.subject, output))
        if made.verification is not None and seen.subject.manifest is not None:
            record.verified(seen.subject.manifest, seen.subject.name, made.verification)
        return Measured(made, file)

    def _profile(self, seen: ObservedFile, which: int) -> tuple[Profile, dict[str, Array]]:
        subject, device, blocks = seen.subject, self.bench.device, self.observations.blocks[which]
        unavailable = self.unavailable | seen.unavailable
        latency, reason = self._latency(which)
        if reason and "latency" not in unavailable:
            unavailable["latency"] = reason
        spent, why = self._energy(seen, which)
        if why:
            unavailable.setdefault("energy", why)
        side = "ab"[which] if len(self.observations.blocks) > 1 else ""  # a file may be compared with itself
        name = f"{record.name(subject, device.id, self.now)}-{self.run_id}{side}"
        made = Profile(
            edgekit=edgekit_version,
            created_utc=self.now.isoformat(timespec="seconds"),
            session=self.run_id,
            artifact=subject.name,
            artifact_sha256=subject.sha256,
            device=device,
            runtime=next(
                (b.runtime for b in blocks if b.runtime), seen.verification.runtime if seen.verification else ""
            ),
            run=seen.run,
            protocol=msgspec.structs.replace(self.settings.protocol, order=self.observations.order, blocks=len(blocks)),
            blocks=blocks,
            latency=latency,
            memory=_memory(blocks),
            energy=spent,
            operators=seen.operators,
            delegation=_delegation(blocks),
            verification=seen.verification,
            flags=(
                *filter(None, (flags.crowded(seen.run, device),)),
                *self.observations.flags,
                *flags.remarks(blocks, self._latencies(which)),
            ),
            raw=f"{name}.npz",
            unavailable=unavailable,
        )
        return made, record.raw(self.observations, which)

    def _latencies(self, which: int) -> list[NDArray[np.float64] | None]:
        """Every block's latencies in ms, None if the device gives no single ones."""
        rows = zip(self.observations.blocks[which], self.observations.folders[which], strict=True)
        return [None if b.latencies is None else np.load(where / b.latencies).astype(np.float64) for b, where in rows]

    def _latency(self, which: int) -> tuple[Latency | None, str]:
        blocks = self.observations.blocks[which]
        counted = [(b, taken) for b, taken in zip(blocks, self._latencies(which), strict=True) if b.counted]
        if not counted:
            return None, "the device throttled in every block" if blocks else ""
        own = [b for b, _ in counted]
        inits, firsts = [b.init_ms for b in own], [b.first_ms for b in own]
        arrays = [taken for _, taken in counted if taken is not None]
        if len(arrays) < len(own):
            return _summarized(own, inits, firsts), ""
        return of_several(statistics.latency(arrays, inits, firsts), own), ""

    def _energy(self, seen: ObservedFile, which: int) -> tuple[Energy | None, str]:
        if self.metering is not None:
            rows = list(zip(self.observations.blocks[which], self.observations.traces[which], strict=True))
            if any(trace is not None for _, trace in rows):
                return energy.energy(rows, self.observations.idle, self.settings.protocol.seed), ""
            return None, "the meter saw nothing of any block"
        if self.settings.model_energy:
            if seen.subject.cost is None or seen.subject.precision is None:
                return None, "an estimate needs the MACs of the artifact, which only a manifest holds"
            return estimate.modelled(seen.subject.cost, seen.subject.precision), ""
        return None, "" if self.settings.energy else "not asked for (--energy)"


def of_several(found: Latency, blocks: list[Block]) -> Latency:
    """Latency over blocks whose times are means of several inferences: they have no percentiles of single ones.

    Args:
        found: what the times give as they are.
        blocks: with their own accounts; if each inference was timed alone, ``found`` comes back.
    """
    if per_reading(blocks) == 1:
        return found
    none = Estimate(value=None, reason="too short to be timed alone")
    return msgspec.structs.replace(found, **_told(blocks), p90_ms=none, p99_ms=none)


def _told(blocks: list[Block]) -> dict[str, Any]:
    """``runs`` and their ``seconds`` by the blocks' own accounts."""
    said = [b.latency for b in blocks if b.latency is not None]
    return {"runs": sum(row.runs for row in said), "seconds": sum(row.runs * row.mean_ms for row in said) / 1e3}


def _summarized(blocks: list[Block], inits: list[float | None], firsts: list[float | None]) -> Latency:
    """Latency from what a tool says of each block, if it gives no single latencies."""
    said = [b.latency for b in blocks if b.latency is not None]
    no_single = Estimate(value=None, n=0, reason="the device's tool gives no single latencies")
    return Latency(
        blocks=len(said),
        **_told(blocks),
        init_ms=statistics.told(inits),
        first_ms=statistics.told(firsts),
        median_ms=statistics.estimate_median([row.middle_ms for row in said]),
        p90_ms=no_single,
        p99_ms=no_single,
        mean_ms=statistics.estimate_mean([row.mean_ms for row in said]),
    )


def _memory(blocks: tuple[Block, ...]) -> Memory:
    """The largest of each figure over the blocks."""

    def largest(field: str) -> int | None:
        """Of all blocks that tell it, in bytes; None if none does."""
        return max((v for b in blocks if (v := getattr(b.memory, field)) is not None), default=None)

    return Memory(**{field: largest(field) for field in ("loaded_bytes", "steady_bytes", "peak_bytes", "arena_bytes")})


def _delegation(blocks: tuple[Block, ...]) -> Delegation | None:
    return next((b.delegation for b in blocks if b.delegation is not None), None)
