"""The step that looks into a file: its operators against the float network that it was made from."""

from collections.abc import Sequence
from pathlib import Path

from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, file_digest
from edgekit.errors import InputError
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps import compilation, conversion, optimization
from edgekit.steps.conversion import Subject
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content

BACKENDS = {".tflite": "tflite", ".xml": "openvino"}
"""Who runs a file, by its suffix."""


FLOATS = Variant(file="float32.xml", backend="openvino", precision="float32", reads=("onnx",), use="")
"""What OpenVINO's files are held against."""


def counterparts(
    session: Session, artifact: Path, network: OpenedNetwork, variants: Sequence[Variant], samples: Answer[Kept]
) -> tuple[Answer[Waist], ...]:
    """Forms of the float network that a file may be made from: the waist, as it was rewritten for each variant and as
    it is; for OpenVINO's files what it writes of the source.

    Args:
        session: of the run.
        artifact: the file.
        network: its source.
        variants: what the file may be.
        samples: that the network runs on.

    Raises:
        Unsupported: the source has no such form.
    """
    if BACKENDS.get(artifact.suffix) == FLOATS.backend:
        subject = conversion.subject(session, network, (FLOATS,), samples)
        built = compilation.compile_variant(session, subject, FLOATS, None, 0)
        written = Waist(file=built.result.files[0], signature=built.result.signature)
        return (Answer(written, built.folder, built.files, built.from_cache, built.steps),)
    waist = conversion.to_waist(session, network, samples)
    subject = Subject(network, waist, None)
    made = [optimization.optimized(session, subject, variant, drafted=False).waist for variant in variants]
    found = {one.sha256: one for one in (*made, waist) if one is not None}
    return tuple(found.values())


def diagnose(
    session: Session, artifact: Path, waists: Sequence[Answer[Waist]], samples: Answer[Kept], helps: int
) -> Answer[Diagnosis]:
    """Hold every operator of a file against the closest of its `counterparts`; see `edgekit.backends.Backend.diagnose`.

    Raises:
        InputError: it is no file of a backend, or was not made from this network.
        Unsupported: its operators cannot be looked into.
    """
    backend = BACKENDS.get(artifact.suffix)
    if backend is None:
        raise InputError(
            f"{artifact.name} is no file that edgekit builds.",
            place=str(artifact),
            fix="name a .tflite or .xml file, or a folder that edgekit build wrote",
        )
    forms = [Waist(file=str(one.folder / one.result.file), signature=one.result.signature) for one in waists]

    def look(_: Path) -> Diagnosis:
        return session.backend(backend).diagnose(artifact.absolute(), forms, samples.folder / SAMPLES, helps=helps)

    question = Question(
        what="diagnose",
        leaf=f"backends/{backend}",
        modules=(__name__,),
        settings={"helps": helps},
        inputs={
            "file": Known(file_digest(artifact).sha256),
            **{f"waist {place}": waist for place, waist in enumerate(waists)},
            "signature": Known(digest_of(waists[0].result.signature)),
            "samples": content(samples),
        },
        doing=f"diagnosing {artifact.name}",
    )
    return session.ask(question, Diagnosis, look)
