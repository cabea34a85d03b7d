"""``edgekit gate``."""

from pathlib import Path

import click

from edgekit.cli import gating, options, trusting
from edgekit.errors import BudgetMissed, InputError
from edgekit.host import replacing
from edgekit.measure import discovery
from edgekit.nouns.gating import Gate
from edgekit.report import gates as screens
from edgekit.verbs.gate import Gated, gate


@click.command(
    epilog="Exit codes: 0 passed, 1 a figure missed or not known, 2 wrong input, 3 a runtime missing, 5 the device."
)
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@click.option("--baseline", metavar="FILE", help="Baseline to compare with.  [default: edgekit-baseline.json]")
@click.option("--no-baseline", is_flag=True, help="Judge by the budget alone.")
@click.option("--without-device", is_flag=True, help="Leave out what is measured on devices.")
@click.option("--recorded", is_flag=True, help="Measure nothing again; what is only suspected does not fail then.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML.")
@click.option("--markdown", metavar="FILE", help="Append Markdown to a file, such as $GITHUB_STEP_SUMMARY.")
@trusting.trust_option
@options.json_option
def verb(
    folders: tuple[str, ...],
    *,
    baseline: str | None,
    no_baseline: bool,
    without_device: bool,
    recorded: bool,
    junit: str | None,
    markdown: str | None,
    trust_project: bool,
    as_json: bool,
) -> int:
    """Check artifacts against a budget and a baseline; exit 1 if one is missed.

    \b
    edgekit gate                             (the folders, budget and baseline of ./edgekit.toml)
    edgekit gate dist/model/android/ --junit gate.xml --markdown "$GITHUB_STEP_SUMMARY"
    edgekit gate --without-device

    FOLDER is what edgekit build wrote. Figures from devices are those of edgekit profile. What seems worse than the
    baseline is measured again before it fails.
    """
    project = gating.project()
    where = gating.folders(folders, project)
    file = None if no_baseline else gating.baseline(baseline)
    with options.session(options.stderr()) as session:
        found = gate(
            session,
            Gated(
                folders=where,
                demanded=project,
                baseline=file,
                without_device=without_device,
                find=None
                if recorded or without_device
                else lambda running, device: discovery.choose(
                    running, trusting.devices(trusted=trust_project, wanted=device), device
                ),
            ),
        )
    options.stdout(as_json=as_json).print(screens.screen(found))
    _write(found, junit, markdown)
    if as_json:
        options.print_json({"passes": found.passes, "baseline": found.baseline, "findings": found.findings})
    return 0 if found.passes else BudgetMissed.exit_code


def _write(found: Gate, junit: str | None, markdown: str | None) -> None:
    """Write what CI reads.

    Raises:
        InputError: a file cannot be written.
    """
    try:
        if junit is not None:
            replacing.write(Path(junit), screens.junit(found))
        if markdown is not None:
            with Path(markdown).open("a", encoding="utf8") as out:  # a summary may hold other steps' already
                out.write(screens.markdown(found))
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be written: {error.strerror}.",
            place="--junit" if error.filename and error.filename != markdown else "--markdown",
            fix="choose another file",
        ) from error
