"""Manifests, inspections and plans as rich tables."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from edgekit.nouns import recipe as recipes
from edgekit.nouns.manifest import INTEGRATION, ArtifactFile, Manifest
from edgekit.nouns.model import FLOATS, Signature, TensorRow, TensorSpec
from edgekit.nouns.results import Check, Inspection, Plan, Result
from edgekit.nouns.target import Target
from edgekit.nouns.verification import TaskMetric, Verification
from edgekit.report import made_of

if TYPE_CHECKING:
    from edgekit.nouns.results import Health  # only its own verb examines

UNLIMITED = 10_000
"""Columns of a screen on which every table fits."""

VERDICT_STYLES = {"pass": "green", "warn": "yellow", "miss": "red", "fail": "red"}


def size(bytes_: int, like: int | None = None) -> str:
    """Bytes in KiB, MiB or GiB, as flash is counted: the unit that fits them, or that fits another number."""
    fits = bytes_ if like is None else like
    if fits >= 1024**3:
        return f"{bytes_ / 1024**3:,.2f} GiB"
    return f"{bytes_ / 1024:,.1f} KiB" if fits < 1024**2 else f"{bytes_ / 1024**2:,.2f} MiB"


def count(number: int) -> str:
    """A large count with its SI prefix."""
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:.2f}{suffix}"
    return str(number)


def plain_table(*columns: str) -> Table:
    """A table without lines; numbers stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in {"used", "s"} else "left", overflow="fold")
    return table


def results(rows: Iterable[Result]) -> RenderableType:
    """The screen that ends a build: one line for each file, under each target what needs attention."""
    done = list(rows)
    files = [file for row in done if row.manifest is not None for file in row.manifest.artifacts]
    metric = next((f.verification.metric.name for f in files if f.verification and f.verification.metric), None)
    columns = ("target, file", "precision", "size", "SQNR", "agrees", *([metric] if metric else []), "verdict")
    tables = [_results(done, columns)]
    if all(file.precision.replace("-", "_") in file.file for file in files):
        tables.append(_results(done, tuple(column for column in columns if column != "precision")))
    remarks = [part for row in done if row.manifest is not None for part in _result(row, row.manifest)]
    return Group(_FirstThatFits(tables), *remarks)


@dataclass(frozen=True)
class _FirstThatFits:
    """Tables from the widest to the narrowest, of which the screen shows one: names of files are not broken."""

    tables: list[Table]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(width=UNLIMITED)
        fitting = (t for t in self.tables if Measurement.get(console, unlimited, t).maximum <= options.max_width)
        yield next(fitting, self.tables[-1])


