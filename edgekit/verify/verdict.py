"""The verdict on a file: evidence in, one word and its reasons out."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgekit.nouns.verification import (
    Agreement,
    Budget,
    Coverage,
    Judged,
    Probes,
    TaskMetric,
    Verdict,
    Verification,
)
from edgekit.verify import agreement, changes, metrics, parts, probes
from edgekit.verify.case import Case
from edgekit.verify.changes import FEWEST_CHOICES
from edgekit.verify.coverage import MOST
from edgekit.verify.parts import FLOOR_DB
from edgekit.verify.probes import Probed
from edgekit.waist import movement
from edgekit.waist.tensors import SIGMOID_ROUNDING, Array

SEVERITY: dict[Verdict, int] = {"pass": 0, "warn": 1, "miss": 2, "fail": 3}

Finding = tuple[Verdict, str]


def judge(case: Case, reference: dict[str, Array], outputs: dict[str, Array], probed: Probed | None = None) -> Judged:
    """The evidence with its verdict; the worst output, or the worst branch of one, decides.

    Args:
        case: what is judged.
        reference: the source's outputs ``[N, *shape]``.
        outputs: the artifact's.
        probed: both sides on probes.

    Raises:
        InputError: the artifact's outputs have other shapes.
    """
    agreements = agreement.compare(reference, outputs, case.made)
    seen = None if probed is None else probes.agreement(probed, reference)
    found, lowest_db = _findings(case, agreements, reference, outputs, seen)
    stateful = probed is not None and probes.keeps_state(probed.reference)
    refusal, evident = _refusal(case, found, reference, outputs, probed)
    return Judged(
        verification=Verification(
            samples=len(next(iter(reference.values()))),
            samples_origin=case.origin,
            samples_use=case.use,
            outputs=agreements,
            sqnr_db=lowest_db,
            threshold_db=case.threshold_db,
            floor_db=None if case.exact else FLOOR_DB,
            probes=seen,
            keeps_state=stateful,
            metric=case.measured,
            max_drop=case.budget.max_drop,
            min_agreement=case.budget.min_agreement,
            min_sqnr_db=case.budget.min_sqnr_db,
            coverage=case.coverage,
            verdict=found[0][0] if found else "pass",
            reason="; ".join(dict.fromkeys(reason for _, reason in found)),
            remarks=tuple(_remarks(case, reference, agreements, stateful=stateful)),
        ),
        refusal=refusal,
        searchable=evident is not None,
        probe=evident or None,
    )


def _findings(
    case: Case,
    agreements: tuple[Agreement, ...],
    reference: dict[str, Array],
    outputs: dict[str, Array],
    seen: Probes | None,
) -> tuple[list[Finding], float | None]:
    """All that is to be said against the file, the worst first, and the SQNR of its worst output."""
    same = _same_choices(case, reference, outputs)
    lowest_db = _lowest([found for found in agreements if found.output not in same] or agreements)
    found = [
        *_about_agreement(case, agreements, reference, outputs, same),
        *_about_choices(case, reference, outputs, same),
        *_about_answers(case, reference, outputs),
        *_about_metric(case),
        *_about_budget(case.budget, agreements, lowest_db),
        *_about_coverage(case.coverage),
        *_about_inputs(case, seen),
    ]
    return sorted(found, key=lambda finding: -SEVERITY[finding[0]]), lowest_db


def _lowest(told: Sequence[Agreement]) -> float | None:
    """SQNR of the worst output, or of the worst branch of one; None if all are identical."""
    levels = [found.sqnr_db for found in told if found.sqnr_db is not None]
    return min([*levels, *(level for found in told for level, _ in _branch(found))], default=None)


def _ends(silent: Array) -> str:
    """Where an output's probabilities stay."""
    ends = np.unique(np.round(np.asarray(silent[:1], np.float64))).astype(int).tolist()
    return " or ".join(map(str, ends))


def _about_inputs(case: Case, seen: Probes | None) -> Iterator[Finding]:
    """What calibration saw, and what the probes say of a float file."""
    if case.constant_data:
        yield "fail", "it was calibrated on data of one value, which shows no range"
    elif case.still:
        told = f"input {', '.join(case.still)}: the same in all samples that calibrated it"
        yield "warn", f"{told}, so that no other value is known (let it vary, or bind it with --constant)"
    if case.use == "random" and case.unshown:
        yield "warn", case.unshown[0]
    if seen is not None and case.exact and seen.sqnr_db is not None and seen.sqnr_db < probes.FAR_OFF_DB:
        yield "warn", f"it comes within {seen.sqnr_db:.1f} dB only on {seen.worst}"


