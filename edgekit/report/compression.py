"""Recipes, and what their passes cost and gained, as rich tables."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.nouns.recipe import PassReport, Recipe, Weighed, name_of, shown
from edgekit.report.screens import count, plain_table, size


def recipes(found: Iterable[Recipe]) -> RenderableType:
    """A line for each recipe."""
    table = plain_table("recipe", "passes", "what it does")
    for recipe in found:
        table.add_row(recipe.name, ", ".join(map(name_of, recipe.passes)) or "none", recipe.description)
    return table


COLUMNS = ("step", "took", "params", "MACs", "zeros", "gzipped", "latency", "SQNR", "agrees", "metric")


def passes(recipe: str, reports: tuple[PassReport, ...]) -> RenderableType:
    """A line for the source, and one for what each pass made of it: what it cost, and how figures changed since.

    Above stands which recipe it was.
    """
    first = reports[0].before
    rows = [{"step": "source"} | _figures(first)]
    for report in reports:
        done = {"step": name_of(report.settings), "took": _took(report.seconds)}
        rows.append(done | _changes(report.after, first) | _quality(report.after))
    columns = [name for name in COLUMNS if any(row.get(name) for row in rows)]
    columns = [
        name for name in columns if name != "agrees" or "metric" not in columns
    ]  # which is what the user asked for
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row.get(name, "") for name in columns))
    told = [f"{name_of(r.settings)}: {line}" for r in reports for line in (*r.warnings, *r.notes)]
    return Group(
        Text(f"recipe {recipe}: {', '.join(shown(r.settings) for r in reports)}"),
        table,
        *(Text(f"  {line}") for line in dict.fromkeys(told)),
    )


def _took(seconds: float) -> str:
    for unit, length_s in (("h", 3600), ("m", 60)):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.1f} s"


def _figures(now: Weighed) -> dict[str, str]:
    """The source's own, to which the changes below refer."""
    return {
        "params": count(now.parameters),
        "MACs": count(now.macs),
        "gzipped": size(now.gzip_bytes),
        "latency": "" if now.latency_ms is None else f"{now.latency_ms:.2f} ms",
        "metric": "" if now.metric is None else f"{now.metric:.4f}",
    }


def _changes(now: Weighed, first: Weighed) -> dict[str, str]:
    """Figures against the source's, in percent."""
    sides = {
        "params": (now.parameters, first.parameters),
        "MACs": (now.macs, first.macs),
        "gzipped": (now.gzip_bytes, first.gzip_bytes),
        "latency": (now.latency_ms, first.latency_ms),
    }
    changed = {name: "" if not a or not b or a == b else f"{a / b - 1:+.0%}" for name, (a, b) in sides.items()}
    return changed | {"zeros": f"{now.zeros:.0%}" if now.zeros >= 0.005 else ""}


def _quality(now: Weighed) -> dict[str, str]:
    """How near a network comes to the source."""
    return {
        "SQNR": "same" if now.sqnr_db is None else f"{now.sqnr_db:.1f} dB",
        "agrees": "" if now.agreement is None else f"{now.agreement:.1%}",
        "metric": "" if now.metric is None else f"{now.metric:.4f}",
    }
