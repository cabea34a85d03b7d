"""The waist rewritten for what is to run it: the same numbers by fewer operators (`edgekit.rewrites`)."""

from collections.abc import Iterable

import msgspec

from edgekit import rewrites
from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.base import Noun
from edgekit.nouns.model import CALIBRATED, Waist
from edgekit.nouns.quantization import Settings
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.rewrites import Optimized, Runtime
from edgekit.steps import compilation, conversion, sampling
from edgekit.steps.conversion import Subject
from edgekit.steps.sampling import SAMPLES, content

SETTING = "optimize_graph"
"""The key of a variant's settings that switches it off, with the value false."""


DRAFT: Settings = {"weights": "nearest", "ranges": "minmax", "equalization": "off", "float_operators": ()}
"""How a file of integers is made that is only timed: its kernels are those of the file itself."""


class Slower(Noun, frozen=True, kw_only=True):
    """Whether a rewritten file takes longer on this host."""

    slower: bool


def optimized(
    session: Session, subject: Subject, variant: Variant, probes: Answer[Kept] | None = None, *, drafted: bool = True
) -> Subject:
    """The source with its waist as it is best for a file; the source as it is if nothing of it is to be rewritten.

    That is a file that its backend makes of the source itself, or of the source's integers. The rewritten network is
    held against the original on ``probes``. If these are there and it is ``drafted``, drafts of a file of integers are
    timed, and what makes them slower is left out.
    """
    waist = subject.waist
    left_alone = subject.own(variant.precision) is not None or subject.read_by(variant)
    wanted = rules(variant)
    if waist is None or left_alone or not wanted:
        return subject
    answer = ask(session, waist, wanted, probes, timed=_runtime(variant) == "litert")
    if answer is None:
        return subject
    integers = _runtime(variant) == "litert-integers" and variant.precision not in subject.learned
    if answer.result.file is None or probes is None or not integers or not drafted:
        return _rewritten(session, subject, waist, answer)
    return _fastest(session, subject, variant, probes, answer)


def _rewritten(
    session: Session, subject: Subject, waist: Answer[Waist], answer: Answer[Optimized], *notes: str
) -> Subject:
    """A source with what was made of its waist, and what there is to say of it."""
    told = (*waist.result.notes, *answer.result.notes, *notes)
    if answer.result.file is None:
        kept = msgspec.structs.replace(waist.result, notes=told)
        return msgspec.structs.replace(subject, waist=msgspec.structs.replace(waist, result=kept))
    made = msgspec.structs.replace(waist.result, file=answer.result.file, notes=told)
    rewritten = Answer(made, answer.folder, answer.files, answer.from_cache, answer.steps)
    return msgspec.structs.replace(subject, waist=rewritten, cost=conversion.cost(session, rewritten, doing=""))


def _fastest(
    session: Session, subject: Subject, variant: Variant, probes: Answer[Kept], answer: Answer[Optimized]
) -> Subject:
    """A rewritten source, without a rule that makes the file slower, or as it was if a single one does not."""
    waist, done = subject.waist, answer.result.done
    assert waist is not None, "it was rewritten"
    made = _rewritten(session, subject, waist, answer)
    try:
        if not _is_slower(session, subject, made, variant, probes):
            return made
        why = f"{variant.file} took longer on this host"
        for rule in done if len(done) > 1 else ():
            without = ask(session, waist, tuple(name for name in rules(variant) if name != rule), probes)
            if without is not None and without.result.file is not None:
                other = _rewritten(session, subject, waist, without, f"not rewritten by {rule}: {why}")
                if not _is_slower(session, subject, other, variant, probes):
                    return other
    except (InputError, Unsupported):  # a draft cannot be made of probes; the file itself will tell if it cannot be
        return made
    kept = msgspec.structs.replace(waist.result, notes=(*waist.result.notes, f"not rewritten by any rule: {why}"))
    return msgspec.structs.replace(subject, waist=msgspec.structs.replace(waist, result=kept))


def _is_slower(session: Session, before: Subject, after: Subject, variant: Variant, probes: Answer[Kept]) -> bool:
    """Whether a file takes longer on this host if it is made of another form of its network, by drafts of both.

    Raises:
        InputError, Unsupported: a draft cannot be made.
    """
    draft = msgspec.structs.replace(variant, settings=variant.settings | DRAFT)
    sample = sampling.first(session, probes)
    one, other = (
        compilation.compile_variant(session, subject, draft, sample, 0, way="a draft") for subject in (before, after)
    )
    question = Question(
        what="timing", leaf="rewrites/optimizer", modules=(__name__,), inputs={"before": one, "after": other}
    )
    first, second = (built.folder / built.result.files[0] for built in (one, other))
    return session.ask(
        question, Slower, lambda _: Slower(slower=session.optimizer().is_slower(first, second))
    ).result.slower


def require_named(session: Session, subject: Subject, variants: Iterable[Variant]) -> None:
    """Refuse operators that are to stay float and that the network of a TFLite file does not have.

    Raises:
        InputError: with what was meant, or what there is.
    """
    for variant in variants:
        named = variant.settings.get("float_operators")
        bound = variant.settings.get("full_integer") or subject.own(variant.precision) is not None
        if not isinstance(named, tuple) or not named or bound or variant.backend != "tflite":
            continue  # the backend refuses what it takes none of
        waist = optimized(session, subject, variant).waist
        if waist is not None and not subject.read_by(variant):
            from edgekit.waist import graph  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path
            from edgekit.waist.named import outputs  # noqa: PLC0415

            outputs(graph.read(waist.folder / waist.result.file)[0], named, "float_operators")


def rules(variant: Variant) -> tuple[str, ...]:
    """The rewrites by which a file gains, by name; none if they are switched off."""
    runtime = _runtime(variant)
    return () if runtime is None or not variant.settings.get(SETTING, True) else rewrites.chosen(runtime)


def _runtime(variant: Variant) -> Runtime | None:
    """What runs a file. OpenVINO rewrites what it reads itself, and the backends of others may."""
    if variant.backend == "edgetpu":
        return "accelerator"
    if variant.backend != "tflite":
        return None
    return "litert-integers" if variant.precision in CALIBRATED else "litert"


def ask(
    session: Session,
    waist: Answer[Waist],
    wanted: tuple[str, ...],
    probes: Answer[Kept] | None = None,
    *,
    timed: bool = False,
) -> Answer[Optimized] | None:
    """What some rules make of a waist; None if their process dies.

    ``timed``: what comes out slower is not taken. That is for files that LiteRT runs as they are written; of those of
    integers a draft is made first (`integers`).
    """
    path, signature = waist.folder / waist.result.file, waist.result.signature
    inputs: dict[str, Input] = {"waist": waist, "signature": Known(digest_of(signature))}
    if probes is not None:
        inputs["probes"] = content(probes)
    question = Question(
        what="optimize",
        leaf="rewrites/optimizer",
        modules=(__name__, *(f"edgekit.rewrites.{rule}" for rule in wanted)),
        settings={"rules": wanted, "timed": timed},
        inputs=inputs,
    )
    given = None if probes is None else probes.folder / SAMPLES
    try:
        return session.ask(
            question,
            Optimized,
            lambda out: session.optimizer().optimize(path, signature, wanted, out, given, timed=timed),
        )
    except (InputError, Unsupported):  # its process died: a rewrite must not cost the build
        return None
