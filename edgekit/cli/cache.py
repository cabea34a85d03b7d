"""``edgekit cache``."""

import re

import click

from edgekit.cli import options
from edgekit.errors import InputError
from edgekit.report.screens import size as in_words
from edgekit.session import cache_folder
from edgekit.store import Store

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


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
    rows = Store(cache_folder()).entries()
    total = sum(bytes_ for _, bytes_, _ in rows)
    click.echo(f"{cache_folder()}: {len(rows)} answers, {in_words(total)}", err=True)
    if as_json:
        options.print_json({"folder": str(cache_folder()), "answers": len(rows), "bytes": total})
    return 0


def _bytes(_: click.Context, __: click.Parameter, value: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", value.strip(), flags=re.IGNORECASE)
    if match is None:
        raise InputError(f"{value!r} is no size.", place="--to", fix="write for instance --to 500M or --to 2G")
    return int(match[1]) * UNITS[match[2].upper()]


@verb.command()
@click.option(
    "--to",
    "max_bytes",
    default="0",
    callback=_bytes,
    metavar="SIZE",
    help="What may stay (500M, 2G); nothing without it.",
)
@options.json_option
def prune(max_bytes: int, *, as_json: bool) -> int:
    """Drop the answers longest unused.

    \b
    edgekit cache prune --to 1G
    """
    dropped, freed = Store(cache_folder()).prune(max_bytes)
    click.echo(f"dropped {dropped} answers, {in_words(freed)}", err=True)
    if as_json:
        options.print_json({"dropped": dropped, "bytes": freed})
    return 0
