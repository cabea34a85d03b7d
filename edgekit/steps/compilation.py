"""The files of a variant, built by its backend."""

from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.host import compilers
from edgekit.nouns.building import Built, Job, Tried
from edgekit.nouns.model import CALIBRATED, Signature
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps.conversion import Subject
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content


def compile_variant(
    session: Session, subject: Subject, variant: Variant, calibration: Answer[Kept] | None, seed: int, *, way: str = ""
) -> Answer[Built]:
    """Build the files of one variant, through its base backend if it has one.

    Args:
        session: of the run.
        subject: the source.
        variant: which files, and how.
        calibration: samples, for a precision that needs them, or can do with them.
        seed: of what is drawn.
        way: how, in words, for whoever watches.

    Raises:
        Unsupported: the network cannot be built so; the operators are named.
    """
    network, direct = subject.network, subject.read_by(variant)
    own = subject.own(variant.precision)
    waist = subject.waist if own is None else own
    signature = waist.result.signature if waist is not None else network.model.signature
    basis: Answer[Any] | None = waist
    base_file = None if waist is None else waist.folder / waist.result.file
    tried: tuple[Tried, ...] | None = None
    if variant.base is not None and not (own is not None and subject.finished):
        basis = built = compile_variant(session, subject, _base_of(variant), calibration, seed, way=way)
        signature, base_file = built.result.signature, built.folder / built.result.files[0]
        tried = built.result.tried  # by whoever made the integers
    job = msgspec.structs.replace(
        _job(subject, variant, signature),
        waist=None if base_file is None else str(base_file),
        calibration=None if calibration is None else str(calibration.folder / SAMPLES),
        seed=seed,
    )
    read = None if direct and own is None else basis

    def build(out: Path) -> Built:
        return session.backend(variant.backend).build(job, variant.file, out)

    question = _question(network, variant, job, read, calibration)
    made = session.ask(
        msgspec.structs.replace(question, doing=f"{way}: {question.doing}") if way else question,
        Built,
        network.origin.reading(build) if direct else build,
    )
    if tried is None:
        return made
    return msgspec.structs.replace(made, result=msgspec.structs.replace(made.result, tried=tried))


def _job(subject: Subject, variant: Variant, signature: Signature) -> Job:
    """What a variant's backend is asked, but for the files that it reads; ``signature`` is that of its basis."""
    network, precision = subject.network, variant.precision
    whole_integers = subject.read_by(variant) and precision in CALIBRATED & {network.model.precision}
    return Job(
        waist=None,
        has_integers=subject.own(precision) is not None or whole_integers,
        source=str(network.path),
        # Of what was cut or trained the waist is all there is.
        source_format=network.model.format if network.whole and not subject.passed else "tflite",
        signature=signature,
        source_signature=network.model.signature,
        precision=precision,
        io=variant.io,
        learned=str(subject.learned[precision]) if precision in subject.learned else None,
        settings=variant.settings,
        keep_layout=network.options.keep_layout,
    )


def _question(
    network: OpenedNetwork,
    variant: Variant,
    job: Job,
    basis: Answer[Any] | None,
    calibration: Answer[Kept] | None,
) -> Question:
    """What decides a file: the job, with digests in place of its paths, and the compilers of its backend."""
    backend = variant.backend
    inputs: dict[str, Input] = {
        "source": network,
        "source_signature": Known(digest_of(job.source_signature)),
        "signature": Known(digest_of(job.signature)),
    }
    if basis is not None:
        inputs["waist" if variant.base is None else variant.base] = basis
    if calibration is not None:
        inputs["calibration"] = content(calibration)
    if compiler := compilers.installed().get(backend):
        inputs["compiler"] = Known(digest_of(compiler))
    return Question(
        what="build",
        leaf=f"backends/{backend}",
        settings={
            "file": variant.file,
            "precision": job.precision,
            "io": job.io,
            "source_format": job.source_format,
            "has_integers": job.has_integers,
            "keep_layout": job.keep_layout,
        }
        | job.settings,
        inputs=inputs,
        seed=job.seed,
        doing=f"building {variant.file} with {backend}",
    )


def _base_of(variant: Variant) -> Variant:
    """What the base backend is asked for: the same file in full integers, nothing left in float."""
    return Variant(
        file=variant.file,
        backend=variant.base or "",
        precision=variant.precision,
        io=variant.io,
        use=variant.use,
        settings=variant.settings | {"full_integer": True},
    )
