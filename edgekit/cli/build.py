"""``edgekit build``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from edgekit.cli import as_dict, options, trusting
from edgekit.cli.console import say, told
from edgekit.config import FILE_NAME, METRICS, Project, devices, project
from edgekit.errors import BudgetMissed, CancelledError, EdgekitError, InputError
from edgekit.nouns.ladder import Effort
from edgekit.nouns.model import Precision
from edgekit.nouns.results import Plan, Result
from edgekit.report import screens
from edgekit.verbs.build import build
from edgekit.verbs.planning import plan

if TYPE_CHECKING:
    from rich.console import Console

    from edgekit.engine.session import Session
    from edgekit.verbs.after_build import Measurements


@click.command(epilog="Exit codes: 0 built, 1 a budget missed, 2 wrong input, 3 a tool missing, 4 unsupported.")
@click.argument("model", required=False)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Build for this target, or for `all`. May be repeated.",
)
@click.option("--precision", type=click.Choice(get_args(Precision)), help="Build only this precision.")
@click.option(
    "--io", type=click.Choice(["float32", "int8", "uint8"]), help="Dtype of inputs and outputs of int8 files."
)
@options.recipe_options
@click.option(
    "--calibration", metavar="PATH", help="Calibration samples: .npz, .npy, .csv, a folder, or module:function."
)
@click.option("--eval", metavar="PATH", help="Labelled samples to evaluate the metric on.")
@click.option("--metric", type=options.MetricChoice(METRICS), help="Metric to evaluate, or module:function.")
@click.option("--max-drop", type=options.Number(0), metavar="X", help="Exit 1 if the metric drops by more.")
@click.option(
    "--min-agreement",
    type=options.Number(0, 1),
    metavar="SHARE",
    help="Exit 1 if a smaller share (0..1) of choices, such as top-1 classes, is the source's.",
)
@click.option("--min-sqnr", type=options.Number(0), metavar="DB", help="Exit 1 if the SQNR of an output is lower.")
@click.option(
    "--effort",
    type=click.Choice(get_args(Effort)),
    help="How far to search for files that meet the budget (--max-drop, --min-agreement, --min-sqnr).",
)
@click.option(
    "--time-limit",
    metavar="10m",
    callback=options.duration,
    help="When that search ends, counted from the start; the first file of a target takes what it takes.",
)
@click.option("--allow-loss", is_flag=True, default=None, help="Publish quantized files even if verification fails.")
@click.option(
    "--min-mapped",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit 1 if the accelerator takes a smaller share of the network (MACs if known, else operators).",
)
@click.option(
    "--calibration-samples", type=click.IntRange(min=1), metavar="N", help="Use at most N samples.  [default: 256]"
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.settings,
    help="Setting of quantization (weights=learned) or of a pass (qat.epochs=3). May be repeated.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Seed for every random choice.  [default: 0]"
)
@click.option(
    "--optimize-graph/--no-optimize-graph",
    default=None,
    help="Rewrite the network into fewer operators that compute the same.  [default: on]",
)
@click.option("--require-compiled", is_flag=True, default=None, help="Exit 3 if a compiler is missing.")
@click.option("--profile", is_flag=True, default=None, help="Measure the files after the build (see edgekit profile).")
@click.option("--device", metavar="ID", help="Device to measure on.  [default: this host]")
@click.option("--quick", is_flag=True, default=None, help="Measure for a few seconds only.")
@click.option("--verify-on", metavar="ID", help="Compare the outputs on this device too, for example arm64-emulated.")
@options.source_options
@click.option(
    "--embed-preprocessing",
    is_flag=True,
    default=None,
    help="Make OpenVINO files that take bytes of images and normalize them, as [[input]] says.",
)
@click.option(
    "--integration/--no-integration",
    default=None,
    help="Write code that takes the files into an app, with a test that proves it.  [default: on]",
)
@click.option(
    "--sample-app", is_flag=True, default=None, help="Write a small app of its own beside that code (integration/)."
)
@click.option("-o", "--output", "output_folder", metavar="DIR", help="Output folder.  [default: dist/MODEL/TARGET/]")
@trusting.trust_option
@click.option(
    "--cache-limit",
    callback=options.size,
    metavar="SIZE",
    help="Largest size of the cache (50G).  [default: 20G or a tenth of the disk]",
)
@click.option(
    "--report/--no-report",
    default=True,
    help="Write report.html into each folder (see edgekit report).  [default: on]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be built, and build nothing.")
@options.json_option
def verb(
    model: str | None,
    *,
    cache_limit: int | None,
    trust_project: bool,
    report: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Turn a model into verified artifacts for one or more targets.

    \b
    edgekit build model.onnx --target android --calibration samples.npz
    edgekit build --target android                  (options from ./edgekit.toml)
    edgekit build model.keras -t android -t edgetpu --calibration data.npz --eval test.npz --metric top1

    MODEL is a .keras, .h5, .onnx or .tflite file, a SavedModel folder, or a folder with an edgekit.toml.
    """
    flags = options.ensure_gain(flags)
    path, given, file = _project(model)
    wanted = _merge(given, flags)
    console = options.stderr()
    if dry_run:
        return _show_plan(plan(wanted, path), as_json=as_json)
    if file is not None:
        said = {name for name, value in flags.items() if value not in (None, (), {})}
        trusting.ensure(file, given, trusted=trust_project, said=said, devices=_used(given, wanted))
    with options.session(console, cache_limit, wanted.max_memory, wanted.max_seconds) as session:
        measured: Measurements | None = None
        measures = wanted.profile or wanted.verify_on
        if measures:
            from edgekit.verbs import after_build  # noqa: PLC0415  statistics and plots, which few builds need

            devices_found = after_build.find_devices(session, wanted, _places(flags))
        results = build(session, wanted, path)
        console.print(screens.results(results))
        _show_passes(console, results)
        code = _exit_code(results)
        if measures:
            measured = after_build.measure_built(session, wanted, devices_found, results)
            _show_measurements(console, measured)
            results, code = after_build.refreshed(results), code or measured.exit_code
        code = code or _judge_budget(console, wanted, results)
        results = _explain(session, console, results) if report else results
        _show_next(results)
    if as_json:
        options.print_json(_document(results, measured))
    return code


