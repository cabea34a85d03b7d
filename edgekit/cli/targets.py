"""``edgekit targets``."""

import click

from edgekit import config
from edgekit.cli import options
from edgekit.report import screens
from edgekit.verbs.targets import targets


@click.group(invoke_without_command=True)
@options.json_option
@click.pass_context
def verb(context: click.Context, *, as_json: bool) -> int:
    """List targets, or explain one.

    \b
    edgekit targets
    edgekit targets show android
    """
    if context.invoked_subcommand is None:
        found = targets()
        options.stdout(as_json=as_json).print(screens.targets(found))
        if as_json:
            options.print_json({"targets": found})
    return 0


@verb.command()
@click.argument("name")
@options.json_option
def show(name: str, *, as_json: bool) -> int:
    """Explain one target: its files, when to use which, and every number with its source.

    \b
    edgekit targets show android
    """
    found = config.target(name)
    options.stdout(as_json=as_json).print(screens.target(found))
    if as_json:
        options.print_json(found)
    return 0
