"""One HTML page about artifacts: self-contained, without scripts, and with every name escaped.

A page takes nothing from a network, and says so by its own content security policy: what a hostile name smuggled in
would neither run nor load.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from edgekit.nouns.diagnosis import Diagnosed
from edgekit.nouns.manifest import Manifest
from edgekit.report.html import facts, pictures
from edgekit.report.made_of import mark
from edgekit.report.plain import plain
from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class Explained:
    """What is known of one folder.

    ``raw`` holds for each profile, by its ``raw``, the samples of every block (`edgekit.measure.record.raw`);
    ``samples`` what the network saw of its calibration data, by the source's names, ``[N, *source_shape]``, or
    ``no_samples`` why it is not there; ``diagnoses`` what `edgekit diagnose` found of its files.
    """

    folder: Path
    manifest: Manifest
    raw: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    samples: Mapping[str, Array] = field(default_factory=dict)
    no_samples: str = ""
    diagnoses: Sequence[Diagnosed] = ()


def page(views: Sequence[Explained]) -> str:
    """The page of one or several folders, side by side."""
    import jinja2  # noqa: PLC0415  only if a page is wanted

    def text(value: Any) -> Any:
        """Values as they are shown: without control characters and marks that turn text around."""
        return plain(value) if isinstance(value, str) else value

    here = resources.files(__name__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=text
    )
    template = environment.from_string((here / "page.html.jinja").read_text(encoding="utf8"))

    style = (here / "style.css").read_text(encoding="utf8")
    told = [facts.artifact(view, i) for i, view in enumerate(views)]
    return template.render(
        style=style,
        artifacts=told,
        title=facts.title(views),
        marks=" ".join(mark(view.manifest) for view in views),
        rows=facts.rows(views),
        pareto=pictures.pareto([view.manifest for view in views]),
    )
