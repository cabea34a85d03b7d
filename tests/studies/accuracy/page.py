"""The page of the study against peers: aims, where edgekit is not ahead, and a table for each network."""

import datetime
import importlib.metadata
import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.studies.accuracy.kept import FLOAT
from tests.studies.accuracy.outcome import Interval, Outcome, sqnr_difference, top1_difference
from tests.studies.accuracy.tasks import Task
from tests.studies.accuracy.ways import BEFORE, EARLIER, OURS, WAYS

LIBRARIES = (
    "tensorflow", "ai-edge-litert", "ai-edge-quantizer", "onnx2tf", "openvino", "nncf", "onnx", "numpy",
)  # fmt: skip

HEAD = """# Int8 against its peers

Written by `python -m tests.studies.accuracy` on {date}; do not edit. What came of every way stands in
`tests/studies/accuracy/outcomes`, since the whole study takes longer than anybody leaves a machine alone: each row names the
commit of edgekit that it was measured with. Machine: {machine}. Libraries of
the newest rows: {libraries}.

Every tool gets the same network, the same calibration samples and the same inputs that judge it, none of which calibrated.
TFLiteConverter begins at a Keras model where there is one, onnx2tf and NNCF at an ONNX model; else all begin at edgekit's
float network before graph optimization. Each peer is called as its guide says, without further settings.

* **SQNR** is that of the output that comes out worst, against the float network, over all inputs that judge.
* **ahead** is edgekit, auto (a build that is told nothing), less the file of the row: points of top-1 with the adjusted Wald
  interval for paired proportions, decibels with a bootstrap over inputs; both 95 %. Bold: the row is proven better.
* **agrees**: inputs for which the file chooses the float network's class.
* **s**: wall-clock seconds of quantization, other work beside it: peers with their imports, onnx2tf with its conversion;
  for edgekit the step `build`, for a search all of its rungs.
* **CPU without VNNI**: the same file on kernels that add two products in 16 bits, as CPUs with AVX2 or SSE do. edgekit's files
  compute the same on both.
* **edgekit, nearest** rounds weights to the nearest level and leaves channels as they are. **edgekit, before** is all of edgekit
  as it was at commit {earlier}: it also had one scheme of ranges for a whole network and rewrote no graph.
* **latency** is divided by that of the float file on the same runtime: one thread, the median of seven pairs that took turns.

Left out, because the shared folder holds no real inputs for them: the networks for sound (basic_pitch, DTLN, Silero VAD, the
autoencoder of MLPerf Tiny), tract's two and deeploy's autoencoder. No network there is trained on the series.
"""

PAIRS = (
    ("LiteRT", "LiteRT", "TFLiteConverter"),
    ("LiteRT", "LiteRT", "ai-edge-quantizer"),
    ("LiteRT", "LiteRT", "onnx2tf -oiqt"),
    ("LiteRT", "LiteRT", BEFORE),
    ("LiteRT", "LiteRT", "edgekit, nearest"),
    ("OpenVINO", "OpenVINO", "NNCF"),
    ("OpenVINO", "OpenVINO", "edgekit, nearest"),
    ("OpenVINO", "LiteRT", "TFLiteConverter"),
    ("OpenVINO", "LiteRT", "edgekit, auto"),
)
"""Whose files are compared: edgekit's for a runtime, with those of a runtime by a way."""


@dataclass(frozen=True)
class Subject:
    """A network with what came of every way, by runtime and way; ``labels`` of what judges, or None."""

    task: Task
    labels: Any
    outcomes: dict[str, dict[str, Outcome]]

    def made(self, runtime: str, way: str) -> Outcome | None:
        """What came of a way that made a file."""
        found = self.outcomes[runtime].get(way)
        return None if found is None or found.error else found

    def ahead(self, runtime: str, other: str, way: str) -> tuple[Interval, Interval | None] | None:
        """How far edgekit's file is ahead of another: decibels, and points if there are labels; None without both."""
        ours, theirs = self.made(runtime, OURS), self.made(other, way)
        if ours is None or theirs is None:
            return None
        top1 = None if self.labels is None else top1_difference(ours, theirs, self.labels)
        return sqnr_difference(ours, theirs), top1

    def top1(self, found: Outcome) -> float:
        """In percent."""
        return 100 * float(np.mean(np.asarray(found.classes) == self.labels))

    def agreement(self, found: Outcome) -> float:
        """In percent, with the float network."""
        return 100 * float(np.mean(np.asarray(found.classes) == self.outcomes["LiteRT"][FLOAT].classes))


