"""The coverage page in Markdown."""

import re
from collections.abc import Iterable

from tests.studies.coverage.cases import FOLDERS
from tests.studies.coverage.rows import Outcome, Row

TITLES = {
    "mlperf_tiny": "MLPerf Tiny",
    "keras": "Keras",
    "onnx": "ONNX",
    "tflite": "TFLite",
    "onnx_ops": "ONNX operators, one or a few for each file",
    "reported": "Models in the shape of public problem reports, on samples of their own",
    "onnx_invalid": "ONNX files that must be refused",
}

REASON = 400
"""Characters of a reason that the page shows."""

HEAD = """# Coverage

Which real models build for `android`. Written by `python -m tests.studies.coverage`; do not edit.

Every model goes through `edgekit build`'s own code, in one session. The figures are the SQNR in dB of
the artifact's outputs against those of the source in its own runtime, the worst output counting.
`float32` must reach 60 dB. `int8` is *structural*: it is calibrated and compared on the same sampled
inputs, so it shows that the network can be quantized and how coarse that is on noise, not how accurate
it is on its task (for that see the accuracy tests). "exact" means equal to the bit.

Low int8 figures that were looked into (a verdict in the table tells of others):

* Attention_torch2: 128 keys share a probability of 1, and TFLite's integer SOFTMAX has steps of 1/256. Those steps alone
  leave 20.5 dB on such inputs.
* silero_vad: noise is no speech, so that its output stays below 0.05.
* basic_pitch filters octave after octave: noise leaves a tenth of the range in the deepest, and what joins an octave's
  filters has the scale of the widest (`edgekit diagnose`: QUANTIZE uses 9 to 24 % of its steps).
* GridSample_16 adds up four products of values and weights. Their ranges clip outliers of the normal values that were
  drawn (`edgekit diagnose`).
* FastestDet: the head joins branches, and what joins them has the scale of the widest: before its last convolutions values
  use 13 to 26 % of their steps. The first convolution adds a seventh of the error: three of its 24 channels have weights
  2.2 times the others' (`edgekit diagnose`, on photographs).
* ultraface RFB-320: half of the error is born in the first two convolutions, most of it from the steps of their values.
  Photographs leave 28.5 dB (`edgekit diagnose`).
"""


def markdown(rows: Iterable[Row]) -> str:
    """The page."""
    made = list(rows)
    parts = [HEAD, _summary(made)]
    for folder in FOLDERS:
        chosen = [row for row in made if row.name.startswith(f"{folder}/")]
        if chosen:
            parts.append(f"## {TITLES[folder]}\n\n{_table(chosen)}")
    return "\n".join(parts)


def _summary(rows: list[Row]) -> str:
    lines = ["| folder | models | float32 | int8 |", "| --- | ---: | ---: | ---: |"]
    for folder in FOLDERS:
        chosen = [row for row in rows if row.name.startswith(f"{folder}/")]
        built = [sum(built_in(row, precision) for row in chosen) for precision in ("float32", "int8")]
        if chosen:
            lines.append(f"| {TITLES[folder]} | {len(chosen)} | {built[0]} | {built[1]} |")
    return "\n".join(lines) + "\n"


def built_in(row: Row, precision: str) -> bool:
    """Whether a model has a file of that precision."""
    outcome = row.outcomes.get(precision)
    return outcome is not None and not outcome.reason


def _table(rows: list[Row]) -> str:
    lines = ["| model | format | inputs | float32 | int8 | remarks |", "| --- | --- | --- | ---: | ---: | --- |"]
    for row in rows:
        cells = [row.name.partition("/")[2], row.format, row.inputs]
        cells += [_figure(row.outcomes.get(precision)) for precision in ("float32", "int8")]
        lines.append("| " + " | ".join(_escaped(cell) for cell in (*cells, _remarks(row))) + " |")
    return "\n".join(lines) + "\n"


def _figure(outcome: Outcome | None) -> str:
    if outcome is None or outcome.sqnr_db is None:
        return "–"
    return "exact" if outcome.sqnr_db >= 999 else f"{outcome.sqnr_db:.1f}"


def _remarks(row: Row) -> str:
    """Why there is no file, or which operators stay float in the int8 one."""
    reasons = [
        f"{precision}: {_short(outcome.reason)} (exit {outcome.exit_code})"
        for precision, outcome in row.outcomes.items()
        if outcome.reason
    ]
    notes = [part for outcome in row.outcomes.values() for part in outcome.note.split("; ") if "stays float32" in part]
    verdicts = [f"{p}: {o.verdict}" for p, o in row.outcomes.items() if o.verdict not in {"", "pass"}]
    return "; ".join((*reasons, *map(_short, verdicts), *notes))


def _short(reason: str) -> str:
    """The reason on one line, without the folders of the machine it was found on."""
    line = " ".join(re.sub(r"(?<![\w.])(?:/[^/\s()]+)+/", "", reason).split())
    return line if len(line) <= REASON else line[:REASON].rpartition(" ")[0] + " …"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
