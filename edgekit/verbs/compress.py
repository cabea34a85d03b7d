"""Take a model through a recipe, and write the float network that comes of it."""

import shutil
from pathlib import Path

import msgspec

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.host.replacing import check_place, replacing
from edgekit.nouns.recipe import PassReport
from edgekit.nouns.target import BuildOptions
from edgekit.steps import conversion, data, passing, reading, teaching
from edgekit.steps import metric as metrics
from edgekit.steps.conversion import Subject
from edgekit.verbs.build import NAMED, InMemory
from edgekit.verbs.planning import recipe


class Compressed(msgspec.Struct, frozen=True):
    """What ``compress`` wrote, and what its passes cost and gained."""

    file: Path
    recipe: BuildOptions
    passes: tuple[PassReport, ...]


def compress(session: Session, project: Project, model: Path, out: Path, in_memory: InMemory = NAMED) -> Compressed:
    """Take a model through the recipe of a project, and write the float network that comes of it.

    That is a TFLite file, or its trainable form as a Keras model, by the name of the file.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read or train the model are not installed.
        Unsupported: it has no float form, or cannot be trained so.
    """
    wanted, as_keras = recipe(project), out.suffix == ".keras"
    if not wanted.passes and not as_keras:
        raise InputError(
            f"The recipe {wanted.name} has no passes, so that nothing would change.",
            place=f"--recipe {wanted.name}",
            fix="choose another (edgekit recipes lists them), or write it as it is, for training code: -o model.keras",
        )
    _check_place(out, model)
    session.progress.plan(6 + 3 * len(wanted.passes) + as_keras)
    network = reading.open_network(session, model, project.source_options)
    session.network = network.origin.path
    passing.require_floats(session, network, wanted.passes)
    loaded = data.load(session, project, network.model.signature, in_memory.files)
    subject = conversion.subject(session, network, (), loaded.samples)
    named = in_memory.metric or project.metric
    metric = None if named is None else metrics.wanted(session, named, loaded.description)
    prepared = data.prepare(session, project, subject, loaded, metric)
    stage = _trained(session, project, subject, loaded, prepared)
    made = passing.keras_form(session, stage.subject, project.seed) if as_keras else stage.subject.waist
    assert made is not None, "passes give one"
    with replacing(out) as aside:
        shutil.copyfile(made.folder / made.result.file, aside)
    options = BuildOptions(recipe=wanted.name, passes=wanted.passes, seed=project.seed)
    return Compressed(out, options, stage.reports)


def _trained(
    session: Session, project: Project, subject: Subject, loaded: data.GivenData, prepared: data.BuildData
) -> passing.Stage:
    """Where the passes of a project's recipe lead; to the source itself if there are none."""
    wanted = recipe(project)
    if not wanted.passes or loaded.training is None:
        return passing.Stage(subject, passing.weighed(session, subject, prepared.evidence))
    teacher = teaching.teacher(session, project, subject)
    course = passing.Course(loaded.training.every, teacher, prepared, seed=project.seed)
    return passing.through(session, subject, wanted.passes, course)


def _check_place(out: Path, model: Path) -> None:
    """Refuse a place that cannot be written to, before anything is trained.

    Raises:
        InputError: it is one.
    """
    if out.suffix not in {".tflite", ".keras"}:
        raise InputError(
            f"{out.name} is neither a .tflite nor a .keras file.",
            place=f"-o {out}",
            fix=f"write for instance -o {out.stem}.tflite, or -o {out.stem}.keras for training code of your own",
        )
    check_place(out, "-o", "smaller.tflite")
    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself.", place=f"-o {out}", fix="choose another name")
