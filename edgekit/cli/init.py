"""``edgekit init``."""

from pathlib import Path

import click

from edgekit import config
from edgekit.cli import options
from edgekit.errors import InputError
from edgekit.steps import reading
from edgekit.verbs import init


@click.command()
@click.argument("model")
@click.option(
    "-t", "--target", "targets", multiple=True, metavar="NAME", help="Target to write into the file. May be repeated."
)
def verb(model: str, targets: tuple[str, ...]) -> int:
    """Write an edgekit.toml beside a model, with what the model tells of its inputs and outputs.

    \b
    edgekit init model.onnx -t android
    """
    path = Path(model)
    reading.source_of(path)
    for name in targets:
        config.target(name)
    file = path.absolute().parent / config.FILE_NAME
    if file.exists():
        raise InputError(f"There is an {file.name} already.", place=str(file), fix="edit it, or move it away first")
    console = options.stderr()
    with options.session(console) as session:
        content = init.text(session, path, targets or ("android",))
    file.write_text(content, encoding="utf8")
    console.print(f"wrote {file}")
    return 0
