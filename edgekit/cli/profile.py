"""``edgekit profile``."""

from typing import Any

import click

from edgekit.cli import measuring, options
from edgekit.verbs.profile import profile


@click.command(epilog="Exit codes: 0 measured, 2 wrong input, 3 a runtime missing, 4 unsupported there, 5 the device.")
@click.argument("artifact")
@measuring.measuring_options
@click.option("--ops", is_flag=True, help="Time every operator too, in a separate run.")
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

    ARTIFACT is a folder that edgekit build wrote, or a .tflite, .xml or .onnx file. The device is this
    host unless --device names another; edgekit devices lists them.
    """
    path = options.existing(artifact)
    settings = measuring.wanted(flags)
    console = options.stderr()
    with options.session(console, max_seconds=flags["max_seconds"]) as session:
        chosen = measuring.chosen(session, device, settings, trusted=flags["trust_project"])
        measured = profile(session, chosen, measuring.subjects_of(session, path, chosen, flags), settings)
    measuring.show(console, measured)
    if as_json:
        options.print_json({"profiles": [measuring.document(row) for row in measured]})
    return measuring.exit_code(measured)
