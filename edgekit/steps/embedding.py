"""The description of inputs and outputs, embedded in files: as metadata, and as the preprocessing itself."""

import shutil
from pathlib import Path

import msgspec

from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built
from edgekit.nouns.description import Description
from edgekit.nouns.target import Variant

SUFFIX = ".tflite"
"""Files of this format can hold a description."""


def embedded(session: Session, built: Answer[Built], description: Description, model: str) -> Answer[Built]:
    """The same files with the description in those that can hold it; as they are if there is none.

    Args:
        session: of the run.
        built: the files.
        description: complete.
        model: what the network is called if the user gives it no name.
    """
    if description.empty or not any(name.endswith(SUFFIX) for name in built.files):
        return built

    def write(out: Path) -> Built:
        from edgekit.waist import metadata  # noqa: PLC0415  only needed on a cold path

        notes: list[str] = []
        for name in built.files:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(SUFFIX):
                notes += metadata.embed(built.folder / name, out / name, description, built.result.signature, model)
            else:
                shutil.copyfile(built.folder / name, out / name)
        return msgspec.structs.replace(built.result, notes=(*built.result.notes, *dict.fromkeys(notes)))

    question = Question(
        what="metadata",
        modules=("edgekit.waist.metadata", __name__),
        settings={"model": model},
        inputs={"files": built, "description": Known(digest_of(description))},
    )
    return session.ask(question, Built, write)


def with_preprocessing(
    session: Session, variant: Variant, built: Answer[Built], description: Description
) -> Answer[Built]:
    """Files that take the bytes of images, made of files that take the network's numbers.

    Args:
        session: of the run.
        variant: whose backend does so.
        built: the files, verified: each is run beside its successor, on the same bytes.
        description: complete.

    Raises:
        Unsupported: the backend's files cannot hold it, hold a compiled form as well, or compute something else then.
    """
    first, *others = built.result.files
    if any(not name.endswith((".xml", ".bin")) for name in others):
        raise Unsupported(
            f"{first} comes with a compiled form, which takes the network's numbers.",
            place="--embed-preprocessing",
            fix="leave the option out, or choose -t openvino-cpu",
        )

    def write(out: Path) -> Built:
        from edgekit.waist.tensors import IDENTICAL_DB  # noqa: PLC0415  numpy is only needed on a cold path

        backend = session.backend(variant.backend)
        signature, agreed_db = backend.embed_preprocessing(
            built.folder / first, description, built.result.signature, out
        )
        exactly = "bit for bit" if agreed_db >= IDENTICAL_DB else f"to {agreed_db:.0f} dB"
        note = f"takes bytes of images, and was verified before; on random bytes both files agree {exactly}"
        return msgspec.structs.replace(built.result, signature=signature, notes=(*built.result.notes, note))

    question = Question(
        what="preprocessing",
        leaf=f"backends/{variant.backend}",
        modules=("edgekit.processing", __name__),
        inputs={"files": built, "description": Known(digest_of(description))},
        doing=f"embedding the preprocessing of {first}",
    )
    return session.ask(question, Built, write)
