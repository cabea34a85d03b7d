"""``edgekit run``."""

from pathlib import Path

import click

from edgekit.cli import options
from edgekit.errors import InputError
from edgekit.host.replacing import check_place


@click.command(epilog="Exit codes: 0 it ran, 2 wrong input, 3 a runtime missing, 4 it needs another device.")
@click.argument("artifact")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]PATH",
    help="An image, a .wav, a line of tokens (.txt) or arrays. Once for each input, or one .npz for all.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write outputs (.npz), or the picture with what was found (.png, .jpg)."
)
@options.MAX_SECONDS
@options.json_option
def verb(
    artifact: str, *, inputs: tuple[str, ...], output: str | None, max_seconds: float | None, as_json: bool
) -> int:
    """Run a built file on a photo, and say what its outputs mean.

    \b
    edgekit run dist/model/android/model_int8.tflite --input photo.jpg
    edgekit run dist/model/android/model_int8.tflite --input photo.jpg -o found.png
    edgekit run dist/model/android/ --input photo.jpg --json

    ARTIFACT is a file in a folder that edgekit build wrote, or that folder, of which all files are run. What becomes of
    the photo, and what comes out, is what [[input]] and [[output]] said of it when it was built.
    """
    from edgekit.report import found  # noqa: PLC0415  tables, which a wrong option need not wait for
    from edgekit.verbs.run import run  # noqa: PLC0415  numpy

    path = options.existing(artifact)
    if not inputs:
        raise InputError("Nothing is given to run on.", place="--input", fix="name a file: --input photo.jpg")
    if output is not None:
        check_place(Path(output), "-o", "found.png")
    console = options.stdout(as_json=as_json)
    with options.session(options.stderr(), max_seconds=max_seconds) as session:
        ran = run(session, path, inputs, None if output is None else Path(output))
    console.print(found.screen(ran))
    if output is not None:
        options.stderr().print(f"wrote {output}")
    if as_json:
        options.print_json({"runs": ran})
    return 0
