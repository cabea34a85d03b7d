"""Build a model for every target of a project."""

from pathlib import Path

import msgspec

from edgekit import sources
from edgekit.config import Project
from edgekit.engine.publish import check as check_place
from edgekit.engine.publish import publish
from edgekit.engine.session import Session
from edgekit.errors import EdgekitError, InputError, Unsupported, from_os
from edgekit.nouns.results import Plan, Result
from edgekit.nouns.target import Target, Variant
from edgekit.steps import artifact, conversion, data, reading, speed
from edgekit.verbs.planning import plan


def build(session: Session, project: Project, model: Path) -> list[Result]:
    """Build a model for every target of a project; shared steps run once.

    A target that fails does not keep the others from being built.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read the model are not installed.
    """
    planned = plan(project, model)
    sources.sniff(model)
    planned = _placed(planned)
    session.progress.plan(5 + 2 * len(planned.variants))
    session.expect(("backends", variant.backend) for variant in planned.variants)
    network = reading.open_network(session, model, planned.options)
    if project.calibration is None and (files := planned.calibrated(network.model)):
        raise InputError(
            f"{', '.join(dict.fromkeys(files))} needs calibration data: samples of what the model "
            "will see, from which the ranges of its activations are taken.",
            place="--calibration",
            fix=f"add --calibration PATH (.npz, .npy, .csv, a folder of images){_without_data(planned)}",
        )
    loaded = data.load(session, project, network.model.signature)
    subject = conversion.subject(session, network, planned.variants, loaded.samples)
    if subject.finished and project.io is not None:
        raise Unsupported(
            f"{model.name} is quantized already: its inputs and outputs stay as they are.",
            place=f"--io {project.io}",
            fix="leave out --io",
        )
    prepared = data.prepare(session, project, subject, loaded)

    def one(row: tuple[Target, Path, tuple[Variant, ...]]) -> Result:
        target, folder, variants = row
        try:
            variants, left_out = artifact.possible(subject, variants)
            built = [artifact.made(session, subject, planned.recipe, variant, prepared) for variant in variants]
            built = speed.compared(session, built)
            if not project.allow_loss:
                artifact.require_use([file for file, _ in built])
            manifest = artifact.manifest(network, target, planned.recipe, prepared, [file for file, _ in built])
            manifest = msgspec.structs.replace(manifest, unavailable=left_out)
            manifest = publish(
                folder, lambda out: artifact.write(out, folder, manifest, [answer for _, answer in built])
            )
        except EdgekitError as error:
            return Result(target.name, folder, error=error)
        except OSError as error:
            if (mended := from_os(error)) is None:
                raise
            return Result(target.name, folder, error=mended)
        return Result(target.name, folder, manifest=manifest)

    if len(planned.targets) == 1:
        return [*planned.refused, *map(one, planned.targets)]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  one target needs no threads

    with ThreadPoolExecutor(2) as pool:
        return [*planned.refused, *pool.map(one, planned.targets)]


def _placed(planned: Plan) -> Plan:
    """The plan without the targets whose result could not be written; these are among the refused.

    Raises:
        InputError: that holds for all of them.
    """
    rows, refused = [], list(planned.refused)
    for row in planned.targets:
        try:
            check_place(row[1])
        except InputError as error:
            refused.append(Result(row[0].name, row[1], error=error))
        else:
            rows.append(row)
    if not rows and refused[-1].error is not None:
        raise refused[-1].error
    return msgspec.structs.replace(planned, targets=tuple(rows), refused=tuple(refused))


def _without_data(planned: Plan) -> str:
    """The other way out, where every target has one: a precision whose activations stay float."""
    fixed = any(variant.base is not None for variant in planned.variants)
    return "" if fixed else ", or --precision float16"
