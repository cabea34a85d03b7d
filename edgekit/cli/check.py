"""``edgekit check``."""

from typing import Any

import click

from edgekit.cli import options
from edgekit.config import Project
from edgekit.errors import Unsupported
from edgekit.report import screens
from edgekit.verbs.check import check


@click.command()
@click.argument("model")
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Check this target. May be repeated.  [default: all]",
)
@options.source_options
@options.json_option
def verb(model: str, *, targets: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Tell whether targets take a model, and where its operators would run. Needs no data, writes no artifact.

    \b
    edgekit check model.onnx
    edgekit check model.onnx -t edgetpu
    """
    said = {name: value for name, value in flags.items() if value is not None}
    console = options.stderr()
    with options.session(console, max_memory=said.get("max_memory"), max_seconds=said.get("max_seconds")) as session:
        found = check(session, Project(targets=targets or ("all",), **said), options.existing(model))
    options.stdout(as_json=as_json).print(screens.checks(found))
    if as_json:
        options.print_json({"checks": found})
    return 0 if all(row.works for row in found) else Unsupported.exit_code
