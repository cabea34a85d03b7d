"""What a mutant is given to, and how that ends."""

import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from edgekit import config, samples
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError
from edgekit.measure import subject
from edgekit.nouns.model import Signature, SourceOptions, TensorSpec
from edgekit.verbs.build import build
from edgekit.verbs.check import check
from edgekit.verbs.inspect import inspect, list_tensors
from edgekit.verbs.planning import plan
from tests.studies.fuzz.seeds import KINDS, Seed, seeds
from tests.watchdog import Watchdog

LONGEST_S = 60.0
"""A mutant that takes longer hangs."""

MOST_BYTES = 2 << 30
"""A mutant for which all processes together take more memory than before is a bomb."""

MODELS = {"onnx", "tflite", "keras", "hdf5", "savedmodel"}


@dataclass(frozen=True)
class Mutant:
    """A seed with numbered changes: the same ones for the same numbers.

    ``steps`` are those of its changes that are made; a minimized mutant has fewer.
    """

    seed: Seed
    number: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def content(self) -> bytes:
        """The file."""
        made = self.seed.content
        for step in self.steps:
            made = self.seed.change(made, np.random.default_rng((*self.number, step)))
        return made

    def __str__(self) -> str:
        return f"{self.seed.kind} {self.seed.name} {'.'.join(map(str, self.number))} steps {','.join(map(str, self.steps))}"


@dataclass(frozen=True)
class Outcome:
    """How a mutant ended: an exit code, 70 for a bug, 75 for a hang or a bomb."""

    mutant: Mutant
    code: int
    said: str
    seconds: float
    peak_bytes: int

    @property
    def failed(self) -> bool:
        """Whether it ended as no file may make edgekit end."""
        return self.code not in {0, 2, 3, 4}


def mutant(kind: str, seed: int, number: int, scratch: Path, *, many: bool = False) -> Mutant:
    """The mutant of that number: a seed file (of ``many``, or of a few) with one to four changes."""
    random = np.random.default_rng((seed, KINDS.index(kind), number))
    sound = seeds(kind, scratch, many=many)
    chosen = sound[int(random.integers(len(sound)))]
    return Mutant(chosen, (seed, KINDS.index(kind), number), tuple(range(1 + int(random.geometric(0.5)) % 4)))


class Bench:
    """A session whose workers are kept, in a folder of its own.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir(parents=True)
        self._session = Session(Store(folder / "cache"), folder / "log.txt")

    def __enter__(self) -> Self:
        self._session.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._session.__exit__(None, None, None)

    def warm(self, kind: str) -> None:
        """Let a kind's libraries load, which is no mutant's time."""
        self.run(Mutant(seeds(kind, self.scratch)[0], (0,), ()))

    def run(self, given: Mutant) -> Outcome:
        """Hand a mutant to edgekit."""
        place = self.folder / "desk"
        place.mkdir()
        begin = time.monotonic()
        with Watchdog(LONGEST_S, MOST_BYTES, growth=True) as watched:
            code, said = self._end(given, place)
        seconds = time.monotonic() - begin
        shutil.rmtree(place)
        if watched.why or seconds > LONGEST_S:
            code, said = 75, watched.why or f"took {seconds:.0f} s"
        return Outcome(given, code, said, seconds, watched.peak_bytes)

    def _end(self, given: Mutant, place: Path) -> tuple[int, str]:
        try:
            self._take(given, place)
        except EdgekitError as error:
            if error.exit_code == 70:  # a leaf in a worker: its traceback is in the log
                return 70, f"{error}\n{(self.folder / 'log.txt').read_text(errors='replace')[-3000:]}"
            whole = error.problem and error.place and error.fix
            return (error.exit_code, str(error)) if whole else (70, f"no problem, place or fix: {error!r}")
        except Exception:  # noqa: BLE001  that is what is looked for
            return 70, traceback.format_exc()
        return 0, ""

    def _take(self, given: Mutant, place: Path) -> None:
        kind, path = given.seed.kind, place / given.seed.name
        for name, content in (given.seed.beside | {given.seed.name: given.content}).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        if kind in MODELS:
            path = path.parent if kind == "savedmodel" else path
            self._use(path, place, given.number[-1] % 8)
        elif kind == "image":
            samples.load(str(place), IMAGE)
        elif kind in {"npz", "csv"}:
            samples.load(str(path), IMAGE)
        elif kind == "project":
            plan(config.project(path), path)
        elif kind == "target":
            config.target(str(path))
        else:
            subject.subjects(self._session, place)

    def _use(self, path: Path, place: Path, turn: int) -> None:
        """What users do with a model: look at it, and then one of the other verbs, by turns."""
        seen = inspect(self._session, path, SourceOptions())
        if turn == 0:
            check(self._session, Project(targets=("android", "edgetpu")), path)
        elif turn == 1:
            list_tensors(self._session, path, SourceOptions())
        elif turn in {2, 3, 4}:
            self._build(Project(targets=("android",), precision="float32"), path, place)
        elif turn == 5 and seen.waist is not None:
            data = place / "calibration.npz"
            samples.random(seen.model.signature, 4, seed=0).save(data)
            self._build(Project(targets=("android",), calibration=str(data)), path, place)

    def _build(self, project: Project, path: Path, place: Path) -> None:
        """A whole build, which raises what kept its target from being built."""
        project = msgspec.structs.replace(project, output_folder=str(place / "dist"), allow_loss=True)
        for result in build(self._session, project, path):
            if result.error is not None:
                raise result.error


def _image() -> Signature:
    spec = TensorSpec(
        name="image", shape=(1, 8, 8, 1), dtype="float32",
        source_name="image", source_shape=(1, 8, 8, 1), source_dtype="float32",
    )  # fmt: skip
    return Signature(inputs=(spec,), outputs=())


IMAGE = _image()


def minimized(bench: Bench, failed: Outcome) -> Outcome:
    """The same failure with as few changes as it takes: changes are left out one by one while it still fails."""
    best = failed
    for step in failed.mutant.steps:
        fewer = tuple(kept for kept in best.mutant.steps if kept != step)
        if fewer and (outcome := bench.run(Mutant(best.mutant.seed, best.mutant.number, fewer))).code == best.code:
            best = outcome
    return best
