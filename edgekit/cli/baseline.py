"""``edgekit baseline``."""

from pathlib import Path

import click

from edgekit.cli import gating, options
from edgekit.nouns.gating import BASELINE
from edgekit.verbs.gate import save


@click.group()
def verb() -> None:
    """Keep what artifacts are now, for edgekit gate to compare later ones with.

    \b
    edgekit baseline save
    edgekit baseline save dist/model/android/ --files
    """


@verb.command("save")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@click.option("-o", "--output", default=BASELINE, show_default=True, metavar="FILE", help="File to write.")
@click.option("--files", is_flag=True, help="Keep copies of the networks too, so that both can be measured in turns.")
@options.json_option
def save_verb(folders: tuple[str, ...], *, output: str, files: bool, as_json: bool) -> int:
    """Write accuracy, size and measurements of artifacts into a file to commit.

    \b
    edgekit baseline save
    edgekit baseline save dist/model/android/ dist/model/edgetpu/ -o baselines/main.json

    FOLDER is what edgekit build wrote; without one those of ./edgekit.toml are saved.
    """
    where = gating.folders(folders, gating.project())
    made = save(where, Path(output), files=files)
    console = options.stdout(as_json=as_json)
    for file in made.files:
        devices = ", ".join(dict.fromkeys(one.device.id for one in file.sessions)) or "no device"
        console.print(f"{file.target}/{file.file}: measured on {devices}")
    console.print(f"wrote {output}")
    if as_json:
        options.print_json(made)
    return 0
