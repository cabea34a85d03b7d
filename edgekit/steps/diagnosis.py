"""The step that looks into a file: its operators against the float network that it was made from."""

from pathlib import Path

from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, file_digest
from edgekit.errors import InputError
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.nouns.samples import Kept
from edgekit.steps.sampling import SAMPLES, content

BACKENDS = {".tflite": "tflite", ".xml": "openvino"}
"""Who runs a file, by its suffix."""


def diagnose(
    session: Session, artifact: Path, waist: Answer[Waist], samples: Answer[Kept], helps: int
) -> Answer[Diagnosis]:
    """Hold every operator of a file against the float network; see `edgekit.backends.Backend.diagnose`.

    Raises:
        InputError: it is no file of a backend, or was not made from this network.
        Unsupported: its operators cannot be looked into.
    """
    backend = BACKENDS.get(artifact.suffix)
    if backend is None:
        raise InputError(
            f"{artifact.name} is no file that edgekit builds.",
            place=str(artifact),
            fix="name a .tflite file, or a folder that edgekit build wrote",
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