def _branch(found: Agreement) -> list[tuple[float, str]]:
    """SQNR of an output's worst branch, with what it is called."""
    branches = [part for part in found.worst_parts if part.branch]
    return [(part.sqnr_db, f"{found.output}, {part.name}") for part in branches if part.sqnr_db is not None]


def _about_agreement(
    case: Case,
    agreements: tuple[Agreement, ...],
    reference: dict[str, Array],
    outputs: dict[str, Array],
    same: set[str],
) -> Iterator[Finding]:
    """What SQNR says: of the worst that the samples ask for, and of parts that are lost."""
    exact = case.exact
    silent = {
        found.output
        for found in agreements
        if (not exact or _is_rounding(case, found)) and parts.is_silent(reference[found.output], outputs[found.output])
    }
    for found in agreements:
        if found.output in silent and not found.identical and movement.varies(reference[found.output]):
            where = f"stays within {parts.SILENT:g} of {_ends(reference[found.output])} for all samples"
            yield "warn", f"output {found.output} {where}: it was hardly seen"
    judged = [found for found in agreements if found.output not in silent | same]
    whole = [(found.sqnr_db, found.output) for found in judged if found.sqnr_db is not None]
    branches = [level for found in judged for level in _branch(found)]
    for levels in (whole, branches) if exact else (whole + branches,):
        for level, where in sorted(levels)[:1]:
            of_which = where if len(whole + branches) > 1 else ""
            told = _about_level(case.threshold_db, level, of_which, refused=exact and levels is whole)
            yield from (("warn", why) for _, why in told) if _is_shown(case) else told
    for found in judged:
        if not exact:
            yield from changes.about(case, found, reference[found.output], outputs[found.output], shown=_is_shown(case))
        yield from _about_parts(case, found)


def _is_rounding(case: Case, found: Agreement) -> bool:
    """Whether a float file is far from its source by what a sigmoid's own rounding takes from scores near 0."""
    far = found.sqnr_db is not None and found.sqnr_db < case.threshold_db
    return far and found.max_abs_error <= SIGMOID_ROUNDING


def _is_shown(case: Case) -> bool:
    """Whether a task metric shows that a network that was trained is of use, be its outputs far from the source's."""
    measured = case.measured
    return case.trained and measured is not None and metrics.is_skilled(measured) and not _is_lost(measured)


def _is_lost(measured: TaskMetric) -> bool:
    return metrics.is_chance(measured, measured.artifact)


def _levels(case: Case, output: str) -> str:
    """What helps a part of an int8 output that is constant, for want of levels of its own."""
    made, ways = case.made.get(output), list[str]()
    if case.joins and (made is None or made.cuts):
        ways.append(f"keep what joins it out of the integers (--set float_operators={case.joins})")
    elif case.joins:
        ways.append("let a search keep operators out of the integers (--min-sqnr DB --effort normal)")
    elif made is None or made.cuts:
        ways.append("cut the network before what joins it (--outputs), and join in the app")
    if case.wider:
        ways.append(f"choose {' or '.join(case.wider)}")
    return ", or ".join(ways)


ENDS = "calibrate with samples that reach its ends (and --set ranges=minmax)"
"""What helps a part that is clipped."""


def _about_parts(case: Case, found: Agreement) -> Iterator[Finding]:
    """Parts of an output that are lost: below the floor, constant, or clipped; and what helps."""
    constant = [part for part in found.collapsed if part.constant]
    for worst in filter(parts.is_lost, found.worst_parts):
        if not worst.constant and not worst.branch:
            yield "warn", f"{found.output}, {worst.name}: SQNR {worst.sqnr_db:.1f} dB"
        elif worst.constant and not any(part.branch == worst.branch for part in constant):
            constant = [worst, *constant]
    for part in constant:
        yield "fail" if part.branch else "warn", f"{found.output}, {part.name}: constant, where the source's varies"
    clipped = [part for part in found.collapsed if part.clipped]
    for part in clipped:
        where = f"{found.output}, {part.name}" if part.name else f"output {found.output}"
        yield "warn", f"{where}: clipped, {part.clipped:.0%} of the source's values lie beyond its ends"
    helps = _levels(case, found.output) if constant else ENDS if clipped else ""
    if case.precision == "int8" and helps:
        yield "warn", helps


