"""``edgekit report``."""

from pathlib import Path

import click

from edgekit.cli import options
from edgekit.cli.console import say
from edgekit.host.replacing import check_place
from edgekit.verbs.report import report


@click.command(epilog="Exit codes: 0 written, 2 wrong input.")
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("-o", "--output", metavar="FILE", help="File to write.  [default: report.html in the folder]")
@click.option("--diagnose", is_flag=True, help="Find the operators at which quantized files lose their signal, too.")
@options.json_option
def verb(folders: tuple[str, ...], *, output: str | None, diagnose: bool, as_json: bool) -> int:
    """Explain artifacts on one HTML page: verdict, accuracy, size, latency, energy, operators, data, settings.

    \b
    edgekit report dist/model/android/
    edgekit report dist/model/android/ dist/model/edgetpu/ -o report.html
    edgekit report dist/model/android/ --diagnose

    FOLDER is what edgekit build wrote; several stand side by side. The page is one file that takes nothing from a
    network. Profiles are those of edgekit profile.
    """
    where = [options.existing(folder) for folder in folders]
    if output is not None:
        check_place(Path(output), "-o", "report.html")
    with options.session(options.stderr()) as session:
        written = report(session, where, None if output is None else Path(output), with_diagnosis=diagnose)
    say(f"wrote {written}")
    if as_json:
        options.print_json({"report": str(written)})
    return 0
