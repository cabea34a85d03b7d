"""The figures of a file that a budget limits and a baseline keeps, from its manifest and its profiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgekit.host import cachedir
from edgekit.nouns.budget import Demands
from edgekit.nouns.gating import Figure
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.profile import Estimate, Profile

ON_CPU = {"CPU", "litert", ""}
"""Values of `edgekit.nouns.profile.OperatorTime.runs_on` that stand for LiteRT's own kernels."""


@dataclass(frozen=True)
class Kind:
    """A figure that can be limited: its unit, which way the limit bounds it, how it is limited, how it is had."""

    name: Figure
    unit: str
    bound: Literal["most", "least"]
    limit: Callable[[Demands], float | None]
    need: str
    of_file: Callable[[ArtifactFile], Estimate] | None = None
    of_profile: Callable[[Profile], Estimate] | None = None


def _known(value: float | None, reason: str) -> Estimate:
    return Estimate(value=value, reason=reason if value is None else "")


def _drop(file: ArtifactFile) -> Estimate:
    metric = None if file.verification is None else file.verification.metric
    return _known(None if metric is None else metric.drop, "no metric was evaluated")


def _agreement(file: ArtifactFile) -> Estimate:
    judged = file.verification
    return _known(None if judged is None else judged.agreement, "no output chooses, or it was not verified")


def _sqnr(file: ArtifactFile) -> Estimate:
    judged = file.verification
    if judged is not None and judged.sqnr_db is None and all(found.identical for found in judged.outputs):
        return Estimate(value=math.inf)
    return _known(None if judged is None else judged.sqnr_db, "it was not verified")


def _mapped(file: ArtifactFile) -> Estimate:
    covered = None if file.verification is None else file.verification.coverage
    return _known(None if covered is None else covered.share, "it has no accelerator")


def _bytes(file: ArtifactFile) -> Estimate:
    return Estimate(value=float(file.size_bytes))


def _latency(profile: Profile) -> Estimate:
    if profile.latency is None:
        return Estimate(value=None, reason=profile.unavailable.get("latency", "it was not measured"))
    return profile.latency.median_ms


def _energy(profile: Profile) -> Estimate:
    found = profile.energy
    if found is None:
        return Estimate(value=None, reason=profile.unavailable.get("energy", "it was not measured"))
    if found.provenance == "modelled_estimate":
        return Estimate(value=None, reason="an estimate from MACs proves nothing")
    return found.best_mj


def _memory(profile: Profile) -> Estimate:
    return _known(profile.memory.peak_bytes, "the device does not tell")


def delegate_time(profile: Profile) -> Estimate:
    """The share (0..1) of an inference's time that is spent outside of LiteRT's own kernels."""
    total = sum(row.mean_ms for row in profile.operators)
    if total > 0 and profile.artifact.endswith(".tflite"):
        return Estimate(value=sum(row.mean_ms for row in profile.operators if row.runs_on not in ON_CPU) / total)
    share = None if profile.delegation is None else profile.delegation.share
    if share in {"all", "none"}:
        return Estimate(value=float(share == "all"))
    return Estimate(value=None, reason="its operators were not timed")


def _size(said: str | None) -> float | None:
    return None if said is None else float(cachedir.parsed(said, "[budget]"))


BUDGET = "edgekit build with --eval and --metric"
SAMPLES = "edgekit build with --eval or --calibration"
PROFILE = "edgekit profile FOLDER --device ID"

KINDS = (
    Kind("drop", "", "most", lambda d: d.max_drop, BUDGET, of_file=_drop),
    Kind("agreement", "", "least", lambda d: d.min_agreement, SAMPLES, of_file=_agreement),
    Kind("sqnr", "dB", "least", lambda d: d.min_sqnr, SAMPLES, of_file=_sqnr),
    Kind("mapped", "", "least", lambda d: d.min_mapped, "a target with an accelerator", of_file=_mapped),
    Kind("size", "B", "most", lambda d: _size(d.max_size), "", of_file=_bytes),
    Kind("latency", "ms", "most", lambda d: d.max_latency_ms, PROFILE, of_profile=_latency),
    Kind("energy", "mJ", "most", lambda d: d.max_energy_mj, f"{PROFILE} --energy", of_profile=_energy),
    Kind("peak memory", "B", "most", lambda d: _size(d.max_peak_memory), PROFILE, of_profile=_memory),
    Kind("delegate time", "", "least", lambda d: d.min_delegate_time, f"{PROFILE} --ops", of_profile=delegate_time),
)
"""Every figure that a budget may limit."""


def by_block(profile: Profile) -> dict[Figure, tuple[float | None, ...]]:
    """Latency in ms, energy in mJ and peak memory in bytes of each block; None if it has none, or does not count."""
    latency = [b.latency.middle_ms if b.counted and b.latency is not None else None for b in profile.blocks]
    memory = [float(b.memory.peak_bytes) if b.counted and b.memory.peak_bytes else None for b in profile.blocks]
    spent = () if profile.energy is None else profile.energy.blocks_mj
    return {"latency": tuple(latency), "energy": spent, "peak memory": tuple(memory)}


def pairs(first: Profile, second: Profile, figure: Figure) -> list[tuple[float, float]]:
    """A figure of both, from the pairs of blocks in which both have one, which is above 0."""
    blocks = zip(by_block(first)[figure], by_block(second)[figure], strict=False)
    return [(a, b) for a, b in blocks if a is not None and b is not None and min(a, b) > 0]


def energy_by(profile: Profile) -> str:
    """Whose energy a profile holds; energy of another kind is not compared with it."""
    found = profile.energy
    if found is None or not found.blocks_mj:
        return ""
    return f"{found.provenance}, {found.meter}, {found.kind}"
