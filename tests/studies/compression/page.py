"""The page of the study: what the literature reports, aims, and a table for each network and each way of training."""

import datetime
import importlib.metadata
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from tests.studies.compression import bases
from tests.studies.compression.bases import Base
from tests.studies.compression.cases import SEPARABLE, Case
from tests.studies.compression.trial import Trial, machine

LIBRARIES = ("tensorflow", "tf-keras", "keras", "tensorflow-model-optimization", "ai-edge-litert", "ai-edge-quantizer")

HEAD = """# Compression, measured

Written by `python -m tests.compression` on {date}; do not edit. Machine: {machine}. Libraries: {libraries}.
Each trial's commit, day, settings and losses stand in `tests/studies/compression/outcomes`.

* Each row is a recipe (`edgekit recipes show NAME`) on a network, built by `edgekit.build` for a float32 and an int8 file, with as
  many seeds as the column says; ± is the 95 % interval of the mean over seeds (Student's t). What judges is never trained on.
* Nothing but the row's name says that labels are used: else the float source teaches, on unlabelled samples.
* **float32**, **dynamic** (weights in int8) and **int8** are points of top-1 against the float source, whose own top-1 stands above
  the table.
* **parameters**, **MACs** and **gzip** (of the float32 file) are against the source; **size** is that of the int8 file against the
  source's float32 file.
* **QAT by TFMOT** is TensorFlow's Model Optimization Toolkit, as long as `qat`, at the best of three learning rates, on classes or on
  the network's own scores before; its file is TensorFlow's converter's.
* **latency** is divided by that of the float source on LiteRT: one thread, the median of seven pairs that took turns.
* **minutes** are those of the whole build, other work beside it, on as many cores as the outcome says.
"""

ELSEWHERE = """## Published elsewhere

On other data and other networks, so only as a measure of what is usual:

| what | change of top-1 | source |
| --- | --- | --- |
| QAT by TFMOT, MobileNetV2 on ImageNet | -0.76 points | TensorFlow's guide "Quantization aware training" |
| QAT by NNCF, DistilBERT on SST-2 | -0.8 points | NNCF's model zoo |
| channels by DepGraph, ResNet-56 on CIFAR-10, 2.5 times fewer MACs | -0.17 points | Fang et al., CVPR 2023 |
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

    head = HEAD.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine="; ".join(sorted({t.machine for row in rows for t in row.good} or {machine()})),
        libraries=", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
    )
    head += f"\n{pending} of the study's trials are not done.\n" if pending else ""
    parts = [head.rstrip(), "## Aims\n\n" + "\n".join(aims(rows))]
    for base in bases.BASES:
        own = [row for row in rows if row.case.base == base and row.case.section == "recipes"]
        if own:
            parts.append(f"## {base.name}\n\n" + "\n".join(table(own)))
    if own := [row for row in rows if row.case.section != "recipes"]:
        parts.append("## ResNet-8 from nothing\n\n" + "\n".join(setups(own)))
    return "\n\n".join([*parts, ELSEWHERE])


def table(rows: list[Row]) -> Iterator[str]:
    """A network's recipes."""
    first = next((trial for row in rows for trial in row.good), None)
    if first is not None:
        labels = rows[0].case.base.labels
        told = f"The float source: top-1 {first.source:.2%} of {first.samples} samples."
        yield told if labels else f"{first.samples} samples without labels judge: SQNR of the worst output."
        if labels and len({trial.base for row in rows for trial in row.good}) > 1:
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
        "dynamic",
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
    for attribute in ("float32", "dynamic", "int8"):
        seen = [(getattr(trial, attribute), trial.source) for trial in trials]
        if trials[0].source:
            yield "" if None in dict(seen) else _told([100 * (value - source) for value, source in seen], "+.2f")
        else:
            found = [trial.int8_db for trial in trials if trial.int8_db is not None]
            yield f"{_told(found, '.1f')} dB" if attribute == "int8" and found else ""
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


def _told(values: list[float], form: str) -> str:
    """The mean with half of its interval, as a format says."""
    mean, half = interval(values)
    return format(mean, form) + ("" if half is None else f" ± {half:{form.removeprefix('+')}}")


def setups(rows: list[Row]) -> Iterator[str]:
    """Ways of training from nothing, each beside the usual one."""
    yield "| way | seeds | top-1 in float32 | loss of the last epoch | minutes |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        way = f"{row.case.section}: {row.case.name}"
        if not row.good:
            yield f"| {way} | {row.trials[0].error if row.trials else 'not done'} | | | |"
            continue
        losses = [trial.passes[-1].epochs[-1].loss for trial in row.good if trial.passes and trial.passes[-1].epochs]
        cells = (
            way,
            len(row.good),
            _told([100 * trial.float32 for trial in row.good], ".2f"),
            f"{statistics.fmean(losses):.3f}" if losses else "",
            f"{statistics.median(trial.seconds for trial in row.good) / 60:.1f}",
        )
        yield f"| {' | '.join(map(str, cells))} |"


@dataclass(frozen=True)
class Aim:
    """What is to be beaten: least saving of a figure, and the largest loss in points of a file.

    Attributes:
        what: on the page.
        base: the network.
        recipe: the row that is judged.
        file: whose top-1: float32, int8 or dynamic; or int8_db, the SQNR of the int8 file.
        points: the least that top-1 may change; decibels of int8_db.
        parameters: the largest change of those that are not zero; None if it is not asked for. So are the next two.
        macs: of multiply-adds.
        latency: the largest ratio of the file's to the source's.
        against: the network and the row whose file it is held against; None: the float source of the trial itself.
    """

    what: str
    base: Base
    recipe: str
    file: str
    points: float
    parameters: float | None = None
    macs: float | None = None
    latency: float | None = None
    against: tuple[Base, str] | None = None


