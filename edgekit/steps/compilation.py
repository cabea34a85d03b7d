"""The files of a variant, built by its backend."""

from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.host import compilers
from edgekit.nouns.building import Built, Job
from edgekit.nouns.model import CALIBRATED, Boundary, Precision
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps.conversion import Subject
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content


class Order(msgspec.Struct, frozen=True):
    """One file to build, with everything that decides how."""

    variant: Variant
    precision: Precision
    io: Boundary | None
    calibration: Answer[Kept] | None
    seed: int


def compile_variant(session: Session, subject: Subject, order: Order) -> Answer[Built]:
    """Build the files of one variant, through its base backend if it has one.

    Raises:
        Unsupported: the network cannot be built so; the operators are named.
    """
    network, variant = subject.network, order.variant
    own = subject.own(order.precision)
    waist = subject.waist if own is None else own
    direct = network.read_by(variant)
    signature = waist.result.signature if waist is not None else network.model.signature
    basis: Answer[Any] | None = waist
    base_file = None if waist is None else waist.folder / waist.result.file
    if variant.base is not None and not (own is not None and subject.finished):
        basis = built = compile_variant(session, subject, _base_order(order))
        signature, base_file = built.result.signature, built.folder / built.result.files[0]
    calibration = order.calibration
    job = Job(
        waist=None if base_file is None else str(base_file),
        has_integers=own is not None or (direct and order.precision in CALIBRATED & {network.model.precision}),
        source=str(network.path),
        source_format=network.model.format if network.whole else "tflite",  # then the waist is all there is
        signature=signature,
        source_signature=network.model.signature,
        precision=order.precision,
        io=order.io,
        calibration=None if calibration is None else str(calibration.folder / SAMPLES),
        settings=variant.settings,
        keep_layout=network.options.keep_layout,
        seed=order.seed,
    )
    read = None if direct and own is None else basis

    def build(out: Path) -> Built:
        return session.backend(variant.backend).build(job, variant.file, out)

    return session.ask(
        _question(network, order, job, read),
        Built,
        network.origin.reading(build) if direct else build,
    )


def _question(network: OpenedNetwork, order: Order, job: Job, basis: Answer[Any] | None) -> Question:
    """What decides a file: the job, with digests in place of its paths, and the compilers of its backend."""
    backend = order.variant.backend
    inputs: dict[str, Input] = {
        "source": network,
        "source_signature": Known(digest_of(job.source_signature)),
        "signature": Known(digest_of(job.signature)),
    }
    if basis is not None:
        inputs["waist" if order.variant.base is None else order.variant.base] = basis
    if order.calibration is not None:
        inputs["calibration"] = content(order.calibration)
    if compiler := compilers.installed().get(backend):
        inputs["compiler"] = Known(digest_of(compiler))
    return Question(
        what="build",
        leaf=f"backends/{backend}",
        settings={
            "file": order.variant.file,
            "precision": job.precision,
            "io": job.io,
            "source_format": job.source_format,
            "has_integers": job.has_integers,
            "keep_layout": job.keep_layout,
        }
        | job.settings,
        inputs=inputs,
        seed=job.seed,
        doing=f"building {order.variant.file} with {backend}",
    )


def _base_order(order: Order) -> Order:
    """What the base backend is asked for: the same file in full integers, nothing left in float."""
    variant = order.variant
    base = Variant(
        file=variant.file,
        backend=variant.base or "",
        precision=order.precision,
        use=variant.use,
        settings=variant.settings | {"full_integer": True},
    )
    return msgspec.structs.replace(order, variant=base)
