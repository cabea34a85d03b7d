"""One case with one seed, in a process of its own: what edgekit builds of it, and how good and fast that is."""

import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import edgekit
from edgekit.nouns.recipe import PassReport
from edgekit.waist.tensors import sqnr_db
from tests.shared_folder import ROOT, shared_folder
from tests.studies.accuracy import running
from tests.studies.benchmarks.__main__ import processor
from tests.studies.compression.bases import trained
from tests.studies.compression.cases import CASES, PEER, Case
from tests.studies.compression.data import Sets

BASES = ROOT / "build/compression"
"""The networks that the study trains."""

FOLDER = Path(__file__).with_name("outcomes")
"""What came of each trial, in the repository: the whole study takes longer than anybody leaves a machine alone."""

TARGET = Path(__file__).with_name("study.toml")


class Trial(msgspec.Struct, kw_only=True):
    """What came of a case.

    ``source``, ``float32``, ``int8`` and ``dynamic`` (dynamic-int8) are shares of right answers of the samples that judge; ``latency_ms`` and
    ``ratio`` (over the float source's) are those of the float file and of the int8 file, on one thread. ``base`` is
    the SHA-256 of the source's file, ``revision`` the commit of edgekit, ``date`` the day it ended. A peer has no float
    file: None. Without labels the shares are 0, and ``int8_db`` is the SQNR of the int8 file's worst output against the
    float source's, over the samples that judge.
    """

    source: float = 0.0
    float32: float | None = 0.0
    int8: float = 0.0
    dynamic: float | None = None
    int8_db: float | None = None
    samples: int = 0
    passes: tuple[PassReport, ...] = ()
    parameters: int = 0
    macs: int = 0
    bytes: tuple[int, int, int] = (0, 0, 0)
    latency_ms: tuple[float | None, float] = (0.0, 0.0)
    ratio: tuple[float | None, float] = (1.0, 1.0)
    seconds: float = 0.0
    machine: str = ""
    error: str = ""
    base: str = ""
    revision: str = ""
    date: str = ""


def place(case: Case, seed: int) -> Path:
    """The file of a trial."""
    words = [case.base.name, *([] if case.section == "recipes" else [case.section]), case.name, str(seed)]
    return FOLDER / f"{re.sub(r'[^a-z0-9]+', '-', ' '.join(words).lower())}.json"


def tried(case: Case, seed: int) -> Trial:
    """Build a case, and measure what was built."""
    shared = shared_folder()
    sets, model = case.base.data(shared), trained(case.base, shared, BASES)
    made = _by_peer(case, seed, sets, model) if case.recipe == PEER else _built(case, seed, sets, model)
    return msgspec.structs.replace(made, base=hashlib.sha256(model.read_bytes()).hexdigest(), **_when())


def _by_peer(case: Case, seed: int, sets: Sets, model: Path) -> Trial:
    from tests.studies.compression import peers  # noqa: PLC0415  it takes seconds to import, and other cases need it not

    return peers.tried(case, seed, sets, model)


def _built(case: Case, seed: int, sets: Sets, model: Path) -> Trial:
    given: dict[str, Any] = {"data": (sets.x, sets.y) if case.labels else sets.x}
    judged = {"eval": (sets.judged_x, sets.judged_y), "metric": "top1"} if case.base.labels else {}
    since = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        recipe = case.recipe if isinstance(case.recipe, str) else _file(Path(folder), case.recipe)
        passes = case.passes
        if case.student is not None:
            passes = passes | {"distill": passes["distill"] | {"student": _student(case.student, seed)}}
        found = edgekit.build(
            model, str(TARGET), recipe=recipe, passes=passes, allow_loss=True, seed=seed,
            output=Path(folder) / "out", **given, **judged,
        )  # fmt: skip
        seconds = time.monotonic() - since
        plain = edgekit.build(model, str(TARGET), precision="float32", output=Path(folder) / "plain", **judged)
        return _measured(found["study"], plain["study"], sets, seconds)


def _student(architecture: Callable[[], Any], seed: int) -> str:
    """The file of a network that is not trained yet, from the repository's root."""
    import keras  # noqa: PLC0415  as heavy as TensorFlow

    keras.utils.set_random_seed(seed)
    file = BASES / "student.keras"
    file.parent.mkdir(parents=True, exist_ok=True)
    architecture().save(file)
    return str(file.relative_to(ROOT))


def _when() -> dict[str, str]:
    revision, changed = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for words in (
            ["describe", "--always"],
            ["status", "--porcelain", "--untracked-files=no", ".", f":(exclude){FOLDER.relative_to(ROOT)}"],
        )
    )
    revision += "-dirty" if changed else ""  # outcomes of other trials change nothing
    return {"revision": revision, "date": str(datetime.datetime.now(datetime.UTC).date())}


def _file(folder: Path, passes: tuple[dict[str, Any], ...]) -> Path:
    """A recipe's file; JSON's lists and texts are TOML's too."""
    lines = (f"[[passes]]\n{chr(10).join(f'{k} = {json.dumps(v)}' for k, v in one.items())}\n" for one in passes)
    (folder / "own.toml").write_text("\n".join(lines))
    return folder / "own.toml"


def _measured(found: Any, plain: Any, sets: Sets, seconds: float) -> Trial:
    files = {file.precision: file for file in found.manifest.artifacts}
    floats, integers = files["float32"], files["int8"]
    source, *made = [running.loaded(one.path) for one in (plain["float32"], found["float32"], found["int8"])]
    for one in (source, *made):
        one(np.zeros(one.shape, np.float32))
    times = [running.latencies(source, one) for one in made]
    weighed = plain.manifest.artifacts[0]
    trial = Trial(
        int8_db=integers.verification.sqnr_db,
        passes=found.manifest.passes,
        parameters=floats.cost.parameters,
        macs=floats.cost.macs,
        bytes=(weighed.size_bytes, floats.size_bytes, integers.size_bytes),
        latency_ms=(times[0][0], times[1][0]),
        ratio=(times[0][1], times[1][1]),
        seconds=seconds,
        machine=machine(),
    )
    if sets.judged_y is None:
        (spec,) = weighed.signature.inputs
        x = sets.judged_x.reshape(-1, *spec.source_shape)
        wanted, got = (running.outputs(one, weighed.signature, x) for one in (source, made[1]))
        worst = min(sqnr_db(values, running.matched(values, got)) for values in wanted)
        return msgspec.structs.replace(trial, int8_db=worst, samples=len(x))
    return msgspec.structs.replace(
        trial,
        source=floats.verification.metric.source,
        float32=floats.verification.metric.artifact,
        int8=integers.verification.metric.artifact,
        dynamic=files["dynamic-int8"].verification.metric.artifact,
        samples=floats.verification.metric.samples,
    )


def machine() -> str:
    """This machine, in words."""
    count = len(os.sched_getaffinity(0))
    cores = "1 core" if count == 1 else f"{count} cores"
    return f"{cores} of {processor()}, {platform.system()}, Python {platform.python_version()}"


def main(number: int, seed: int) -> None:
    """Write what came of a case."""
    try:
        made = tried(CASES[number], seed)
    except edgekit.errors.EdgekitError as error:
        made = Trial(error=f"{error.problem} ({error.place})", **_when())
    file = place(CASES[number], seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".part").write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    file.with_suffix(".part").rename(file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
