"""Another network than the source in a recipe: a teacher, whose outputs are to be met, or a student, to be trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import EdgekitError, InputError
from edgekit.nouns.model import Signature, SourceOptions, TensorSpec, Waist
from edgekit.steps import conversion, reading
from edgekit.steps.conversion import Subject
from edgekit.steps.reading import OpenedNetwork


def teacher(session: Session, project: Project, subject: Subject) -> Answer[Waist] | None:
    """The network that a project names to be met; None if that is the source itself.

    Raises:
        InputError: it cannot be read, or it takes or gives something else than the source.
        Unsupported: it has no waist.
    """
    return None if project.teacher is None else another(session, Path(project.teacher), subject, role="teacher")


def another(session: Session, path: Path, subject: Subject, role: Literal["teacher", "student"]) -> Answer[Waist]:
    """Another network, to be met or to be trained, with the source's names for what goes in and out.

    Raises:
        InputError: it cannot be read, or it takes or gives something else than the source.
        Unsupported: it has no waist.
    """
    network = _opened(session, path, subject.network)
    answer = conversion.to_waist(session, network)
    own = subject.network.model.signature
    problem = next(_unlike(network.model.signature, own), "")
    if problem:
        raise InputError(
            f"{path.name} cannot be the {role} of {subject.network.path.name}: {problem}.",
            place=f"--teacher {path}" if role == "teacher" else f"distill.student {path}",
            fix=f"give a {role} with the same inputs and outputs, in the same order",
        )
    found = answer.result.signature
    renamed = Signature(
        inputs=_renamed(found.inputs, network.model.signature.inputs, own.inputs),
        outputs=_renamed(found.outputs, network.model.signature.outputs, own.outputs),
    )
    return msgspec.structs.replace(answer, result=msgspec.structs.replace(answer.result, signature=renamed))


def _opened(session: Session, path: Path, source: OpenedNetwork) -> OpenedNetwork:
    """Another network, read as the source is: with its classes and, where sizes are open, with its sizes.

    Code in its file does not run, though that in the source's may: a project's file may name a network from elsewhere.

    Raises:
        InputError: it cannot be read, holds code, or has open sizes and other names for its inputs.
    """
    said = SourceOptions(custom_objects=source.options.custom_objects)
    try:
        return reading.open_network(session, path, said)
    except InputError as error:
        if "--allow-unsafe" in error.fix:
            told = f"edgekit build {path} -t android --precision float32 --allow-unsafe"
            fix = f"if you trust it, make it a file that holds no code, and name that: {told}"
            raise InputError(error.problem, place=error.place, fix=fix) from error
        sizes = {spec.source_name: spec.source_shape for spec in source.model.signature.inputs}
        try:
            return reading.open_network(session, path, msgspec.structs.replace(said, shapes=sizes))
        except EdgekitError:
            raise error from None


def _unlike(teacher: Signature, own: Signature) -> Iterator[str]:
    """In what a teacher's inputs and outputs differ from the source's."""
    for kind, theirs, ours in (("inputs", teacher.inputs, own.inputs), ("outputs", teacher.outputs, own.outputs)):
        if len(theirs) != len(ours):
            yield f"it has {len(theirs)} {kind}, and the model has {len(ours)}"
        for one, other in zip(theirs, ours, strict=False):
            if (one.source_shape, one.source_dtype) != (other.source_shape, other.source_dtype):
                sides = [f"{list(spec.source_shape)} of {spec.source_dtype}" for spec in (one, other)]
                yield f"its {kind[:-1]} {one.source_name} is {sides[0]}, and the model's {other.source_name} {sides[1]}"


def _renamed(
    specs: tuple[TensorSpec, ...], theirs: tuple[TensorSpec, ...], ours: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    """A teacher's tensors under the source's names, which stand in the same order."""
    names = {one.source_name: other.source_name for one, other in zip(theirs, ours, strict=True)}
    return tuple(msgspec.structs.replace(spec, source_name=names[spec.source_name]) for spec in specs)