def _same_choices(case: Case, reference: dict[str, Array], outputs: dict[str, Array]) -> set[str]:
    """The outputs of whole numbers that count as the source's."""
    whole = [name for name, values in reference.items() if values.dtype.kind in "iub" and values.size]
    return {name for name in whole if agreement.kappa(reference[name], outputs[name]) >= case.least_kappa}


def _about_choices(
    case: Case, reference: dict[str, Array], outputs: dict[str, Array], same: set[str]
) -> Iterator[Finding]:
    """Choices that are others than the source's, be their numbers near: what they are made of has lost too much."""
    for name, expected in reference.items():
        if name not in same and agreement.is_choices(expected):
            share, kappa = agreement.share_same(expected, outputs[name]), agreement.kappa(expected, outputs[name])
            told = f"{share:.0%} of the whole numbers of output {name} are the source's"
            yield "warn", f"{told} (Cohen's kappa {kappa:.2f}, less than {case.least_kappa:g})"


def _about_level(threshold: float, level: float, where: str, *, refused: bool) -> Iterator[Finding]:
    """Whether the lowest SQNR is below a line; ``refused``: the precision's own is that of a refusal."""
    told = f"{f'{where}: ' if where else ''}SQNR {level:.1f} dB is below"
    if level < FLOOR_DB and not refused:
        yield "fail", f"{told} {FLOOR_DB:.0f} dB, where half of the answer is error"
    elif level < threshold:
        yield "fail" if refused else "warn", f"{told} {threshold:.0f} dB"


def _about_answers(case: Case, reference: dict[str, Array], outputs: dict[str, Array]) -> Iterator[Finding]:
    """What the answers themselves say: such as never change, and classes that are chosen by chance."""
    for name, expected in reference.items():
        undefined = sum(bool(np.isnan(row).any()) for row in expected) if expected.dtype.kind == "f" else 0
        if undefined:
            told = f"the source's own output {name} has NaN in {undefined} of {len(expected)} samples"
            yield "warn", f"{told}, which was not compared"
        if len(expected) < 2 or undefined == len(expected):
            continue
        made = case.made.get(name)
        if not movement.varies(expected):
            if made is None or made.depends:
                yield "warn", f"the source's output {name} is the same for all samples, so that nothing was compared"
            continue
        if not movement.varies(outputs[name], noise=0.0) and not parts.is_silent(expected, outputs[name]):
            yield "fail", f"output {name} is the same whatever the input"
        if _by_chance(expected, outputs[name]):
            chosen = "classes that it chooses" if made and made.shares is not None else "places of its highest values"
            yield "fail", f"output {name}: the {chosen} agree with the source's no better than by chance"


def _by_chance(expected: Array, got: Array) -> bool:
    """Whether Cohen's kappa of the chosen classes is 0 or less, and no more than half of them agree."""
    if not agreement.is_classes(expected) or len(expected) < FEWEST_CHOICES:
        return False
    wanted, chosen = expected.argmax(axis=-1).ravel(), got.argmax(axis=-1).ravel()
    few = float(np.mean(wanted == chosen)) <= 0.5 and len(np.unique(wanted)) > 1
    return few and agreement.kappa(wanted, chosen) <= 1e-9 and not movement.follows(expected, got)


def _about_metric(case: Case) -> Iterator[Finding]:
    measured = case.measured
    if measured is None:
        return
    most = case.budget.max_drop
    if most is not None and measured.drop > most:
        yield "miss", f"{measured.name} dropped by {measured.drop:.4f}, more than the {most} allowed"
    if metrics.is_chance(measured, measured.source):
        why = case.odd_labels or "check the labels, their order and the preprocessing"
        told = f"{measured.name} of the source itself is {measured.source:.4f}, no better than chance"
        yield "warn", f"{told} ({measured.chance:.4f}): {why}"
    elif measured.chance is not None and not metrics.is_skilled(measured):
        told = f"{measured.name} of the source itself is {measured.source:.4f} over {measured.samples} samples"
        yield "warn", f"{told}, hardly better than chance ({measured.chance:.4f}), so that a drop would not show"
    elif metrics.is_chance(measured, measured.artifact):
        verdict: Verdict = "warn" if case.exact else "fail"
        yield verdict, f"{measured.name} is {measured.artifact:.4f}, no better than chance ({measured.chance:.4f})"


