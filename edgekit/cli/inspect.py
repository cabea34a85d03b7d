"""``edgekit inspect``."""

from pathlib import Path
from typing import Any

import click

from edgekit.cli import options
from edgekit.nouns.model import SourceOptions
from edgekit.report import screens
from edgekit.report.lineage import lineage
from edgekit.verbs.inspect import inspect, is_artifact, list_tensors, read_artifact


@click.command()
@click.argument("model")
@options.source_options
@click.option("--tensors", is_flag=True, help="List the tensors that --inputs and --outputs can name.")
@options.json_option
def verb(model: str, *, tensors: bool, as_json: bool, **flags: Any) -> int:
    """Show signature, operators, parameters, MACs, peak activation memory and size of a model.

    \b
    edgekit inspect model.onnx
    edgekit inspect model.onnx --tensors
    edgekit inspect dist/model/android/        (how its files came to be)

    MODEL is what edgekit build takes, or a folder that it wrote.
    """
    path = options.existing(model)
    if is_artifact(path):
        return _lineage(path, as_json=as_json)
    said = {name: value for name, value in flags.items() if value is not None}
    console = options.stderr()
    limits = {name: said.pop(name, None) for name in ("max_memory", "max_seconds")}
    with options.session(console, **limits) as session:
        how = SourceOptions(**said)
        if tensors:
            rows = list_tensors(session, path, how)
            options.stdout(as_json=as_json).print(screens.tensors(rows))
            document: Any = {"tensors": rows}
        else:
            document = inspect(session, path, how)
            options.stdout(as_json=as_json).print(screens.inspection(document))
    if as_json:
        options.print_json(document)
    return 0


def _lineage(folder: Path, *, as_json: bool) -> int:
    found = read_artifact(folder)
    options.stdout(as_json=as_json).print(lineage(found))
    if as_json:
        options.print_json({"source": found.source, "files": {file.file: file.lineage for file in found.artifacts}})
    return 0