def _document(results: list[Result], measured: "Measurements | None") -> dict[str, Any]:
    """What ``--json`` prints: all results, and what went wrong when they were measured."""
    errors = {} if measured is None else {"measuring_errors": [as_dict(error) for error in measured.errors]}
    return {"results": [_as_dict(result) for result in results]} | errors


def _explain(session: "Session", console: "Console", results: list[Result]) -> list[Result]:
    """Write a report into each folder that lacks one of its manifest; the results with the manifests that list them.

    A report that cannot be written is said, and takes nothing from what was built.
    """
    from edgekit.report import made_of  # noqa: PLC0415  only if it is asked for

    stale = [one for one in results if one.manifest and not made_of.is_of(one.folder / made_of.NAME, one.manifest)]
    if not stale:
        return results
    from edgekit.verbs import after_build, report  # noqa: PLC0415  numpy

    for result in stale:
        try:
            report.report(session, [result.folder])
        except CancelledError:
            raise
        except EdgekitError as error:
            console.print(f"no {made_of.NAME}: {error.problem}")
    return after_build.refreshed(results)


def _show_next(results: list[Result]) -> None:
    """Which files of each folder to open next."""
    from edgekit.report import made_of  # noqa: PLC0415  as above

    for result in results:
        explained = result.manifest is not None and made_of.is_of(result.folder / made_of.NAME, result.manifest)
        if step := screens.next_step(result, explained=explained):
            say(step)


def _judge_budget(console: "Console", wanted: Project, results: list[Result]) -> int:
    """Show which files are over the budget in size, or in what was measured; the exit code."""
    if not wanted.budget:
        return 0
    from edgekit.report import gates  # noqa: PLC0415  few projects have a budget
    from edgekit.verbs.gate import over_budget  # noqa: PLC0415  as above

    found = over_budget(wanted, results)
    if found.passes:
        return 0
    console.print(gates.screen(found))
    return BudgetMissed.exit_code


def _places(flags: dict[str, Any]) -> dict[str, str]:
    """What names each device, for complaints."""
    said = {"verify_on": "--verify-on", "device": "--device"}
    return {key: option if flags[key] else f"{FILE_NAME}, {key}" for key, option in said.items()}


def _show_passes(console: "Console", results: list[Result]) -> None:
    """What the recipe's passes cost and gained, once if that is the same for all targets."""
    made = [row.manifest for row in results if row.manifest is not None and row.manifest.passes]
    for manifest in {repr(one.passes): one for one in made}.values():
        from edgekit.report import compression  # noqa: PLC0415  few builds train

        console.print(compression.passes(manifest.recipe.recipe, manifest.passes))


