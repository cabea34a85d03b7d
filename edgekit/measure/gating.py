"""The judgement of a gate: figures against a budget, and against a baseline within the noise of what measured them.

A measured figure that seems worse is only suspected here; `edgekit.verbs.gate` measures it again.
"""

import math
from collections.abc import Iterator

from edgekit.errors import InputError
from edgekit.measure import figures, regressions
from edgekit.measure.baseline import kept
from edgekit.measure.figures import KINDS, Kind
from edgekit.measure.gated import GatedFile
from edgekit.measure.statistics import NORMAL
from edgekit.nouns.budget import Demands
from edgekit.nouns.gating import BaselineFile, Figure, Finding
from edgekit.nouns.profile import Estimate

SQNR_DB = 1.0
"""How much SQNR may fall without being a regression: 12 % more noise."""

SHARES = {"top1", "top5"}
"""Metrics that count samples, whose noise is binomial."""


def by_budget(subject: GatedFile) -> Iterator[Finding]:
    """Every figure that a budget limits, those of accuracy that the build stated among them; and the verdicts."""
    judged = subject.file.verification
    if judged is not None and judged.verdict == "fail":
        yield subject.finding("verification", "budget", "missed", reason=f"it is of no use: {judged.reason}")
    for seen in subject.file.device_verifications:
        if seen.verdict == "fail":
            reason = f"it computes something else there: {seen.first_difference or 'its outputs differ'}"
            yield subject.finding("verification", "budget", "missed", device=seen.device, reason=reason)
    demands = subject.demands
    if judged is not None:
        built = Demands(max_drop=judged.max_drop, min_agreement=judged.min_agreement, min_sqnr=judged.min_sqnr_db)
        demands = demands.over(built)
    for kind in KINDS:
        limit = kind.limit(demands)
        if limit is None or (kind.name == "mapped" and judged is not None and judged.coverage is None):
            continue
        if kind.of_file is not None:
            yield _limited(subject, kind, limit, kind.of_file(subject.file))
        else:
            yield from _on_devices(subject, kind, limit)


def _on_devices(subject: GatedFile, kind: Kind, limit: float) -> Iterator[Finding]:
    assert kind.of_profile is not None
    said = {"limit": limit, "unit": kind.unit}
    if subject.without_device:
        yield subject.finding(kind.name, "budget", "skipped", reason="devices are left out", **said)
        return
    if not subject.profiles:
        reason = f"it was not measured; {kind.need} does that"
        yield subject.finding(kind.name, "budget", "unknown", reason=reason, **said)
    for device, profile in subject.profiles.items():
        yield _limited(subject, kind, limit, kind.of_profile(profile), device)


def _limited(subject: GatedFile, kind: Kind, limit: float, found: Estimate, device: str = "") -> Finding:
    """One figure against its limit; an interval that holds the limit shows no miss."""
    said = {"limit": limit, "unit": kind.unit, "device": device}
    if found.value is None:
        need = f"; {kind.need} tells it" if kind.need else ""
        return subject.finding(kind.name, "budget", "unknown", reason=f"{found.reason}{need}", **said)
    value = found.value if math.isfinite(found.value) else None
    most = kind.bound == "most"
    beyond = found.value > limit if most else found.value < limit
    sure = found.low if most else found.high
    within = beyond and sure is not None and (sure <= limit if most else sure >= limit)
    verdict = "missed" if beyond and not within else "met"
    reason = "its 95 % interval holds the limit" if within else "" if value is not None else "it is identical"
    return subject.finding(kind.name, "budget", verdict, value=value, reason=reason, **said)


def _require_same(new: BaselineFile, old: BaselineFile) -> None:
    """Refuse to compare with another model's baseline.

    Raises:
        InputError: the source, or what goes in and comes out, is another.
    """
    for what, was, now in (
        ("the model", (old.model,), (new.model,)),
        ("inputs", old.inputs, new.inputs),
        ("outputs", old.outputs, new.outputs),
    ):
        if was != now:
            raise InputError(
                f"The baseline is of another model: {what} of {old.target}/{old.file} in it: {', '.join(was)}; "
                f"now: {', '.join(now)}.",
                place=f"{old.target}/{old.file}",
                fix="name that model's baseline with --baseline, or save a new one: edgekit baseline save",
            )


