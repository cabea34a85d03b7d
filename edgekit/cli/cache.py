"""``edgekit cache``."""

import click

from edgekit.cli import options
from edgekit.cli.console import say
from edgekit.report.screens import size as in_words
from edgekit.verbs import cache


@click.group()
def verb() -> None:
    """Show or prune the cache.

    \b
    edgekit cache size
    edgekit cache prune --to 1G
    """


@verb.command()
@options.json_option
def size(*, as_json: bool) -> int:
    """Show where the cache lies and what it holds.

    \b
    edgekit cache size
    """
    found = cache.size()
    told = f"{found.folder}: {found.answers} answers, {in_words(found.bytes)} of at most {in_words(found.limit_bytes)}"
    options.stdout(as_json=as_json).print(told, soft_wrap=True)
    for doubt in found.doubts:
        say(f"warning: {doubt}")
    if as_json:
        told_of = {"answers": found.answers, "bytes": found.bytes, "limit_bytes": found.limit_bytes}
        options.print_json({"folder": str(found.folder), **told_of})
    return 0


@verb.command()
@click.option(
    "--to",
    "max_bytes",
    default="0",
    callback=options.size,
    metavar="SIZE",
    help="Size to shrink the cache to (500M, 2G).  [default: 0, which empties it]",
)
@options.json_option
def prune(max_bytes: int, *, as_json: bool) -> int:
    """Drop the answers longest unused.

    \b
    edgekit cache prune --to 1G
    """
    found = cache.prune(max_bytes)
    options.stdout(as_json=as_json).print(f"dropped {found.dropped} answers, {in_words(found.bytes)}")
    if as_json:
        options.print_json(found)
    return 0
