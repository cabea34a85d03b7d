"""What a gate knows and what it finds: the baseline, and each figure against what is demanded of it."""

from typing import Literal

from edgekit.nouns.base import FileDigest, Noun
from edgekit.nouns.profile import Delegate, Device

BASELINE = "edgekit-baseline.json"
"""What a baseline's file is called; its networks, if it keeps them, lie in the folder of that name without suffix."""

Figure = Literal[
    "verification",
    "drop",
    "metric",
    "agreement",
    "sqnr",
    "mapped",
    "size",
    "latency",
    "energy",
    "peak memory",
    "delegate time",
    "file",
]
"""What is judged; ``file`` is that there is one at all."""


class BaselineSession(Noun, frozen=True, kw_only=True):
    """What one measurement of a file saw: a value for each block that counts, in the order of the blocks.

    ``energy_mj`` and ``peak_bytes`` are empty if the device does not tell; ``energy_by`` says whose energy it is
    (provenance and meter).
    """

    created_utc: str
    device: Device
    runtime: str
    threads: int
    delegate: Delegate
    protocol: str
    latency_ms: tuple[float, ...]
    energy_mj: tuple[float, ...] = ()
    energy_by: str = ""
    peak_bytes: tuple[float, ...] = ()


class BaselineFile(Noun, frozen=True, kw_only=True):
    """One file as it was when the baseline was saved.

    ``model`` is the source's file name, ``inputs`` and ``outputs`` say dtype and shape of each, by which another
    model is told. ``data`` is the digest of the samples that it was verified on. A metric, agreement or SQNR that was
    not evaluated is None; ``higher_is_better`` is None if nothing tells.
    """

    target: str
    file: str
    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sha256: str
    files: dict[str, FileDigest]
    data: str | None = None
    samples: int = 0
    metric: str | None = None
    metric_value: float | None = None
    higher_is_better: bool | None = None
    agreement: float | None = None
    sqnr_db: float | None = None
    sessions: tuple[BaselineSession, ...] = ()


class Baseline(Noun, frozen=True, kw_only=True):
    """What ``edgekit baseline save`` writes: a file to commit."""

    schema_version: Literal[1] = 1
    edgekit: str
    created_utc: str
    files: tuple[BaselineFile, ...]


class Finding(Noun, frozen=True, kw_only=True):
    """One figure of one file against a limit.

    ``verdict``: ``met``; ``missed``; ``unknown`` (what is demanded was not measured, so that nothing shows that it
    holds); ``suspected`` (worse than the baseline in recorded profiles, and not measured again); ``skipped``.
    ``limit`` is the budget's, or the baseline's value; both it and ``value`` are in ``unit``, and None if not known.
    """

    target: str
    file: str
    figure: Figure
    against: Literal["budget", "baseline"]
    verdict: Literal["met", "missed", "unknown", "suspected", "skipped"]
    device: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether a gate that finds it is closed."""
        return self.verdict in {"missed", "unknown"}


class Gate(Noun, frozen=True, kw_only=True):
    """All that a gate looked at; ``baseline`` is the file that it compared with, None if there is none."""

    findings: tuple[Finding, ...]
    baseline: str | None = None

    @property
    def passes(self) -> bool:
        """Whether nothing is missed and all that is demanded is known."""
        return not any(finding.fails for finding in self.findings)
