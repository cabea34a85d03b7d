"""``edgekit compare``."""

from pathlib import Path
from typing import Any

import click
import msgspec

from edgekit.cli import measuring, options
from edgekit.errors import InputError
from edgekit.measure import profiling, record
from edgekit.measure.subject import Subject
from edgekit.profiles import Device
from edgekit.report import profiles as screens
from edgekit.session import Session


@click.command(epilog="Exit codes: 0 compared, 2 wrong input, 3 a runtime missing, 4 unsupported there, 5 the device.")
@click.argument("a")
@click.argument("b")
@measuring.measuring_options
@options.json_option
def verb(a: str, b: str, *, as_json: bool, device: str | None, **flags: Any) -> int:
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
    if first.suffix == ".json" or second.suffix == ".json":
        left, right = record.read(first), record.read(second)
        found = profiling.compare_profiles(left, right)
        console.print(screens.comparison(found, left.artifact, right.artifact, left.device.title))
        if as_json:
            options.print_json({"comparison": found})
        return 0
    settings, wishes = measuring.wanted(flags)
    with options.session(console) as session:
        chosen = measuring.chosen(session, device, settings)
        pair = _one(session, first, chosen, flags), _one(session, second, chosen, flags)
        measured, found = profiling.compare(session, chosen, pair, settings, wishes)
    measuring.show(console, measured)
    names = _names(pair)
    console.print(screens.comparison(found, *names, chosen.title))
    if as_json:
        document = {"comparison": msgspec.to_builtins(found) | {"a": names[0], "b": names[1]}}
        options.print_json(document | {"profiles": [measuring.document(row) for row in measured]})
    return measuring.exit_code(measured)


def _one(session: Session, path: Path, device: Device, flags: dict[str, Any]) -> Subject:
    found = measuring.subjects_of(session, path, device, flags)
    if len(found) > 1:
        raise InputError(
            f"{path} holds several files: {', '.join(subject.name for subject in found)}.",
            place=str(path),
            fix=f"name one of them: {found[0].path}",
        )
    return found[0]


def _names(pair: tuple[Subject, Subject]) -> tuple[str, str]:
    """File names, with as much of their paths as tells them apart."""
    if pair[0].name != pair[1].name:
        return pair[0].name, pair[1].name
    if pair[0].path.resolve() == pair[1].path.resolve():
        return f"{pair[0].name} (A)", f"{pair[1].name} (B)"
    return str(pair[0].path), str(pair[1].path)
