"""The step that looks into a file: its operators against the float network that it was made from."""

from pathlib import Path

from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, file_digest
from edgekit.errors import InputError
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps import compilation, conversion
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content

BACKENDS = {".tflite": "tflite", ".xml": "openvino"}
"""Who runs a file, by its suffix."""


FLOATS = Variant(file="float32.xml", backend="openvino", precision="float32", reads=("onnx",), use="")
"""What OpenVINO's files are held against."""


def counterpart(session: Session, artifact: Path, network: OpenedNetwork, samples: Answer[Kept]) -> Answer[Waist]:
    """The float network that a file is held against: the waist, or for OpenVINO's files what it writes of the source.

    Raises:
        Unsupported: the source has no such form.
    """
    if BACKENDS.get(artifact.suffix) != FLOATS.backend:
        return conversion.to_waist(session, network, samples)
    subject = conversion.subject(session, network, (FLOATS,), samples)
    built = compilation.compile_variant(session, subject, FLOATS, None, 0)
    written = Waist(file=built.result.files[0], signature=built.result.signature)
    return Answer(written, built.folder, built.files, built.from_cache, built.steps)


def diagnose(
    session: Session, artifact: Path, waist: Answer[Waist], samples: Answer[Kept], helps: int
) -> Answer[Diagnosis]:
    """Hold every operator of a file against its `counterpart`; see `edgekit.backends.Backend.diagnose`.

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
    network = Waist(file=str(waist.folder / waist.result.file), signature=waist.result.signature)

    def look(_: Path) -> Diagnosis:
        return session.backend(backend).diagnose(artifact.absolute(), network, samples.folder / SAMPLES, helps=helps)

    question = Question(
        what="diagnose",
        leaf=f"backends/{backend}",
        modules=(__name__,),
        settings={"helps": helps},
        inputs={
            "file": Known(file_digest(artifact).sha256),
            "waist": waist,
            "signature": Known(digest_of(waist.result.signature)),
            "samples": content(samples),
        },
        doing=f"diagnosing {artifact.name}",
    )
    return session.ask(question, Diagnosis, look)