def page(subjects: list[Subject], networks: list[str]) -> str:
    """The page in Markdown; ``networks`` are the names of all that the study is to get to."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    head = HEAD.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        libraries=versions,
        earlier=EARLIER,
    )
    left = list(pending(subjects, networks))
    parts = {
        "Aims": aims(subjects, whole=not left),
        "Edgekit against each": against(subjects),
        "Not ahead": behind(subjects),
    }
    if left:
        head += "\nNot measured yet:\n\n" + "\n".join(left) + "\n"
    texts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in parts.items()]
    texts += [f"## {one.task.name}\n\n" + "\n".join(table(one)) for one in subjects]
    return "\n\n".join([head.rstrip(), *texts]) + "\n"


def pending(subjects: list[Subject], networks: list[str]) -> Iterator[str]:
    """What is not measured yet: ways by runtime, and the networks that miss them."""
    known = {one.task.name: one for one in subjects}
    missing: dict[str, list[str]] = {}
    for name in networks:
        for runtime, ways in WAYS.items():
            left = [way for way in ways if name not in known or way not in known[name].outcomes[runtime]]
            if left:
                told = f"{runtime}, {'all ways' if len(left) == len(ways) else '; '.join(left)}"
                missing.setdefault(told, []).append(name)
    return (f"* {told}, of {'; '.join(names)}" for told, names in missing.items())


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _both(subjects: list[Subject], runtime: str, other: str, way: str) -> list[tuple[float, float]]:
    """The SQNR of edgekit's file and of another, of networks that have both."""
    pairs = [(one.made(runtime, OURS), one.made(other, way)) for one in subjects]
    return [(ours.sqnr_db, theirs.sqnr_db) for ours, theirs in pairs if ours is not None and theirs is not None]


def against(subjects: list[Subject]) -> Iterator[str]:
    """A row for each of `PAIRS`: medians, and how many networks are proven better and worse."""
    yield "| edgekit, auto for | against | networks | median SQNR | its median | median difference | better | worse |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for runtime, other, way in PAIRS:
        both = _both(subjects, runtime, other, way)
        if not both:
            continue
        found = [one.ahead(runtime, other, way) for one in subjects]
        decibels = [each[0] for each in found if each is not None]
        yield (
            f"| {runtime} | {way}{'' if other == runtime else f' on {other}'} | {len(both)} "
            f"| {_median([ours for ours, _ in both]):.1f} dB | {_median([theirs for _, theirs in both]):.1f} dB "
            f"| {_median([ours - theirs for ours, theirs in both]):+.1f} dB "
            f"| {sum(each.low > 0 for each in decibels)} | {sum(each.high < 0 for each in decibels)} |"
        )
    yield "\nBetter and worse count the networks whose interval of decibels lies on one side of zero."


def peers() -> Iterator[tuple[str, str]]:
    """Runtimes and the ways of others."""
    return ((runtime, way) for runtime, ways in WAYS.items() for way in ways if not way.startswith("edgekit"))


def behind(subjects: list[Subject]) -> Iterator[str]:
    """Every network and peer for which edgekit's file is not as good, and what no peer or only peers could make."""
    for one in subjects:
        for runtime, way in peers():
            found = one.ahead(runtime, runtime, way)
            if found is None:
                failed = one.outcomes[runtime].get(OURS)
                if failed is not None and failed.error and one.made(runtime, way) is not None:
                    yield f"* {one.task.name}, {runtime}: no file of edgekit's, {failed.error}"
                continue
            decibels, points = found
            if points is not None and points.difference < 0:
                told = _said(points, "points of top-1") + _luck(one, runtime, way)
                yield f"* {one.task.name}, {runtime}: {way} has {told}."
            if decibels.difference < 0:
                yield f"* {one.task.name}, {runtime}: {way} has {_said(decibels, 'dB')}."


def _luck(one: Subject, runtime: str, way: str) -> str:
    """That a file is right more often than the network that it was made from, which rounding can only do by chance."""
    floats, theirs, ours = (one.made(runtime, name) for name in (FLOAT, way, OURS))
    if floats is None or theirs is None or ours is None or one.top1(theirs) <= one.top1(floats):
        return ""
    return (
        f"; the float network has {one.top1(floats):.2f} % as against its {one.top1(theirs):.2f} %, and it agrees with that on"
        f" {one.agreement(theirs):.1f} %, edgekit's file on {one.agreement(ours):.1f} %"
    )


def _said(found: Interval, unit: str) -> str:
    proven = "proven" if found.high < 0 else "within the interval"
    return f"{-found.difference:.2f} {unit} more ({proven}: {-found.high:.2f} to {-found.low:.2f})"


def aims(subjects: list[Subject], *, whole: bool) -> Iterator[str]:
    """What is aimed at, what was seen, and whether it is met; only so far if that is not the ``whole`` study."""
    yield "| aim | seen | met |\n| --- | --- | --- |"
    for aim, seen, met in (*_medians(subjects), _nowhere_worse(subjects), *_single(subjects)):
        yield f"| {aim} | {seen} | {('yes' if whole else 'so far') if met else '**no**'} |"


def _medians(subjects: list[Subject]) -> Iterator[tuple[str, str, bool]]:
    for way, least, told in (
        ("ai-edge-quantizer", 4, "ai-edge-quantizer's default"),
        (BEFORE, 2, "edgekit as it was before it fitted weights, chose each range and rewrote graphs"),
    ):
        both = _both(subjects, "LiteRT", "LiteRT", way)
        medians = _median([ours for ours, _ in both]) - _median([theirs for _, theirs in both])
        paired = _median([ours - theirs for ours, theirs in both])
        seen = f"{medians:+.1f} dB between the medians, {paired:+.1f} dB in the median network, of {len(both)}"
        yield f"median SQNR at least {least} dB above {told} (LiteRT)", seen, min(medians, paired) >= least