def _about_budget(budget: Budget, agreements: tuple[Agreement, ...], lowest_db: float | None) -> Iterator[Finding]:
    """What the user demands of agreement and of SQNR; outputs that are equal bit for bit meet any."""
    if budget.min_sqnr_db is not None and lowest_db is not None and lowest_db < budget.min_sqnr_db:
        yield "miss", f"SQNR {lowest_db:.1f} dB is less than the {budget.min_sqnr_db:g} dB asked for"
    for found in agreements:
        share, least = found.top1_agreement, budget.min_agreement
        if share is not None and least is not None and share < least:
            told = f"{share:.2%} of the choices of output {found.output} are the source's"
            yield "miss", f"{told}, fewer than the {least:.2%} asked for"


def _about_coverage(coverage: Coverage | None) -> Iterator[Finding]:
    if coverage is None:
        return
    of = "operators" if coverage.macs is None else "multiply-accumulates"
    told = f"{coverage.device} takes {coverage.share:.0%} of the {of}"
    if coverage.least is not None and coverage.share < coverage.least:
        yield "miss", f"{told}, less than the {coverage.least:.0%} asked for"
    elif coverage.least is None and coverage.share < MOST:
        yield "warn", f"{told} ({coverage.operators:.0%} of the operators), so that most of the network runs on the CPU"


def _refusal(
    case: Case,
    found: list[Finding],
    reference: dict[str, Array],
    outputs: dict[str, Array],
    probed: Probed | None,
) -> tuple[str, int | None]:
    """Why nobody may get this file, in whatever precision.

    The number is that of the probe that shows it, 0 if samples do, None if no single input does.
    """
    told = "output {} is not finite for {}, where the source's is"
    if (broken := probes.not_finite(reference, outputs)) is not None:
        return told.format(broken[0], f"sample {broken[1]}"), 0
    if probed is not None:
        if (broken := probes.not_finite(probed.reference, probed.outputs)) is not None:
            return told.format(broken[0], probed.names[broken[1]]), broken[1]
        mine, source = probes.keeps_state(probed.outputs), probes.keeps_state(probed.reference)
        if mine and not source:
            return "it keeps state from run to run, so that an input's result depends on those before it", None
        if source and not mine:
            return "the source keeps state from run to run, or draws random numbers, and the file does not", None
    failed = [reason for verdict, reason in found if verdict == "fail"]
    return failed[0] if failed and case.exact else "", 0


TELLING = 0.03
"""An interval of agreement that is narrower (±) is not told."""


def _about_others(case: Case, found: Agreement, samples: int) -> Iterator[str]:
    """On how many other samples an output may agree, if that is uncertain."""
    share = found.top1_agreement
    if share is None or share == 1.0:
        return
    low, high = agreement.interval(share, min(samples, found.choices))
    if high - low > 2 * TELLING:
        fitted = "; likely less, since the file was calibrated on these" if case.use == "calibration" else ""
        told = f"output {found.output} agrees on {share:.1%} of its choices in {samples} samples"
        yield f"{told}: about {low:.0%} to {high:.0%} in new samples (95 % interval){fitted}"


def _remarks(
    case: Case, reference: dict[str, Array], agreements: tuple[Agreement, ...], *, stateful: bool
) -> Iterator[str]:
    """What limits the evidence, or what an app must do."""
    if stateful:
        yield (
            "it keeps state from run to run, as its source does: start each new sequence with a new interpreter "
            "(OpenVINO: inference request)"
        )
    if case.fed_back and not case.exact:
        pairs = " and ".join(f"output {output} as input {taken}" for output, taken in case.fed_back)
        yield f"if your app feeds back {pairs}, errors add up, which no sample shows: compare a whole sequence"
    if case.odd_labels and not (case.measured and metrics.is_chance(case.measured, case.measured.source)):
        yield case.odd_labels
    for found in agreements:
        yield from _about_others(case, found, len(reference[found.output]))
        made = case.made.get(found.output)
        kind = "of class" if made and made.shares is not None else "whose highest value is at"
        told = [f"{one.agreement:.0%} of the {one.samples} {kind} {one.index}" for one in found.classes]
        if told and found.top1_agreement is not None:
            yield f"output {found.output} agrees on {found.top1_agreement:.1%}, but only on {', '.join(told)}"
    for name, values in reference.items():
        if (made := case.made.get(name)) is not None and not made.depends and len(values) > 1:
            yield f"output {name} does not depend on the inputs"
    if case.min_mapped is not None and case.coverage is None:
        yield "--min-mapped says nothing of this file, which has no accelerator"