def by_baseline(subject: GatedFile, old: BaselineFile, *, paired: bool) -> Iterator[Finding]:
    """Every figure that the baseline holds.

    Args:
        subject: the file now.
        old: the file then.
        paired: the old file is at hand, so that both can be measured in turns.

    Raises:
        InputError: the baseline is of another model, or of other devices alone.
    """
    new = kept(subject.manifest, subject.file)
    _require_same(new, old)
    yield from _accuracy(subject, new, old)
    yield _size(subject, old)
    if not old.sessions:
        return
    if subject.without_device:
        yield subject.finding("latency", "baseline", "skipped", reason="devices are left out")
        return
    yield from _sessions(subject, old, paired=paired)


def _accuracy(subject: GatedFile, new: BaselineFile, old: BaselineFile) -> Iterator[Finding]:
    noise = "within the noise of so many samples"
    if old.metric is not None and old.metric == new.metric:
        was, now = old.metric_value or 0.0, new.metric_value or 0.0
        worse = now - was if False in {old.higher_is_better, new.higher_is_better} else was - now
        counted = old.metric in SHARES
        tolerated = _binomial(was, old.samples, now, new.samples) if counted else subject.tolerance * abs(was)
        yield _fallen(subject, "metric", (was, now), (worse, tolerated, noise))
    elif old.metric is not None:
        reason = f"the baseline has {old.metric}, this build has {new.metric or 'no metric'}"
        yield subject.finding("metric", "baseline", "unknown", limit=old.metric_value, reason=reason)
    if old.agreement is not None and new.agreement is not None:
        tolerated = _binomial(old.agreement, old.samples, new.agreement, new.samples)
        loss = (old.agreement - new.agreement, tolerated, noise)
        yield _fallen(subject, "agreement", (old.agreement, new.agreement), loss)
    if old.sqnr_db is not None and new.sqnr_db is not None and old.data == new.data:
        loss = (old.sqnr_db - new.sqnr_db, SQNR_DB, f"within {SQNR_DB:g} dB")
        yield _fallen(subject, "sqnr", (old.sqnr_db, new.sqnr_db), loss, "dB")


def _binomial(old: float, old_samples: int, new: float, new_samples: int) -> float:
    """Half the 95 % interval of the difference of two shares; a share is taken as that of two samples more, half right.

    Agresti & Caffo 2000, The American Statistician 54:280.
    """
    variance = 0.0
    for share, n in ((old, old_samples), (new, new_samples)):
        smoothed = (share * n + 1) / (n + 2)
        variance += smoothed * (1 - smoothed) / (n + 2)
    return NORMAL * math.sqrt(variance)


def _fallen(
    subject: GatedFile, figure: Figure, sides: tuple[float, float], loss: tuple[float, float, str], unit: str = ""
) -> Finding:
    """A figure that is exact: ``sides`` are old and new, ``loss`` how much worse it is, what is tolerated, and why."""
    (old, new), (worse, tolerated, noise) = sides, loss
    verdict, reason = "missed" if worse > tolerated else "met", noise if 0 < worse <= tolerated else ""
    return subject.finding(figure, "baseline", verdict, value=new, limit=old, unit=unit, reason=reason)


def _size(subject: GatedFile, old: BaselineFile) -> Finding:
    was, now = float(sum(part.bytes for part in old.files.values())), float(subject.file.size_bytes)
    return _fallen(
        subject, "size", (was, now), (now - was, subject.tolerance * was, f"within {subject.tolerance:.1%}"), "B"
    )


def _sessions(subject: GatedFile, old: BaselineFile, *, paired: bool) -> Iterator[Finding]:
    """Measured figures against the baseline's, device by device."""
    known = {one.device.id: one.device for one in old.sessions}
    profiles = subject.profiles
    if not profiles:
        reason = f"it was not measured; {figures.PROFILE} does that"
        yield subject.finding("latency", "baseline", "unknown", device=", ".join(known), reason=reason)
        return
    shared = [device for device in profiles if device in known and profiles[device].latency is not None]
    if not shared:
        raise InputError(
            f"The baseline was measured on {', '.join(known)}, and {subject.file.file} on {', '.join(profiles)}.",
            place=f"{old.target}/{old.file}",
            fix=f"measure it there: edgekit profile FOLDER --device {next(iter(known))}; or save a new baseline",
        )
    for device in shared:
        profile = profiles[device]
        for what in ("cpu", "title"):
            was, now = getattr(known[device], what), getattr(profile.device, what)
            if was != now:
                raise InputError(
                    f"The baseline was measured on another machine named {device}: {was}, and this one is {now}.",
                    place=f"{old.target}/{old.file}",
                    fix="save a baseline of this device: edgekit baseline save",
                )
        yield from regressions.by_sessions(subject, old, profile, paired=paired)
