"""How the files of an artifact folder came to be, as a table for each."""

from rich.console import Group, RenderableType
from rich.text import Text

from edgekit.nouns.lineage import Step
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.report.screens import plain_table, size

DIGITS = 8
"""Of a digest: as many as tell the contents of one folder apart."""


def lineage(manifest: Manifest) -> RenderableType:
    """Where a folder's files come from, step by step; of folders of version 1 only what they tell."""
    source = manifest.source
    head = Text(
        f"{source.file} ({source.format}, sha256 {source.sha256[:DIGITS]}…) for {manifest.target}", style="bold"
    )
    built = Text(f"built by edgekit {manifest.edgekit} on {manifest.created_utc}")
    return Group(head, built, *(part for file in manifest.artifacts for part in _file(file)))


def _file(file: ArtifactFile) -> tuple[RenderableType, ...]:
    title = Text(f"{file.file} (sha256 {file.sha256[:DIGITS]}…)", style="bold")
    if not file.lineage:
        return Text(), title, Text("  its steps are not recorded; build it again to have them")
    rows = plain_table("step", "by", "s", "from", "made", "what came of it")
    for step in file.lineage:
        took = "" if step.seconds is None else f"{step.seconds:.2f}"
        rows.add_row(step.what, step.leaf or "edgekit", took, _inputs(step), step.made[:DIGITS], _outcome(step))
    return (Text(), title, rows, *_search(file))


def _search(file: ArtifactFile) -> tuple[RenderableType, ...]:
    """What a search for a budget tried, and which of it is in the folder."""
    if not file.rungs:
        return ()
    rows = plain_table("rung", "settings", "metric", "drop", "SQNR", "agrees", "size", "here", "s", "")
    for rung in file.rungs:
        within = "" if rung.calibration_db is None else f" ({rung.calibration_db:.1f} dB on calibration samples)"
        outcome = rung.problem or (
            f"tried within {rung.within}{within}"
            if rung.within
            else ("meets the budget" if rung.met else "misses it") + (", chosen" * rung.chosen)
        )
        rows.add_row(
            rung.name,
            ", ".join(f"{key} = {_setting(value)}" for key, value in rung.settings.items()),
            "" if rung.metric is None else f"{rung.metric:.4f}",
            "" if rung.drop is None else f"{rung.drop:.4f}",
            "" if rung.size_bytes is None else "identical" if rung.sqnr_db is None else f"{rung.sqnr_db:.1f} dB",
            "" if rung.agreement is None else f"{rung.agreement:.1%}",
            "" if rung.size_bytes is None else size(rung.size_bytes),
            "" if rung.latency_ms is None else f"{rung.latency_ms:.2f} ms",
            "" if rung.within else f"{rung.seconds:.1f}",
            outcome,
        )
    return Text(), Text("  the search for its budget", style="bold"), rows


def _setting(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _inputs(step: Step) -> str:
    return ", ".join(f"{role} {digest[:DIGITS]}" for role, digest in step.inputs.items() if not _describes(role))


def _describes(role: str) -> bool:
    """Whether an input only says what another one is."""
    return role.endswith("signature") or role == "placements"


def _outcome(step: Step) -> str:
    seen = (f"{name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in step.evidence.items())
    return "; ".join((*step.notes, ", ".join(seen))).strip("; ")
