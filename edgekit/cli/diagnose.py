"""``edgekit diagnose``."""

from pathlib import Path
from typing import Any

import click
import msgspec

from edgekit.cli import options
from edgekit.cli.console import say
from edgekit.host.replacing import check_place, write
from edgekit.nouns.diagnosis import MOST_SAMPLES, SHOWN, Value
from edgekit.nouns.model import SourceOptions
from edgekit.report import along, svg
from edgekit.report import diagnosis as screens
from edgekit.verbs.diagnose import DiagnosisRequest, diagnose


@click.command(epilog="Exit codes: 0 diagnosed, 2 wrong input or another source, 3 a library missing, 4 unsupported.")
@click.argument("artifact")
@click.option("--against", metavar="MODEL", help="The model that it was built from.  [default: the manifest's]")
@click.option("--samples", metavar="PATH", help="Samples to run on.  [default: those of the build, or random]")
@click.option(
    "--max-samples", type=click.IntRange(min=1), metavar="N", help=f"Use at most N samples.  [default: {MOST_SAMPLES}]"
)
@click.option("--file", metavar="NAME", help="A file of the folder, or a precision.  [default: the lowest SQNR]")
@click.option(
    "--top", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="How many operators to show."
)
@click.option(
    "--value",
    type=click.Choice(list(screens.VALUES)),
    default="share",
    show_default=True,
    help="Figure that -o writes for each operator.",
)
@click.option("--plot", metavar="FILE", help="Draw the SQNR along the network (.svg).")
@options.source_options
@options.json_option
@click.option("-o", "--output", metavar="FILE", help="Write Model Explorer node data (.json).")
def verb(
    artifact: str, *, as_json: bool, top: int, value: Value, output: str | None, plot: str | None, **flags: Any
) -> int:
    """Find at which operators a file loses its signal, from which causes, and what would help.

    \b
    edgekit diagnose dist/model/android/
    edgekit diagnose model_int8.tflite --against model.onnx --samples samples.npz
    edgekit diagnose dist/model/android/ --file int8 -o errors.json      (for Model Explorer)
    edgekit diagnose dist/model/android/ --plot sqnr.svg

    Each operator runs alone, on what the float network computes before it, and accumulated, in the file as it is. Its
    share is its part of the errors at the outputs. Operators are named by their places in the file.
    """
    said = {name: flags[name] for name in SourceOptions.__struct_fields__ if flags.get(name) is not None}
    request = DiagnosisRequest(
        artifact=options.existing(artifact),
        against=None if flags["against"] is None else options.existing(flags["against"]),
        samples=flags["samples"],
        file=flags["file"],
        options=SourceOptions(**said),
        max_samples=flags["max_samples"] or MOST_SAMPLES,
        helps=top,
    )
    for option, place, name in (("-o", output, "errors.json"), ("--plot", plot, "sqnr.svg")):
        if place is not None:
            check_place(Path(place), option, name)
    if plot is not None:
        svg.require()
    console = options.stderr()
    with options.session(console, max_memory=flags["max_memory"], max_seconds=flags["max_seconds"]) as session:
        found = diagnose(session, request)
    options.stdout(as_json=as_json).print(screens.diagnosed(found, top))
    if output is not None:
        write(Path(output), msgspec.json.format(msgspec.json.encode(screens.node_data(found, value))) + b"\n")
        say(f"{output}: {screens.VALUES[value]}, for Model Explorer")
    if plot is not None:
        write(Path(plot), along.draw(found, top).encode())
        say(f"{plot}: SQNR along the network")
    if as_json:
        options.print_json(found)
    return 0
