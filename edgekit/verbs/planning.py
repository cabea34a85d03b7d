"""What a build will make, decided from the project alone."""

from pathlib import Path
from typing import Any

import msgspec

from edgekit import config
from edgekit.config import Project, recipes
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.budget import Demands
from edgekit.nouns.model import FLOATS, Precision
from edgekit.nouns.recipe import Recipe, name_of
from edgekit.nouns.results import Plan, Result
from edgekit.nouns.target import BuildOptions, Target, Variant
from edgekit.steps import optimization


def plan(project: Project, model: Path) -> Plan:
    """Decide what to build, from the project alone; reads nothing but the target files.

    Raises:
        InputError: an unknown target, no target, or an option that fits none of them.
        Unsupported: no target offers the precision, or the dtype of inputs and outputs.
    """
    made = folders(project, model)
    if not made:
        raise InputError(
            "No target is given.",
            place="--target",
            fix=f"add -t with one of: {', '.join(config.target_names())}, or all",
        )
    _check_budget(project, [project.demands(target.name) for target, _ in made])
    passes = recipe(project)
    limit_s = None if project.time_limit is None else config.seconds(project.time_limit, "--time-limit")
    rows: list[tuple[Target, Path, tuple[Variant, ...]]] = []
    refused: list[Result] = []
    for target, folder in made:
        try:
            rows.append((target, folder, tuple(_as_said(variant, project) for variant in _variants(target, project))))
        except Unsupported as error:
            refused.append(Result(target.name, folder, error=error))
    if not rows and refused[0].error is not None:
        raise refused[0].error
    wanted = BuildOptions(
        recipe=passes.name,
        passes=passes.passes,
        precision=project.precision,
        io=project.io,
        calibration_samples=project.calibration_samples,
        seed=project.seed,
        require_compiled=project.require_compiled,
        embed_preprocessing=project.embed_preprocessing,
        integration=project.integration,
        sample_app=project.sample_app,
        quantization=project.quantization,
        effort=project.effort if limit_s is None else project.effort or "thorough",
        time_limit_s=limit_s,
    )
    return Plan(wanted, project.source_options, tuple(rows), tuple(refused))


def recipe(project: Project) -> Recipe:
    """The recipe that a project names, or that its shortcuts stand for.

    Raises:
        InputError: there is none, it is wrong, or it lacks data to train on.
    """
    said = [name for name in ("qat", "prune", "prune_channels") if getattr(project, name)]
    if said and project.recipe is not None:
        option = f"--{said[0].replace('_', '-')}"
        raise InputError(
            f"{option} stands for a recipe, and --recipe {project.recipe} names another.",
            place=option,
            fix="leave out one of them",
        )
    if said:
        found = recipes.shortcut(
            prune_channels=project.prune_channels,
            prune=project.prune,
            qat=project.qat,
            precision=project.precision,
            overrides=project.passes,
        )
    else:
        found = recipes.recipe(project.recipe or "ptq", project.passes)
    if project.teacher is not None and not any(one.epochs for one in found.passes):
        untrained = [f"--set {name_of(one)}.epochs=20" for one in found.passes]
        fix = f"train: {untrained[0]}" if untrained else "add --recipe qat"
        raise InputError("A teacher is of no use without training.", place="--teacher", fix=fix)
    if found.passes and project.data is None and project.calibration is None:
        raise InputError(
            f"The recipe {found.name} needs samples: it is trained, or repaired, on what the model will see.",
            place="--data",
            fix="add --data PATH (.npz, .npy, .csv, a folder of images, module:function); labels (y) are not needed",
        )
    return found


def _check_budget(project: Project, demanded: list[Demands]) -> None:
    """Refuse a metric or a budget for which the project names no data.

    Raises:
        InputError: with the option to add.
    """
    if project.metric is not None and project.eval is None:
        raise InputError("A metric needs evaluation data.", place="--metric", fix="add --eval PATH")
    accuracy = [demands.accuracy for demands in demanded]
    if project.metric is None and any(budget.max_drop is not None for budget in accuracy):
        raise InputError("A maximum drop needs a metric.", place="--max-drop", fix="add --eval PATH --metric top1")
    for option, what in (("--effort", project.effort), ("--time-limit", project.time_limit)):
        if what is not None and not any(accuracy):
            raise InputError(
                f"{option} {what} is about the search for a budget, and none is given.",
                place=option,
                fix="add --max-drop X with a metric, --min-agreement SHARE or --min-sqnr DB",
            )
    if project.eval is not None or project.calibration is not None or project.data is not None:
        return
    for option, key in (("--min-agreement", "min_agreement"), ("--min-sqnr", "min_sqnr_db")):
        if any(getattr(budget, key) is not None for budget in accuracy):
            raise InputError(
                "What is asked of agreement and SQNR says nothing on random inputs: it needs samples.",
                place=option,
                fix="add --eval PATH, or --calibration PATH",
            )


def folders(project: Project, model: Path) -> list[tuple[Target, Path]]:
    """The targets of a project, and where the result for each goes; none if it names no target.

    Raises:
        InputError: there is no such target.
    """
    names = config.target_names() if project.targets == ("all",) else project.targets
    targets = [config.target(name) for name in dict.fromkeys(names)]
    place = Path("dist") / model.resolve().stem if project.output_folder is None else Path(project.output_folder)
    if project.output_folder is not None and len(names) == 1:
        return [(targets[0], place)]
    return [(target, place / target.name) for target in targets]


def _variants(target: Target, project: Project) -> tuple[Variant, ...]:
    """The target's files, or the one file of the precision that the user wants.

    Raises:
        Unsupported: the target does not offer the precision, or the dtype of inputs and outputs.
    """
    _require(target, "precision", project.precision, target.precisions)
    if project.precision is None:
        chosen = target.variants
    else:
        chosen = tuple(v for v in target.variants if v.precision == project.precision) or (
            _other_precision(target, project.precision),
        )
    if project.io is None or not any(v.precision == "int8" for v in chosen):
        return chosen
    _require(target, "io", project.io, target.boundaries)
    return tuple(msgspec.structs.replace(v, io=project.io) if v.precision == "int8" else v for v in chosen)


def _as_said(variant: Variant, project: Project) -> Variant:
    """A variant with what the user says about graph optimization, and a quantized one about quantization."""
    said: dict[str, Any] = {} if project.optimize_graph else {optimization.SETTING: False}
    if variant.precision not in FLOATS:
        said |= project.quantization.settings
    return msgspec.structs.replace(variant, settings=variant.settings | said) if said else variant


def _require(target: Target, option: str, wanted: str | None, offered: tuple[str, ...]) -> None:
    if wanted is not None and wanted not in offered:
        what = "files" if option == "precision" else "inputs and outputs"
        raise Unsupported(
            f"{target.name} has {what} in {' or '.join(offered)}, not in {wanted}.",
            place=f"--{option} {wanted}",
            fix=f"leave out --{option}, or choose {' or '.join(offered)}",
        )


def _other_precision(target: Target, precision: Precision) -> Variant:
    first = target.variants[0]
    stem, _, suffix = first.file.rpartition(".")
    file = f"{stem.removesuffix(first.precision.replace('-', '_'))}{precision.replace('-', '_')}.{suffix}"
    return msgspec.structs.replace(first, file=file, precision=precision, io=None, use="as asked for with --precision")
