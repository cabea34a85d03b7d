"""``edgekit doctor``."""

import click

from edgekit.cli import options
from edgekit.report import screens
from edgekit.verbs.doctor import doctor


@click.command()
@options.json_option
def verb(*, as_json: bool) -> int:
    """Show what is installed, which sources and targets work, and the command that adds each missing part.

    \b
    edgekit doctor
    """
    found = doctor()
    options.stdout(as_json=as_json).print(screens.health(found))
    if as_json:
        options.print_json(found)
    return 0
