"""``edgekit compress``."""

from pathlib import Path
from typing import Any

import click
import msgspec

from edgekit.cli import options
from edgekit.config import METRICS, Project
from edgekit.report import compression
from edgekit.verbs.compress import compress


@click.command(epilog="Exit codes: 0 written, 2 wrong input, 3 a tool missing, 4 unsupported.")
@click.argument("model")
@options.recipe_options
@click.option("--calibration", metavar="PATH", help="Samples for the ranges of qat.  [default: some of --data]")
@click.option("--eval", metavar="PATH", help="Labelled samples to evaluate the metric on.")
@click.option("--metric", type=options.MetricChoice(METRICS), help="Metric to evaluate, or module:function.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PASS.KEY=VALUE",
    callback=lambda _, parameter, values: (
        {"passes": options.pass_settings(parameter.opts[0], values)} if values else {}
    ),
    help="Setting of a pass, such as qat.epochs=3. May be repeated.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Seed for every random choice.  [default: 0]"
)
@options.source_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    help="Float TFLite file to write, or .keras: the network as a Keras model.",
)
@options.json_option
def verb(model: str, *, output: str, as_json: bool, **flags: Any) -> int:
    """Train, prune or distill a model, and write the float network that comes of it.

    \b
    edgekit compress model.onnx --recipe prune-channels30 --data samples.npz -o smaller.tflite
    edgekit compress model.onnx -o trainable.keras
    edgekit compress model.keras --prune-channels 0.5 --data train.npz --eval test.npz --metric top1 -o half.tflite

    MODEL is what edgekit build takes, and so is what is written. A .keras file is for training code of your own.
    """
    path = options.existing(model)
    flags = options.ensure_gain(flags | flags.pop("settings"))
    said = {name: value for name, value in flags.items() if value not in (None, (), {})}
    project = msgspec.structs.replace(Project(), **said)
    console = options.stderr()
    with options.session(console, None, project.max_memory, project.max_seconds) as session:
        found = compress(session, project, path, Path(output))
    if found.passes:
        console.print(compression.passes(found.recipe.recipe, found.passes))
    console.print(f"wrote {found.file}")
    if as_json:
        options.print_json({"file": str(found.file), "recipe": found.recipe, "passes": found.passes})
    return 0
