"""The page of the study: what the literature reports, aims, and a table for each network and each way of training."""

import datetime
import importlib.metadata
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from edgekit.nouns.recipe import name_of
from tests.studies.compression import bases
from tests.studies.compression.bases import Base
from tests.studies.compression.cases import Case
from tests.studies.compression.trial import Trial, machine

LIBRARIES = ("tensorflow", "tf-keras", "keras", "tensorflow-model-optimization", "ai-edge-litert", "ai-edge-quantizer")

HEAD = """# Compression, measured

Written by `python -m tests.compression` on {date}; do not edit. Machine: {machine}. Libraries: {libraries}.
Each trial's commit, day, settings and losses stand in `tests/studies/compression/outcomes`.

* Each row is a recipe (`edgekit recipes show NAME`) on a network, built by `edgekit.build` for a float32 and an int8 file, with as
  many seeds as the column says; ± is the 95 % interval of the mean over seeds (Student's t). What judges is never trained on.
* Nothing but the row's name says that labels are used: else the float source teaches, on unlabelled samples.
* **float32** and **int8** are points of top-1 against the float source, whose own top-1 stands above the table.
* **parameters**, **MACs** and **gzip** (of the float32 file) are against the source; **size** is that of the int8 file against the
  source's float32 file.
* **QAT by TFMOT** is TensorFlow's Model Optimization Toolkit, as long as `qat`, at the best of three learning rates, on classes or on
  the network's own scores before; its file is TensorFlow's converter's.
* **latency** is divided by that of the float source on LiteRT: one thread, the median of seven pairs that took turns.
* **minutes** are those of the whole build on {cores} cores, other work beside it.
"""

T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Student's t for 97.5 %, by degrees of freedom."""


@dataclass(frozen=True)
class Row:
    """A case with what came of its seeds."""

    case: Case
    trials: list[Trial]

    @property
    def good(self) -> list[Trial]:
        """The seeds that gave a file."""
        return [trial for trial in self.trials if not trial.error]


def interval(values: list[float]) -> tuple[float, float | None]:
    """The mean, and half of its 95 % interval; None for a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, T.get(len(values) - 1, 2.0) * statistics.stdev(values) / sqrt(len(values))


def page(rows: list[Row], pending: int) -> str:
    """The page of what there is; ``pending`` trials are not done."""
    import os  # noqa: PLC0415

    head = HEAD.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine="; ".join(sorted({t.machine for row in rows for t in row.good} or {machine()})),
        libraries=", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
        cores=os.cpu_count(),
    )
    head += f"\n{pending} of the study's trials are not done.\n" if pending else ""
    parts = [head.rstrip(), "## Aims\n\n" + "\n".join(aims(rows))]
    for base in bases.BASES:
        own = [row for row in rows if row.case.base == base and row.case.section == "recipes"]
        if own:
            parts.append(f"## {base.name}\n\n" + "\n".join(table(own)))
    for section in dict.fromkeys(row.case.section for row in rows if row.case.section != "recipes"):
        own = [row for row in rows if row.case.section == section]
        parts.append(f"## ResNet-8 from nothing: {section}\n\n" + "\n".join(setups(own)))
    return "\n\n".join(parts) + "\n"


def table(rows: list[Row]) -> Iterator[str]:
    """A network's recipes."""
    first = next((trial for row in rows for trial in row.good), None)
    if first is not None:
        yield f"The float source: top-1 {first.source:.2%} of {first.samples} samples."
        if len({trial.base for row in rows for trial in row.good}) > 1:
            yield "Not all rows start from the same training of it: each is compared with its own."
        yield ""
    columns = (
        "recipe",
        "seeds",
        "parameters",
        "MACs",
        "gzip",
        "size",
        "float32",
        "int8",
        "float32 latency",
        "int8 latency",
        "minutes",
    )
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for row in rows:
        if not row.good:
            yield f"| {row.case.name} | {row.trials[0].error if row.trials else 'not done'} |{' |' * (len(columns) - 2)}"
            continue
        yield f"| {row.case.name} | {' | '.join(_cells(row.good))} |"


def _cells(trials: list[Trial]) -> Iterator[str]:
    yield str(len(trials))
    for change in ("parameters", "macs", "gzip_bytes"):
        yield _share([_changed(trial, change) for trial in trials])
    yield _share([trial.bytes[2] / trial.bytes[0] - 1 for trial in trials])
    for attribute in ("float32", "int8"):
        seen = [(getattr(trial, attribute), trial.source) for trial in trials]
        yield "" if None in dict(seen) else _points([100 * (value - source) for value, source in seen])
    for index in (0, 1):
        seen = [trial.ratio[index] for trial in trials]
        yield "" if None in seen else f"{statistics.median(seen):.2f}"
    yield f"{statistics.median(trial.seconds for trial in trials) / 60:.1f}"