def _show_measurements(console: "Console", found: "Measurements") -> None:
    from edgekit.report import profiles  # noqa: PLC0415  few builds measure

    for name, verification in found.verified:
        console.print(profiles.verification(verification, name))
    for measured in found.measured:
        console.print(profiles.profiles([measured]))
    for error in found.errors:
        say(*told(error))


def _project(model: str | None) -> tuple[Path, Project, Path | None]:
    """The model's path, and the options that stand beside it with their file, if there is one."""
    where = Path(model) if model is not None else Path.cwd()
    if where.is_dir() and not (where / "saved_model.pb").is_file():
        found = project(where)
        if found.model is None:
            raise InputError(
                f"{FILE_NAME} names no model.", place=str(where / FILE_NAME), fix='add model = "model.onnx"'
            )
        return options.existing(found.model, f"{where / FILE_NAME}, model"), found, where / FILE_NAME
    options.existing(str(where))
    beside = where.absolute().parent / FILE_NAME
    if beside.is_file():
        found = project(beside)
        if found.model is None or Path(found.model).resolve() == where.resolve():
            return where, found, beside
    return where, Project(), None


def _used(given: Project, wanted: Project) -> set[str]:
    """The devices of a project's own that a build will use."""
    named = {wanted.verify_on, wanted.device if wanted.profile else None}
    used = {name for name in given.devices if name in named}
    return used - devices().keys() if used else used


def _merge(given: Project, flags: dict[str, Any]) -> Project:
    """Flags win over the file."""
    flags = flags | flags.get("settings", {})
    said = {name: value for name, value in flags.items() if name != "settings" and value not in (None, (), {})}
    for table in ("shapes", "constants"):
        if table in said:
            said[table] = getattr(given, table) | said[table]
    if "passes" in said:
        said["passes"] = given.passes | {name: given.passes.get(name, {}) | own for name, own in said["passes"].items()}
    if "quantization" in said:
        said["quantization"] = msgspec.structs.replace(given.quantization, **said["quantization"])
    for key in ("data", "teacher", "calibration", "eval"):
        samples = getattr(given, key)
        if samples and key not in said and ":" not in Path(samples).name:  # else it is module:function
            options.existing(samples, f"{FILE_NAME}, {key}")
    wanted = msgspec.structs.replace(given, **said)
    idle = next((name for name in ("device", "quick") if name in said), "")
    if idle and not wanted.profile:
        raise InputError(
            f"--{idle} says how to measure, and nothing is to be measured.", place=f"--{idle}", fix="add --profile"
        )
    return wanted


def _show_plan(planned: Plan, *, as_json: bool) -> int:
    options.stderr().print(screens.plan(planned))
    if as_json:
        rows = [
            {"target": target.name, "folder": str(folder), "variants": variants}
            for target, folder, variants in planned.targets
        ]
        refused = [_as_dict(result) for result in planned.refused]
        recipe = planned.recipe
        passes = {"recipe": recipe.recipe, "passes": recipe.passes} if recipe.passes else {}
        search = {"effort": recipe.effort, "time_limit_s": recipe.time_limit_s} if recipe.effort else {}
        beside = {"refused": refused, "search": search}
        options.print_json({"plan": rows} | passes | {key: value for key, value in beside.items() if value})
    return 0


def _as_dict(result: Result) -> dict[str, Any]:
    if result.error is not None:
        return {"target": result.target, "error": as_dict(result.error)}
    beside = {"kept": result.kept, "gone": result.gone}
    shown = {name: files for name, files in beside.items() if files}
    return {"target": result.target, "folder": str(result.folder), "manifest": result.manifest} | shown


def _exit_code(results: list[Result]) -> int:
    """The first failure's code; then a missed budget's; then 0."""
    for result in results:
        if result.error is not None:
            first, *rest = told(result.error)
            say(f"{result.target}: {first}", *rest)
    for result in results:
        if result.error is not None:
            return result.error.exit_code
    missed = any(
        file.verification is not None and file.verification.verdict == "miss"
        for result in results
        if result.manifest is not None
        for file in result.manifest.artifacts
    )
    return BudgetMissed.exit_code if missed else 0
