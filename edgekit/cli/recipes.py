"""``edgekit recipes``."""

import click

from edgekit.cli import options
from edgekit.config import recipes
from edgekit.report import compression


@click.group(invoke_without_command=True)
@options.json_option
@click.pass_context
def verb(context: click.Context, *, as_json: bool) -> int:
    """List recipes, or show one.

    \b
    edgekit recipes
    edgekit recipes show qat > my-recipe.toml
    """
    if context.invoked_subcommand is None:
        found = [recipes.recipe(name) for name in recipes.recipe_names()]
        options.stdout(as_json=as_json).print(compression.recipes(found))
        if as_json:
            options.print_json({"recipes": found})
    return 0


@verb.command()
@click.argument("name")
@options.json_option
def show(name: str, *, as_json: bool) -> int:
    """Print a recipe's file, to be copied and changed; with --json every setting with its default.

    \b
    edgekit recipes show prune-channels50-qat
    """
    found = recipes.recipe(name)
    if as_json:
        options.print_json(found)
    else:
        click.echo(recipes.recipe_file(name).read_text(encoding="utf8"), nl=False)
    return 0