def _changed(trial: Trial, figure: str) -> float:
    """A figure of the last pass against the source's, less 1."""
    if not trial.passes:
        return 0.0
    return float(getattr(trial.passes[-1].after, figure) / getattr(trial.passes[0].before, figure) - 1)


def _share(values: list[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:+.0%}" if abs(mean) >= 0.005 else "0 %"


def _points(values: list[float]) -> str:
    mean, half = interval(values)
    return f"{mean:+.2f}" + ("" if half is None else f" ± {half:.2f}")


def setups(rows: list[Row]) -> Iterator[str]:
    """Ways of training from nothing."""
    yield "| way | seeds | top-1 in float32 | loss of the last epoch | minutes |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        if not row.good:
            yield f"| {row.case.name} | {row.trials[0].error if row.trials else 'not done'} | | | |"
            continue
        mean, half = interval([100 * trial.float32 for trial in row.good])
        losses = [trial.passes[-1].epochs[-1].loss for trial in row.good if trial.passes and trial.passes[-1].epochs]
        cells = (
            row.case.name,
            len(row.good),
            f"{mean:.2f}" + ("" if half is None else f" ± {half:.2f}"),
            f"{statistics.fmean(losses):.3f}" if losses else "",
            f"{statistics.median(trial.seconds for trial in row.good) / 60:.1f}",
        )
        yield f"| {' | '.join(map(str, cells))} |"


@dataclass(frozen=True)
class Aim:
    """What is to be beaten: least saving of a figure, and the largest loss in points of a file."""

    what: str
    base: Base
    recipe: str
    file: str
    parameters: float | None
    macs: float | None
    points: float


AIMS = (
    Aim("ResNet, weight pruning (zeros count as saved)", bases.RESNET8, "prune50", "float32", -0.30, None, -0.5),
    Aim("ResNet, structured pruning", bases.RESNET8, "prune-channels50", "float32", -0.40, -0.50, -0.7),
    Aim("ResNet, dynamic pruning", bases.RESNET8, "dynamic-prune50-qat", "float32", -0.35, None, -0.4),
    Aim("ResNet, quantization", bases.RESNET8, "source, int8 after training", "int8", None, None, -0.8),
    Aim("ResNet-8 at half of the MACs", bases.RESNET8, "prune-channels50", "float32", None, -0.50, -0.5),
    Aim("ResNet-8, channels, no training", bases.RESNET8, "prune-channels30, no training", "float32", None, -0.30, -1.0),
    Aim("MobileNet, static quantization", bases.MOBILENET, "source, int8 after training", "int8", None, None, -1.2),
    Aim("MobileNet, QAT", bases.MOBILENET, "qat", "int8", None, None, -0.8),
    Aim("EfficientNet-Lite0, channels, no training", bases.EFFICIENTNET, "prune-channels30, no training", "float32", None, -0.30, -1.0),
    Aim("EfficientNet-Lite0, QAT", bases.EFFICIENTNET, "qat", "int8", None, None, -0.2),
)  # fmt: skip


def aims(rows: list[Row]) -> Iterator[str]:
    """Each aim with what was seen."""
    yield "| aim | at most | seen | met |"
    yield "| --- | --- | --- | --- |"
    for aim in AIMS:
        row = next((one for one in rows if one.case.base == aim.base and one.case.name == aim.recipe), None)
        wanted = _shown(aim.parameters, aim.macs, aim.points)
        if row is None or not row.good:
            yield f"| {aim.what} | {wanted} | not done | |"
            continue
        points = statistics.fmean([100 * (getattr(t, aim.file) - t.source) for t in row.good])
        saved = statistics.fmean([_saved(t) for t in row.good])
        macs = statistics.fmean([_changed(t, "macs") for t in row.good])
        seen = _shown(None if aim.parameters is None else saved, None if aim.macs is None else macs, points)
        met = points >= aim.points and (aim.macs is None or macs <= aim.macs + 0.005)
        met = met and (aim.parameters is None or saved <= aim.parameters + 0.005)
        yield f"| {aim.what} | {wanted} | {seen} | {'yes' if met else '**no**'} |"


def _saved(trial: Trial) -> float:
    """Parameters that are not zero, against the source's, less 1."""
    if not trial.passes:
        return 0.0
    before, after = trial.passes[0].before, trial.passes[-1].after
    return after.parameters * (1 - after.zeros) / (before.parameters * (1 - before.zeros)) - 1


def _shown(parameters: float | None, macs: float | None, points: float) -> str:
    told = [] if parameters is None else [f"{parameters:+.0%} parameters"]
    told += [] if macs is None else [f"{macs:+.0%} MACs"]
    return ", ".join([*told, f"{points:+.2f} points"])


def passes_of(trial: Trial) -> str:
    """The passes of a trial by name."""
    return ", ".join(name_of(report.settings) for report in trial.passes)
