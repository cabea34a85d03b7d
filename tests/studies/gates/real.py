"""The same with real files and real blocks: two networks of layers that are alike, the slower with 5 % more of them."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.measure import discovery
from edgekit.measure.protocol import QUICK
from edgekit.measure.subject import subjects
from edgekit.verbs.build import build
from edgekit.verbs.gate import Gated, gate, save
from edgekit.verbs.profile import profile
from tests.networks import Network, weights
from tests.studies.measurement import page
from tests.studies.measurement.aa import shown

LAYERS = 20
"""Of the file that is as fast as it was; the slower one has one more."""


def network(path: Path, layers: int, seed: int) -> Path:
    """Fully connected layers [1, 512] → [1, 512], one like the other; ``seed`` only makes it another file."""
    net = Network()
    x = net.input("x", (1, 512))
    bias = net.constant("bias", weights(512, 1, seed=seed).ravel())
    for i in range(layers):
        kernel = net.constant(f"k{i}", weights(512, 512, seed=seed) / 16)
        x = net.operator("FULLY_CONNECTED", [x, kernel, bias], (1, 512), kind="FullyConnectedOptions")
    return net.save(path, x)


def built(session: Session, place: Path, layers: int, seed: int) -> Path:
    """A folder with such a network and one quick profile of it on this host."""
    place.mkdir(parents=True)
    wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=str(place / "out"))
    (result,) = build(session, wanted, network(place / "net.tflite", layers, seed))
    assert result.error is None, result.error
    profiled(session, place / "out")
    return place / "out"


def profiled(session: Session, where: Path) -> list[float]:
    """The medians of the blocks of one more quick profile."""
    device = discovery.choose(session, {}, None)
    (measured,) = profile(session, device, subjects(session, where), QUICK)
    return [b.latency.middle_ms for b in measured.profile.blocks if b.latency is not None]


def recorded(sessions: int) -> dict[str, object]:
    """Medians of one file's blocks in sessions of their own, and how much processes and sessions differ."""
    with (
        tempfile.TemporaryDirectory() as place,
        Session(Store(Path(place) / "cache"), Path(place) / "log.txt") as session,
    ):
        where = built(session, Path(place) / "net", LAYERS, 0)
        rows = []
        for i in range(sessions):
            rows.append(profiled(session, where))
            sys.stderr.write(f"session {i + 1}: {np.median(rows[-1]):.4f} ms\n")
    logs = [np.log(row) for row in rows]
    return {
        "machine": page.when_and_where(),
        "process_sd": float(np.mean([row.std(ddof=1) for row in logs])),
        "session_sd": float(np.std([np.median(row) for row in logs], ddof=1)),
        "sessions": [[round(float(v), 5) for v in np.exp(row - np.median(row))] for row in logs],
    }


def section(decisions: int) -> str:
    """As many real decisions on files that are as fast, and on slower ones, in Markdown."""
    counts = {LAYERS: 0, LAYERS + 1: 0}
    with (
        tempfile.TemporaryDirectory() as place,
        Session(Store(Path(place) / "cache"), Path(place) / "log.txt") as session,
    ):
        base = Path(place) / "base.json"
        save([built(session, Path(place) / "old", LAYERS, 0)], base, files=True)
        made = {layers: built(session, Path(place) / f"new-{layers}", layers, 1) for layers in counts}
        for i in range(decisions):
            for layers, where in made.items():
                profiled(session, where)
                judged = Gated([where], baseline=base, find=lambda running, name: discovery.choose(running, {}, name))
                found = gate(session, judged)
                counts[layers] += any(one.figure == "latency" and one.fails for one in found.findings)
            sys.stderr.write(f"{i + 1}: {counts}\n")
    rows = []
    for layers, count in counts.items():
        what = "as fast" if layers == LAYERS else f"{layers} layers instead of {LAYERS}"
        rows.append(f"| {what} | {count} of {decisions} | {shown(count, decisions)} |")
    head = "| new file | gate closed on its latency | share, 95 % interval |\n| --- | ---: | --- |\n"
    return f"`python -m tests.gates --real {decisions}`, {page.when_and_where()}\n\n{head}" + "\n".join(rows)