def _nowhere_worse(subjects: list[Subject]) -> tuple[str, str, bool]:
    """By top-1 where there are labels, else by SQNR."""
    worse, compared = [], 0
    for one in subjects:
        for runtime, way in peers():
            found = one.ahead(runtime, runtime, way)
            compared += found is not None
            if found is not None and (found[0] if found[1] is None else found[1]).high < 0:
                worse.append(f"{one.task.name} ({way}{_faithful(one, runtime, way)})")
    seen = f"{'; '.join(worse) or 'none'}, of {compared} files of peers"
    return "no set worse than any peer beyond the paired interval: top-1, or SQNR without labels", seen, not worse


def _faithful(one: Subject, runtime: str, way: str) -> str:
    """Of a file that has more points than the float network itself: how far it is from that, which is what was asked."""
    theirs, floats = one.made(runtime, way), one.made("LiteRT", FLOAT)
    if one.labels is None or theirs is None or floats is None or one.top1(theirs) <= one.top1(floats):
        return ""
    ours = one.made(runtime, OURS)
    mine = "" if ours is None else f"; edgekit's {one.agreement(ours):.1f} % and {ours.sqnr_db:.1f} dB"
    return (
        f": {one.top1(theirs):.1f} %, more than the float network's {one.top1(floats):.1f} %, with which it agrees on "
        f"{one.agreement(theirs):.1f} %, at {theirs.sqnr_db:.1f} dB{mine}"
    )


def _single(subjects: list[Subject]) -> Iterator[tuple[str, str, bool]]:
    for one in subjects:
        ours, floats = one.made("LiteRT", OURS), one.made("LiteRT", FLOAT)
        if ours is None or floats is None:
            continue
        if one.labels is not None and (limit := _limit(one.task)):
            drop, agreement = one.top1(floats) - one.top1(ours), one.agreement(ours)
            points, least = limit
            told = f"{one.task.name}: within {points} points of the float network" + (
                f", at least {least} % agree" if least else ""
            )
            yield (
                told,
                f"{one.top1(floats):.2f} → {one.top1(ours):.2f} %, {agreement:.1f} % agree",
                (drop <= points + 1e-9 and agreement >= least),
            )
        if ours.correlation is not None:
            told = f"{one.task.name}: scores correlate with the float network's by at least 0.99"
            yield told, f"{ours.correlation:.4f}", ours.correlation >= 0.99


def _limit(task: Task) -> tuple[float, float] | None:
    """Points that may be lost, and the least agreement, if there is an aim."""
    if not task.per_channel:
        return 1.0, 0.0
    return (0.3, 98.0) if task.name.startswith("EfficientNet") else None


def table(one: Subject) -> Iterator[str]:
    """Every way of a network."""
    labelled = one.labels is not None
    scores = one.task.scores is not None
    columns = ["runtime", "way", *(("top-1", "ahead, points", "agrees") if labelled else ()), "SQNR", "ahead, dB"]
    columns += [*(("scores correlate",) if scores else ()), "s", "KiB", "latency", "at"]
    samples = len(one.outcomes["LiteRT"][FLOAT].signal[0])
    yield f"`{one.task.model.removeprefix('models/')}`, {samples} inputs judge.\n"
    yield f"| {' | '.join(columns)} |\n|{' --- |' * 2}{' ---: |' * (len(columns) - 2)}"
    for runtime, ways in one.outcomes.items():
        for way, found in ways.items():
            if found.error:
                if not found.error.startswith("onnx2tf reads"):
                    yield f"| {runtime} | {way} | no file: {found.error.replace('|', '/')[:120]} {'| ' * (len(columns) - 2)}"
                continue
            ahead = None if way == FLOAT else one.ahead(runtime, runtime, way)
            decibels, points = ahead or (None, None)
            cells = [runtime, way]
            if labelled:
                cells += [f"{one.top1(found):.2f} %", _ahead(points, way), f"{one.agreement(found):.1f} %"]
            cells += ["" if way == FLOAT else f"{found.sqnr_db:.1f} dB", _ahead(decibels, way)]
            cells += [f"{found.correlation:.4f}"] if found.correlation is not None else []
            cells += [
                "" if way == FLOAT else f"{found.seconds:.0f}",
                f"{found.size_bytes / 1024:.0f}",
                f"{found.ratio:.2f}",
                found.commit,
            ]
            yield f"| {' | '.join(cells)} |"


def _ahead(found: Interval | None, way: str) -> str:
    if found is None or way == OURS:
        return ""
    mark = "**" if found.high < 0 else ""
    return f"{mark}{found.difference:+.2f} ({found.low:+.2f} to {found.high:+.2f}){mark}"
