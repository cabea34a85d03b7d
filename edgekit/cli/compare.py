"""``edgekit compare``."""

from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from edgekit.cli import measuring, options
from edgekit.errors import InputError
from edgekit.measure import record
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Comparison
from edgekit.report import profiles as screens
from edgekit.verbs.compare import compare, compare_profiles, lettered, pair
from edgekit.verbs.compare import names as names_of


@click.command(epilog="Exit codes: 0 compared, 2 wrong input, 3 a runtime missing, 4 unsupported there, 5 the device.")
@click.argument("a")
@click.argument("b")
@measuring.measuring_options
@options.MAX_SECONDS
@options.json_option
@click.pass_context
def verb(context: click.Context, /, a: str, b: str, *, as_json: bool, device: str | None, **flags: Any) -> int:
    """Tell whether A is faster than B on a device, or whether no difference is shown.

    \b
    edgekit compare model_int8.tflite model_float16.tflite
    edgekit compare old/model.tflite new/model.tflite --device 8A2X0Y
    edgekit compare profiles/A.json profiles/B.json       (recorded by one compare)

    Both are measured in blocks that take turns, so that whatever else the device does meets both alike.
    The verdict comes with the ratio of their latencies and its 95 % interval over pairs of blocks.
    """
    first, second = options.existing(a), options.existing(b)
    console = options.stderr()
    if ".json" in {first.suffix, second.suffix}:
        _refuse(context, first, second)
        left, right = record.read(first), record.read(second)
        found, names = compare_profiles(left, right), (left.artifact, right.artifact)
        names = lettered(names) if names[0] == names[1] else names
        options.stdout(as_json=as_json).print(screens.comparison(found, *names, left.device.title))
        if as_json:
            options.print_json(_document(found, names))
        return 0
    settings = measuring.wanted(flags)
    with options.session(console, max_seconds=flags["max_seconds"]) as session:
        chosen = measuring.chosen(session, device, settings, trusted=flags["trust_project"])
        chosen_files = pair(session, (first, second), chosen, SourceOptions(shapes=flags["shapes"]))
        measured, found = compare(session, chosen, chosen_files, settings)
    measuring.show(console, measured)
    names = names_of(chosen_files)
    options.stdout(as_json=as_json).print(screens.comparison(found, *names, chosen.title))
    if as_json:
        options.print_json(_document(found, names) | {"profiles": [measuring.document(row) for row in measured]})
    return measuring.exit_code(measured)


def _refuse(context: click.Context, first: Path, second: Path) -> None:
    """Refuse to compare what is recorded with what is not, and options of a measurement if none is made.

    Raises:
        InputError: one of both is the case.
    """
    if first.suffix != second.suffix:
        recorded, other = (first, second) if first.suffix == ".json" else (second, first)
        raise InputError(
            f"{recorded.name} is named as a recorded profile, {other.name} as a file to measure.",
            place=str(other),
            fix="name two recorded profiles, or two files to measure",
        )
    for option in context.command.params:
        typed = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if isinstance(option, click.Option) and typed and option.name != "as_json":
            raise InputError(
                "Recorded profiles are only read: nothing is measured to which this would apply.",
                place=" / ".join(option.opts),
                fix="leave it out, or name the files that were measured instead of their profiles",
            )


def _document(found: Comparison, names: tuple[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return {"comparison": plain | {"a": names[0], "b": names[1]}}
