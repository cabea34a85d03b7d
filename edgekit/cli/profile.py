"""``edgekit profile``."""

from pathlib import Path
from typing import Any

import click
import msgspec

from edgekit.cli import measuring, options
from edgekit.cli.console import say
from edgekit.errors import InputError
from edgekit.host.replacing import check_place, write
from edgekit.nouns.results import Measured
from edgekit.verbs.profile import profile


@click.command(epilog="Exit codes: 0 measured, 2 wrong input, 3 a runtime missing, 4 unsupported there, 5 the device.")
@click.argument("artifact")
@measuring.measuring_options
@click.option("--ops", is_flag=True, help="Time every operator too, in a separate run.")
@click.option("--node-data", metavar="FILE", help="Write the times of --ops for Model Explorer (.json).")
@click.option("--model-energy", is_flag=True, help="If energy is not measured, estimate it from MACs and bytes moved.")
@options.MAX_SECONDS
@options.json_option
def verb(artifact: str, *, as_json: bool, device: str | None, **flags: Any) -> int:
    """Measure latency, memory and energy of an artifact on a device.

    \b
    edgekit profile dist/model/android/
    edgekit profile dist/model/android/model_int8.tflite --device 8A2X0Y --ops
    edgekit profile dist/model/linux-arm64/ --device pi5 --energy
    edgekit profile model.tflite --quick --json
    edgekit profile model.tflite --ops --node-data times.json

    ARTIFACT is a folder that edgekit build wrote, or a .tflite, .xml or .onnx file. The device is this
    host unless --device names another; edgekit devices lists them.
    """
    path, nodes = options.existing(artifact), _nodes(flags.pop("node_data"), timed=bool(flags["ops"]))
    settings = measuring.wanted(flags)
    console = options.stderr()
    with options.session(console, max_seconds=flags["max_seconds"]) as session:
        chosen = measuring.chosen(session, device, settings, trusted=flags["trust_project"])
        subjects = measuring.subjects_of(session, path, chosen, flags)
        measured = profile(session, chosen, subjects, settings)
    measuring.show(console, measured)
    if nodes is not None:
        _write_nodes(nodes, measured, [subject.path for subject in subjects])
    if as_json:
        options.print_json({"profiles": [measuring.document(row) for row in measured]})
    return measuring.exit_code(measured)


def _nodes(output: str | None, *, timed: bool) -> Path | None:
    """Where node data goes.

    Raises:
        InputError: operators are not to be timed, or nothing can be written there.
    """
    if output is None:
        return None
    if not timed:
        raise InputError(
            "--node-data takes the times of operators, and they are not timed.", place="--node-data", fix="add --ops"
        )
    check_place(Path(output), "--node-data", "times.json")
    return Path(output)


def _write_nodes(place: Path, measured: list[Measured], files: list[Path]) -> None:
    """Write the node data of the one file that was measured.

    Raises:
        InputError: there are several.
        Unsupported: see `edgekit.report.nodes.latency`.
    """
    from edgekit.report import nodes  # noqa: PLC0415  only if it is asked for

    if len(measured) != 1:
        raise InputError(
            f"--node-data takes the times of one file, and {len(measured)} were measured.",
            place="--node-data",
            fix="name the file itself",
        )
    (profile,), (file,) = (row.profile for row in measured), files
    from edgekit.waist import graph  # noqa: PLC0415  as above

    times = nodes.latency(profile, graph.read(file)[0] if file.suffix == ".tflite" else None)
    write(place, msgspec.json.format(msgspec.json.encode(times.data)) + b"\n")
    say(f"{place}: time of each operator, for Model Explorer")
    if times.unplaced:
        kinds = ", ".join(times.unplaced)
        say(f"  its nodes hold {times.share:.1%} of the time; not known by their nodes: {kinds}")
