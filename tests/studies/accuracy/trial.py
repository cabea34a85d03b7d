"""One network made int8 in one way and judged, in a process of its own: files of quantizers may abort it.

Usage: python -m tests.studies.accuracy.trial FOLDER NUMBER RUNTIME WAY

NUMBER is the network's place in `NETWORKS`. What came of it is written to `told_in(FOLDER, RUNTIME, WAY)`.
"""

import datetime
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

import edgekit
from edgekit.nouns.model import Signature
from edgekit.waist import graph, run
from edgekit.waist.tensors import to_source
from tests.shared_folder import ROOT, shared_folder
from tests.studies.accuracy import running, ways
from tests.studies.accuracy.kept import FLOAT
from tests.studies.accuracy.networks import APART, NETWORKS, channels_apart
from tests.studies.accuracy.outcome import Outcome
from tests.studies.accuracy.tasks import Task

MOST = 1000
"""Inputs that are judged, at most."""


def evenly(rows: Any) -> Any:
    """Rows of inputs or labels that judge, taken evenly: sets may be sorted by class."""
    return rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int)]


def told_in(folder: Path, runtime: str, way: str) -> Path:
    """Where a process writes what came of its way."""
    return folder / f"{runtime} {way}.json".replace(" ", "_")


def _known(file: Path) -> Signature | None:
    """A signature that was written before; None if there is none, or if signatures were other ones then."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Signature)
    except (OSError, msgspec.ValidationError):
        return None


class Trial:
    """A network with its samples, its float file and what that gives."""

    def __init__(self, task: Task, folder: Path) -> None:
        self.folder, self.task = folder, task
        calibration, x, labels = task.data(shared_folder())
        self.classifies = labels is not None
        source = shared_folder() / task.model
        if task.model == APART:
            source = folder / APART
            source.write_bytes(channels_apart(shared_folder()))
        waist, signature = folder / "waist.tflite", folder / "signature.json"
        if _known(signature) is None:
            self._convert(source, waist, signature)
        self.signature = msgspec.json.decode(signature.read_bytes(), type=Signature)
        shape = self.signature.inputs[0].source_shape
        shuffled = np.random.default_rng(0).permutation(
            len(calibration)
        )  # as users do: for some tools the order matters
        self.ground = ways.Ground(task, source, waist, self.signature, calibration[shuffled].reshape(-1, *shape))
        self.x = evenly(x).reshape(-1, *shape)
        self.wanted = self._wanted()

    def _convert(self, source: Path, waist: Path, signature: Path) -> None:
        """Bring the source to the waist, without graph optimization."""
        with TemporaryDirectory() as out:
            result = edgekit.build(
                source, "android", precision="float32", optimize_graph=False, shapes=self.task.shapes, output=out
            )
            made = result["android"]["float32"]
            waist.write_bytes(made.path.read_bytes())
            signature.write_bytes(msgspec.json.encode(made.described.signature))

    def _wanted(self) -> list[Any]:
        """The float network's outputs in the source's layout, ``[N, *source_shape]``."""
        cache = self.folder / "wanted.npz"
        if not cache.exists():
            found = running.outputs(running.loaded(self.ground.waist, run.host_threads()), self.signature, self.x)
            main = graph.read(self.ground.waist)[0]
            by_name = dict(zip((main.tensors[index].name for index in main.outputs), found, strict=True))
            np.savez(cache, *(to_source(spec, by_name[spec.name]) for spec in self.signature.outputs))
        with np.load(cache) as file:
            return [file[name] for name in file.files]

    def judged(self, name: str, path: Path) -> Outcome:
        """Everything about a file but the seconds it took."""
        made = running.loaded(path, run.host_threads())
        found = running.outputs(made, self.signature, self.x)
        close = [running.matched(wanted, found) for wanted in self.wanted]
        axes = [tuple(range(1, wanted.ndim)) for wanted in self.wanted]
        pairs = list(zip(self.wanted, close, axes, strict=True))
        first, own = self.wanted[0], close[0]
        outcome = Outcome(
            name=name,
            signal=[np.square(w, dtype=float).sum(axis).tolist() for w, _, axis in pairs],
            noise=[np.nan_to_num(np.square(w - c, dtype=float), nan=1e30).sum(axis).tolist() for w, c, axis in pairs],
            classes=own.reshape(len(own), -1).argmax(1).tolist() if self.classifies else [],
        )
        if self.task.scores is not None:
            both = [values[:, 0, self.task.scores].ravel() for values in (first, own)]
            outcome.correlation = float(np.corrcoef(*both)[0, 1])
        return outcome

    def run(self, runtime: ways.Runtime, way: str) -> Outcome:
        """Make, judge and time the file of one way."""
        with TemporaryDirectory() as place:
            floats = self.ground.waist
            if runtime == "OpenVINO":
                floats = Path(place) / "float.xml"
                ways.openvino_float(self.ground, floats)
            out = Path(place) / "made"
            out.mkdir()
            made = ways.Made(floats, 0.0) if way == FLOAT else ways.WAYS[runtime][way](self.ground, out)
            outcome = self.judged(way, made.path)
            outcome.seconds, outcome.notes = made.seconds, made.notes
            parts = {made.path, made.path.with_suffix(".bin")}
            outcome.size_bytes = sum(part.stat().st_size for part in parts if part.exists())
            both = [running.loaded(path) for path in (floats, made.path)]
            for one in both:
                one(np.zeros(one.shape, np.float32))
            outcome.latency_ms, outcome.ratio = running.latencies(*both)
        return outcome


def main(folder: str, number: str, runtime: ways.Runtime, way: str) -> None:
    """Write the outcome of one way."""
    task = NETWORKS[int(number)]
    try:
        outcome = Trial(task, Path(folder)).run(runtime, way)
    except ways.UnreadError as error:
        outcome = Outcome(name=way, error=str(error))
    told_in(Path(folder), runtime, way).write_bytes(msgspec.json.encode(outcome))


def dated(outcome: Outcome) -> Outcome:
    """An outcome with this day and the revision of edgekit that made it."""
    outcome.commit, outcome.date = ways.EARLIER if outcome.name == ways.BEFORE else revision(), today()
    return outcome


def revision() -> str:
    """The last commit that changed edgekit; "+" if there are other changes."""
    changed = _git("status", "--porcelain", "--", "edgekit", "targets")
    return _git("log", "-1", "--format=%h", "--", "edgekit", "targets") + ("+" if changed else "")


def today() -> str:
    """The day, in UTC."""
    return str(datetime.datetime.now(datetime.UTC).date())


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]  # the runtime is one of two words