def _results(rows: list[Result], columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        left = column in {"target, file", "precision", "verdict"}
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    sizes = [file.size_bytes for row in rows if row.manifest is not None for file in row.manifest.artifacts]
    for row in rows:
        name = Text(row.target, style="bold")
        if row.manifest is None:
            table.add_row(name, *[""] * (len(columns) - 2), Text("failed", style="red"))
            continue
        table.add_row(name)
        for file in row.manifest.artifacts:
            cells = {"target, file": f" {file.file}", "precision": file.precision} | _evidence(file, min(sizes))
            table.add_row(*(cells.get(column, "") for column in columns))
    return table


def _result(row: Result, manifest: Manifest) -> Iterable[Text]:
    """Where a target's files lie, and below it what needs attention."""
    yield Text()
    yield Text.assemble((f"{row.folder}/", "bold"))
    for remark in dict.fromkeys([*_remarks(manifest), *_beside(row)]):
        yield Text(f"  {remark}")


def next_step(row: Result, *, explained: bool) -> str:
    """Which files to open next: the page that explains a result, and the way into an app; "" if neither is there."""
    manifest = row.manifest
    if manifest is None:
        return ""
    told = {}
    if explained:
        told[made_of.NAME] = "explains it"
    if manifest.integration is not None:
        told[f"{INTEGRATION}/README.md"] = "takes it into an app"
    steps = ", ".join(f"{name} {what}" for name, what in told.items())
    return f"next, in {row.folder}/: {steps}" if told else ""


NAMED = 5
"""How many of a folder's files a remark names."""


def _beside(row: Result) -> Iterable[str]:
    """What else is in a result's folder, or is no longer."""
    if row.kept:
        yield f"kept {_names(row.kept)}, which edgekit did not write"
    if row.gone:
        yield f"{_names(row.gone)} of the earlier build left the folder; to have both, build into another with -o"


def _names(files: tuple[str, ...]) -> str:
    more = len(files) - NAMED
    return ", ".join(files[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _evidence(file: ArtifactFile, smallest: int) -> dict[str, str | Text]:
    """By column; the metric stands under its own name. ``smallest`` in bytes chooses the unit of all sizes."""
    cells: dict[str, str | Text] = {"size": size(file.size_bytes, smallest)}
    judged = file.verification
    if judged is None:
        return cells | {"verdict": Text("not verified", style="yellow")}
    measured = {} if judged.metric is None else {judged.metric.name: scores(judged.metric)}
    return (
        cells
        | measured
        | {
            "SQNR": sqnr(judged),
            "agrees": agreement(judged),
            "verdict": Text(judged.verdict, style=VERDICT_STYLES[judged.verdict]),
        }
    )


def scores(metric: TaskMetric) -> str:
    """A metric of source and file."""
    return f"{metric.source:.4f} → {metric.artifact:.4f}"


def sqnr(judged: Verification) -> str:
    """How near a file's outputs come to the source's."""
    return "identical" if judged.sqnr_db is None else f"{judged.sqnr_db:.1f} dB"


def agreement(judged: Verification) -> str:
    """For which share of samples a file chooses as its source; "" if no output chooses."""
    return "" if judged.agreement is None else f"{judged.agreement:.1%}"


def _remarks(manifest: Manifest) -> Iterable[str]:
    for name, data in (
        ("training", manifest.training),
        ("calibration", manifest.calibration),
        ("evaluation", manifest.evaluation),
    ):
        if data is not None:
            yield from (f"{name}: {remark}" for remark in (*data.notes, *data.warnings))
    yield from (f"{manifest.source.file}: {warning}" for warning in manifest.source.warnings)
    yield from (SELF_MADE[use] for use in _uses(manifest) if use in SELF_MADE)
    for file in manifest.artifacts:
        if file.verification is not None and file.verification.reason:
            yield f"{file.file}: {file.verification.reason}{_way_out(file, file.verification)}"
        if file.verification is not None:
            yield from (f"{file.file}: {remark}" for remark in file.verification.remarks)
        yield from (f"{file.file}: {told}" for told in (*file.warnings, *file.notes))
        yield from _layouts(file.signature)
        yield from _mapping(file)
    yield from (f"{file} is left out: {why}" for file, why in manifest.unavailable.items())
    # The same reason often holds for several files of a target; it is told once.
    yield from {f"{what} unavailable: {why}": None for f in manifest.artifacts for what, why in f.unavailable.items()}


def _way_out(file: ArtifactFile, judged: Verification) -> str:
    """What may help a quantized file that misses a budget of accuracy, if nothing was searched."""
    demands = (judged.max_drop, judged.min_agreement, judged.min_sqnr_db)
    missed = judged.verdict == "miss" and any(demand is not None for demand in demands)
    searched = file.rungs or file.precision in FLOATS
    return "; --effort normal searches for a file that meets it" if missed and not searched else ""


SELF_MADE = {
    "calibration": "SQNR is that of the calibration samples themselves (--eval takes others)",
    "random": "SQNR is that of random inputs (--eval takes real ones)",
}
"""What to say of samples that were not given for evaluation."""


def _uses(manifest: Manifest) -> Iterable[str]:
    judged = (file.verification for file in manifest.artifacts)
    return dict.fromkeys(found.samples_use for found in judged if found is not None and found.samples_use is not None)


def _layouts(signature: Signature) -> Iterable[str]:
    """Inputs and outputs that have another layout in the file than in its source."""
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if spec.permutation is not None:
                here, there = (spec.layout or "axes", spec.shape), (spec.source_layout or "axes", spec.source_shape)
                sides = [f"{layout} {dims(shape)}" for layout, shape in (here, there)]
                yield f"{kind} {spec.name} is {sides[0]} here, {sides[1]} in the source (--keep-layout keeps that)"


def dims(shape: tuple[int, ...]) -> str:
    """A shape as it is read."""
    return "×".join(map(str, shape)) or "scalar"


def _mapping(file: ArtifactFile) -> Iterable[str]:
    """The operators that do not run where the file is meant to run, and the reason of the first."""
    where = Counter(placement.runs_on for placement in file.placements)
    if len(where) < 2:
        return
    yield f"{file.file}: operators " + ", ".join(f"{n} on {device}" for device, n in where.most_common())
    first = next(placement for placement in file.placements if placement.runs_on == "CPU")
    yield f"  first on the CPU: {first.operator} {first.name}" + (f": {first.status}" if first.status else "")


def checks(found: Iterable[Check]) -> RenderableType:
    """What ``edgekit check`` found: a line for each file of each target."""
    table = plain_table("target", "file", "works", "operators")
    for row in found:
        where = Counter(placement.runs_on for placement in row.placements)
        remark = row.reason or ", ".join(f"{n} on {device}" for device, n in where.most_common())
        reasons = Counter(p.status for p in row.placements if p.status and p.runs_on == "CPU" and len(where) > 1)
        remark += "".join(f"\n  {n} × {status}" for status, n in reasons.most_common())
        table.add_row(row.target, row.file, Text("yes", "green") if row.works else Text("no", "red"), remark)
    return table


def plan(planned: Plan) -> RenderableType:
    """What a dry run shows."""
    table = plain_table("target", "file", "precision", "backend", "folder")
    for target, folder, variants in planned.targets:
        for variant in variants:
            table.add_row(target.name, variant.file, variant.precision, variant.backend, f"{folder}/")
    for result in planned.refused:
        table.add_row(result.target, "", "", "", "" if result.error is None else result.error.problem)
    recipe = planned.recipe
    parts: list[RenderableType] = [table]
    if recipe.passes:
        parts.append(
            Text(f"made of what the recipe {recipe.recipe} leaves: {', '.join(map(recipes.shown, recipe.passes))}")
        )
    if recipe.effort is None:
        return Group(*parts)
    limit = "" if recipe.time_limit_s is None else f", {recipe.time_limit_s:,.0f} s at most"
    told = f"files that miss the budget are searched for better ones: effort {recipe.effort}{limit}"
    return Group(*parts, Text(told))


def inspection(seen: Inspection) -> RenderableType:
    """Everything ``edgekit inspect`` knows, in three short tables."""
    model, cost = seen.model, seen.cost
    facts = plain_table("", "")
    facts.show_header = False
    facts.add_row("format", model.format + (f", opset {model.opset}" if model.opset else ""))
    facts.add_row("producer", model.producer or "not recorded")
    facts.add_row("size", size(model.bytes))
    if cost is not None:
        facts.add_row("parameters", count(cost.parameters))
        facts.add_row("MACs", "; ".join((count(cost.macs), *cost.notes)))
        how = "in float32" if seen.waist is not None else "as the file stores them"
        facts.add_row("peak activations", f"{size(cost.peak_activation_bytes)} {how}")
    if seen.waist is None:
        facts.add_row("float form" if cost is not None else "cost", f"unavailable: {seen.reason}")
    parts: list[RenderableType] = [Text(model.file, style="bold"), facts, Text(), _signature(model.signature)]
    if cost is not None:
        operators = plain_table("operator", "used")
        for name, n in sorted(cost.operators.items(), key=lambda item: (-item[1], item[0])):
            operators.add_row(name, str(n))
        parts += [Text(), operators]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in model.warnings]
    return Group(*parts)


def _signature(signature: Signature) -> Table:
    table = plain_table("", "name", "shape", "dtype", "layout")
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            table.add_row(kind, *_spec(spec))
    return table


def _spec(spec: TensorSpec) -> tuple[str, str, str, str]:
    return spec.name, dims(spec.shape), spec.dtype, spec.layout or ""


def tensors(rows: Iterable[TensorRow]) -> RenderableType:
    """The tensors of a model, in the order in which they are made."""
    table = plain_table("tensor", "shape", "dtype", "made by")
    for row in rows:
        shape = "not fixed" if row.shape is None else dims(row.shape)
        table.add_row(row.name, shape, row.dtype or "", row.operator + (", an output" if row.output else ""))
    return table


def targets(found: Iterable[Target]) -> RenderableType:
    """A line for each target."""
    table = plain_table("target", "for", "files")
    for target in found:
        table.add_row(target.name, target.title, ", ".join(variant.file for variant in target.variants))
    return table


def target(found: Target) -> RenderableType:
    """Everything about a target, with the source of each number."""
    files = plain_table("file", "precision", "made by", "use")
    for variant in found.variants:
        files.add_row(variant.file, variant.precision, variant.backend, variant.use)
    parts: list[RenderableType] = [Text(found.title, style="bold"), Text(found.summary), Text(), files]
    if found.facts:
        facts = plain_table("fact", "value", "source")
        for name, fact in found.facts.items():
            facts.add_row(name.replace("_", " "), f"{fact.value} {fact.unit}", fact.source)
        parts += [Text(), facts]
    return Group(*parts, Text(), Text(f"documentation: {found.documentation}"))


def health(found: "Health") -> RenderableType:
    """What works here, and the command for what does not."""
    tools = ", ".join(f"{name} {version}" for name, version in found.tools.items())
    table = plain_table("", "", "works", "remark")
    for part in found.parts:
        works = Text("yes", style="green") if part.works else Text("no", style="yellow")
        remark = part.detail if part.works or not part.fix else f"{part.detail}\nfix: {part.fix}"
        table.add_row(part.kind, part.name, works, remark)
    head = f"Python {found.python} on {found.platform}\ncache: {found.cache}\ninstalled: {tools}\n"
    return Group(Text(head), table)
