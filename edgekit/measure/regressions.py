"""Whether a measured figure is worse than a baseline's, within the noise of what measured both.

Sessions at different times differ by what no interval over blocks holds, so that recorded figures alone only raise a
suspicion; pairs of blocks that took turns can settle it (docs/explanation/measurement.md).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from edgekit.measure import statistics
from edgekit.measure.baseline import session
from edgekit.measure.gated import GatedFile
from edgekit.nouns.gating import BaselineFile, BaselineSession, Figure, Finding
from edgekit.nouns.profile import Comparison, Estimate, Profile

MEASURED: dict[Figure, str] = {"latency": "ms", "energy": "mJ", "peak memory": "B"}
"""What is compared by its blocks, and its unit."""

SESSIONS_KNOWN = 4
"""From so many sessions of a baseline on, their own spread is taken: with fewer a t interval is wider than of use."""

SESSION_SPREAD = 0.05
"""How much two measurements of one file at different times may differ beside what their blocks show, if the baseline
has too few sessions to tell: idle machines of one kind gave a few percent (`python -m tests.gates`)."""


def _alike(old: BaselineFile, now: BaselineSession) -> list[BaselineSession]:
    """The baseline's sessions that were run as one of now was: device, threads, delegate, protocol."""
    return [
        one
        for one in old.sessions
        if (one.device.id, one.threads, one.delegate, one.protocol)
        == (now.device.id, now.threads, now.delegate, now.protocol)
    ]


def by_sessions(subject: GatedFile, old: BaselineFile, profile: Profile, *, paired: bool = False) -> Iterator[Finding]:
    """The measured figures of one profile against the baseline's sessions of the same kind."""
    new, device = session(profile), profile.device.id
    sessions = _alike(old, new)
    if not sessions:
        reason = "the baseline was measured with other threads, another delegate or protocol"
        yield subject.finding("latency", "baseline", "unknown", device=device, reason=reason)
        return
    if old.sha256 == subject.file.sha256 and sessions[-1].runtime == profile.runtime:
        yield subject.finding("latency", "baseline", "met", device=device, reason="file and runtime are the same")
        return
    for figure in MEASURED:
        if figure == "energy" and sessions[-1].energy_by != new.energy_by:
            if sessions[-1].energy_by:
                reason = f"the baseline has energy by {sessions[-1].energy_by}; now: {new.energy_by or 'none'}"
                yield subject.finding(figure, "baseline", "unknown", device=device, reason=reason)
            continue
        was, now = [of_session(one, figure) for one in sessions], of_session(new, figure)
        if any(was) and now:
            yield _measured(subject, figure, device, (was, now), paired=paired)


def of_session(one: BaselineSession, figure: Figure) -> tuple[float, ...]:
    """The values of a measured figure, block by block."""
    return {"latency": one.latency_ms, "energy": one.energy_mj, "peak memory": one.peak_bytes}[figure]


def _measured(
    subject: GatedFile,
    figure: Figure,
    device: str,
    sides: tuple[list[tuple[float, ...]], Sequence[float]],
    *,
    paired: bool,
) -> Finding:
    """One figure: ``sides`` are the blocks of each session of the baseline, and those of now."""
    was, now = sides
    before = [value for one in was for value in one if value > 0]
    found = statistics.apart([value for value in now if value > 0], before)
    said = {"value": float(np.median(now)), "limit": float(np.median(before)), "device": device}
    said |= {"unit": MEASURED[figure]}
    if found.value is None:
        return subject.finding(figure, "baseline", "unknown", reason=found.reason, **said)
    if paired and found.value > 1 / (1 + SESSION_SPREAD):  # pairs are dear, and yet cheaper than a slowdown unseen
        return subject.finding(figure, "baseline", "suspected", reason=ratio(found), **said)
    if found.value <= 1 + subject.tolerance:
        return subject.finding(figure, "baseline", "met", **said)
    spread = session_spread(was)
    if found.low is None or found.low / spread <= 1:
        noise = f"{ratio(found)}; sessions differ by up to {spread - 1:.1%}: no regression is shown"
        return subject.finding(figure, "baseline", "met", reason=noise, **said)
    return subject.finding(figure, "baseline", "suspected", reason=ratio(found), **said)


def session_spread(was: list[tuple[float, ...]]) -> float:
    """By what a session's median may be off from that of a baseline's, as a factor above 1.

    The prediction interval for one session more, from how much those of the baseline differ; from `SESSION_SPREAD` if
    they are too few.
    """
    medians = [math.log(float(np.median(one))) for one in was if len(one) and min(one) > 0]
    n = len(medians)
    if n < SESSIONS_KNOWN:
        return 1 + SESSION_SPREAD
    return math.exp(statistics.student(n - 1) * float(np.std(medians, ddof=1)) * math.sqrt(1 + 1 / n))


def ratio(found: Estimate | Comparison, tail: float = statistics.TAIL) -> str:
    """By how much worse, in words, with the interval whose ends miss so often each."""
    value = found.value if isinstance(found, Estimate) else found.ratio
    if value is None:
        return found.reason
    low, high = found.low, found.high
    if low is None or high is None:
        return f"{value - 1:+.1%}"
    return f"{value - 1:+.1%} ({100 * (1 - 2 * tail):.3g} % interval {low - 1:+.1%} to {high - 1:+.1%})"


PAIRS = (10, 20, 40, 80)
"""After how many pairs of blocks these are looked at; after the last no difference is taken for shown."""

FALSE_ALARMS = 0.01
"""How often a file that is as fast may be called slower, over all looks (Bonferroni)."""

LOOK_TAIL = FALSE_ALARMS / len(PAIRS)
"""How often each end of the interval of a look may miss."""

WORTH = 1.05
"""If pairs show that a file is not even so much slower, no more of them are run."""


def judged_pairs(new: Sequence[float], old: Sequence[float], tolerance: float, *, last: bool) -> tuple[str, Comparison]:
    """What pairs of blocks show so far: ``missed``, ``met``, or ``suspected`` if more of them may tell.

    Args:
        new: a figure of the new file's blocks.
        old: the same of the baseline's file, in pairs with it.
        tolerance: see `edgekit.nouns.budget.Demands`.
        last: there will be no more of them.
    """
    found = statistics.compare(new, old, LOOK_TAIL)
    if found.ratio is None or found.low is None or found.high is None:
        return ("met" if last else "suspected"), found
    if found.low > 1 and found.ratio > 1 + tolerance:
        return "missed", found
    decided = found.low > 1 or found.high < WORTH or last
    return ("met" if decided else "suspected"), found