PTQ = "source, int8 after training"

AIMS = (
    Aim("ResNet, weight pruning (zeros count as saved)", bases.RESNET8, "prune40", "float32", -0.5, -0.30),
    Aim("ResNet, structured pruning", bases.RESNET8, "prune-channels50", "float32", -0.7, -0.40, -0.50),
    Aim("ResNet, dynamic pruning (likewise)", bases.RESNET8, "dynamic-prune45", "float32", -0.4, -0.35),
    Aim("ResNet, quantization", bases.RESNET8, PTQ, "int8", -0.8),
    Aim("MobileNet, separable convolutions in place of full ones", bases.MOBILENET, PTQ, "float32", -1.0, -0.75, -0.80, against=(bases.FULL, PTQ)),
    Aim("the same, trained to compute what the full ones compute", bases.FULL, SEPARABLE, "float32", -1.0, -0.75, -0.80),
    Aim("MobileNet, static quantization", bases.MOBILENET, PTQ, "int8", -1.2),
    Aim("MobileNet, dynamic quantization", bases.MOBILENET, PTQ, "dynamic", -1.0),
    Aim("MobileNet, QAT", bases.MOBILENET, "qat", "int8", -0.8),
    Aim("BERT-like, a student", bases.BERT, "two blocks of width 48, distilled", "float32", -1.8, -0.80, latency=0.2),
    Aim("ResNet-8 at half of the MACs", bases.RESNET8, "prune-channels50", "float32", -0.5, macs=-0.50, latency=0.55),
    Aim("ResNet-8, channels, no training", bases.RESNET8, "prune-channels30, no training", "float32", -1.0, macs=-0.30),
    Aim("ResNet-8, QAT without labels against QAT with them", bases.RESNET8, "qat", "int8", -0.2, against=(bases.RESNET8, "qat, with labels")),
    Aim("ResNet-8, QAT against int8 after training", bases.RESNET8, "qat", "int8", 0.0, against=(bases.RESNET8, PTQ)),
    Aim("EfficientNet-Lite0, channels, no training", bases.EFFICIENTNET, "prune-channels30, no training", "float32", -1.0, macs=-0.30),
    Aim("EfficientNet-Lite0, QAT", bases.EFFICIENTNET, "qat", "int8", -0.2),
    Aim("a detector (ultraface), QAT from unlabelled pictures against int8 after training", bases.DETECTOR, "qat", "int8_db", 3.0, against=(bases.DETECTOR, PTQ)),
    Aim("another (FastestDet), likewise", bases.BOXES, "qat", "int8_db", 3.0, against=(bases.BOXES, PTQ)),
)  # fmt: skip
"""The literature's case studies first, then the project's own."""


def aims(rows: list[Row]) -> Iterator[str]:
    """Each aim with what was seen."""
    yield "| aim | at most | seen | met |"
    yield "| --- | --- | --- | --- |"
    found = {(row.case.base.name, row.case.name): row.good for row in rows if row.case.section == "recipes"}
    for aim in AIMS:
        wanted = _shown(aim, (aim.parameters, aim.macs, aim.latency), aim.points)
        trials = found.get((aim.base.name, aim.recipe), [])
        others = trials if aim.against is None else found.get((aim.against[0].name, aim.against[1]), [])
        if not trials or not others or any(getattr(trial, aim.file) is None for trial in trials):
            yield f"| {aim.what} | {wanted} | not done | |"
            continue
        seen = _seen(aim, trials, others)
        limits = (aim.parameters, aim.macs, aim.latency)
        met = seen[-1] >= aim.points and all(a is None or b <= a + 0.005 for a, b in zip(limits, seen, strict=False))
        told = _shown(aim, tuple(None if a is None else b for a, b in zip(limits, seen, strict=False)), seen[-1])
        yield f"| {aim.what} | {wanted} | {told} | {'yes' if met else '**no**'} |"


def _seen(aim: Aim, trials: list[Trial], others: list[Trial]) -> tuple[float, float, float, float]:
    """Changes of parameters and of multiply-adds, the ratio of latency, and points of top-1: means over seeds."""
    mean, unit = statistics.fmean, 1 if aim.file.endswith("_db") else 100
    points = unit * mean(getattr(trial, aim.file) for trial in trials)
    latency = mean(trial.ratio[aim.file == "int8"] or 1.0 for trial in trials)
    if aim.against is None:
        points -= unit * mean(trial.source for trial in trials)
        return mean(map(_saved, trials)), mean(_changed(trial, "macs") for trial in trials), latency, points
    points -= unit * mean(getattr(trial, aim.file) for trial in others)
    own, their = trials[0], others[0]
    return own.parameters / their.parameters - 1, own.macs / their.macs - 1, latency, points


def _saved(trial: Trial) -> float:
    """Parameters that are not zero, against the source's, less 1."""
    if not trial.passes:
        return 0.0
    before, after = trial.passes[0].before, trial.passes[-1].after
    return after.parameters * (1 - after.zeros) / (before.parameters * (1 - before.zeros)) - 1


def _shown(aim: Aim, saved: tuple[float | None, ...], points: float) -> str:
    parameters, macs, latency = saved
    told = [] if parameters is None else [f"{parameters:+.0%} parameters"]
    told += [] if macs is None else [f"{macs:+.0%} MACs"]
    told += [] if latency is None else [f"{latency:.2f} × latency"]
    return ", ".join([*told, f"{points:+.1f} dB" if aim.file.endswith("_db") else f"{points:+.2f} points"])
