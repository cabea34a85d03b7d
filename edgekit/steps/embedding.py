"""What a file says of itself: the description of inputs and outputs, embedded."""

import shutil
from pathlib import Path

import msgspec

from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.nouns.building import Built
from edgekit.nouns.description import Description

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
