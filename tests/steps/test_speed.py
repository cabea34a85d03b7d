"""A smaller file that is slower is told; noise, other targets' files and files that cannot be timed are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store
from edgekit.errors import Unsupported
from edgekit.nouns.base import FileDigest
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import Signature
from edgekit.steps import speed
from edgekit.waist import run
from tests import networks

NOTHING = Signature(inputs=(), outputs=())


def files(times: dict[str, float | None], tmp_path: Path) -> tuple[list[tuple[ArtifactFile, Answer[Built]]], Any]:
    """Files named after their precision, and a leaf that times them so."""
    made = []
    for precision, best_ms in times.items():
        described = ArtifactFile(
            file=precision, precision=precision, backend="tflite", use="", delegate=None, io=None, files={}, signature=NOTHING, cost=None,
            verification=None, placements=(), notes=(), unavailable={},
        )  # fmt: skip
        digest = {precision: FileDigest(sha256=f"{best_ms}", bytes=1)}
        made.append((described, Answer(Built(files=(precision,), signature=NOTHING), tmp_path, digest, False)))

    def call(room: str, leaf: str, method: str, /, *, artifact: Path) -> float | None:
        assert (room, leaf, method) == ("backends", "tflite", "best_ms")
        found = times[artifact.name]
        if found is None:
            raise Unsupported("It does not run on zeros.")
        return found

    return made, call


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"int8": 2.4, "float16": 1.0}, ["int8"]),
        ({"int8": 1.0, "float16": 2.4}, []),
        ({"int8": 1.1, "float16": 1.0}, []),
        ({"int8": 0.02, "float16": 0.01}, []),
        ({"int8": None, "float16": 1.0}, []),
        ({"int8": 2.0, "float16": 2.0, "float32": 1.0}, ["int8", "float16"]),
        ({"int8": 2.0}, []),
    ],
)
def test_a_smaller_file_that_is_slower_is_told(
    times: Any, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, call = files(times, tmp_path)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as session:
        monkeypatch.setattr(session, "_call", call)
        found = speed.compared(session, made)
    assert [file.file for file, _ in found if file.warnings] == told
    assert all("on this host it takes" in file.warnings[0] for file, _ in found if file.warnings)
    untimed = [file.file for file, _ in found if "not timed on this host: It does not run on zeros." in file.notes]
    assert untimed == [name for name, best_ms in times.items() if best_ms is None]


def test_a_file_is_timed(tmp_path: Path) -> None:
    small, large = networks.Network(), networks.Network()
    paths = []
    for net, size in ((small, 8), (large, 1024)):
        x = net.input("x", (1, size))
        for layer in range(3):
            weights, bias = (
                net.constant(f"k{layer}", networks.weights(size, size)),
                net.constant(f"b{layer}", np.zeros(size, np.float32)),
            )
            x = net.operator("FULLY_CONNECTED", [x, weights, bias], (1, size), kind="FullyConnectedOptions")
        paths.append(net.save(tmp_path / f"{size}.tflite", x))
    first, second = map(run.best_ms, paths)
    assert 0 < first < second
