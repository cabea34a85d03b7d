"""``edgekit cache``."""

import click

from edgekit.cli import options
from edgekit.cli.console import say
from edgekit.engine.store import Store
from edgekit.host import cachedir
from edgekit.host.cachedir import cache_folder
from edgekit.report.screens import size as in_words


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
    folder = cache_folder()
    rows = Store(folder).entries()
    total, limit = sum(bytes_ for _, bytes_, _ in rows), cachedir.limit_bytes(folder)
    told = f"{folder}: {len(rows)} answers, {in_words(total)} of at most {in_words(limit)}"
    options.stdout(as_json=as_json).print(told, soft_wrap=True)
    for doubt in cachedir.doubts(folder):
        say(f"warning: {doubt}")
    if as_json:
        options.print_json({"folder": str(folder), "answers": len(rows), "bytes": total, "limit_bytes": limit})
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
    dropped, freed = Store(cache_folder()).prune(max_bytes)
    options.stdout(as_json=as_json).print(f"dropped {dropped} answers, {in_words(freed)}")
    if as_json:
        options.print_json({"dropped": dropped, "bytes": freed})
    return 0
