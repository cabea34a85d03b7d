"""``edgekit inspect``."""

from typing import Any

import click

from edgekit import flow
from edgekit.cli import options
from edgekit.report import screens
from edgekit.types import SourceOptions


@click.command()
@click.argument("model")
@options.source_options
@options.json_option
def verb(model: str, *, as_json: bool, **flags: Any) -> int:
    """Show signature, operators, parameters, MACs, peak activation memory and size of a model.

    \b
    edgekit inspect model.onnx
    """
    said = {name: value for name, value in flags.items() if value is not None}
    console = options.stderr()
    with options.session(console, max_memory=said.pop("max_memory", None)) as session:
        seen = flow.inspect(session, options.existing(model), SourceOptions(**said))
    console.print(screens.inspection(seen))
    if as_json:
        options.print_json(seen)
    return 0
