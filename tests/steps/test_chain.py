"""A file that several steps lead to is compared with the original source, whatever each of them loses."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.question import Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store
from edgekit.nouns.model import Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.verification import Verification
from edgekit.steps import conversion, reading
from edgekit.verbs.build import build
from edgekit.waist.tensors import Array, sqnr_db
from tests import networks

CLASSES = 8
WEIGHTS = np.random.default_rng(0).standard_normal((CLASSES, 32)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((120, 1, 32)).astype(np.float32)
STEPS = (0.7, 1.0)
"""The passes of the chain: each rounds what the one before gave to multiples of this."""


def dense(path: Path, weights: Array) -> Path:
    net = networks.Network()
    x, kernel = net.input("x", (1, 32)), net.constant("w", weights)
    return net.save(
        path, net.operator("FULLY_CONNECTED", [x, kernel, -1], (1, CLASSES), name="y", kind="FullyConnectedOptions")
    )


def rounded(weights: Array, step: float) -> Array:
    return (np.rint(weights / step) * step).astype(np.float32)


def coarser(session: Session, waist: Answer[Waist], step: float) -> Answer[Waist]:
    """A pass from waist to waist, as training passes will be."""
    told = [one.settings["step"] for one in waist.steps if one.what == "round"]

    def write(out: Path) -> Waist:
        weights = WEIGHTS
        for each in (*told, step):
            weights = rounded(weights, each)
        dense(out / "waist.tflite", weights)
        return msgspec.structs.replace(waist.result, file="waist.tflite")

    question = Question(what="round", modules=(__name__,), settings={"step": step}, inputs={"waist": waist})
    return session.ask(question, Waist, write)


@pytest.fixture(scope="module")
def verification(tmp_path_factory: pytest.TempPathFactory) -> tuple[Verification, tuple[str, ...]]:
    """Of an int8 file at the end of a chain of two passes, and the names of the steps that led to it."""
    folder = tmp_path_factory.mktemp("chain")
    faithful = conversion.to_waist

    def folded(session: Session, network: reading.OpenedNetwork, samples: Answer[Kept] | None = None) -> Answer[Waist]:
        waist = faithful(session, network, samples)
        for step in STEPS:
            waist = coarser(session, waist, step)
        return waist

    np.savez(folder / "eval.npz", x=X, y=(X[:, 0] @ WEIGHTS.T).argmax(1))
    named = str(folder / "eval.npz")
    project = Project(
        targets=("android",), precision="int8", calibration=named, eval=named, metric="top1",
        output_folder=str(folder / "out"), allow_loss=True,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, Session(Store(folder / "cache"), folder / "log.txt") as session:
        patch.setattr(conversion, "to_waist", folded)
        (result,) = build(session, project, dense(folder / "source.tflite", WEIGHTS))
    assert result.manifest is not None, result.error
    (artifact,) = result.manifest.artifacts
    assert artifact.verification is not None
    return artifact.verification, tuple(step.what for step in artifact.lineage)


def chained() -> tuple[Array, Array, Array]:
    """Outputs of the source, after the first pass alone, and after both; in numpy."""
    once = rounded(WEIGHTS, STEPS[0])
    return X @ WEIGHTS.T, X @ once.T, X @ rounded(once, STEPS[1]).T


def test_sqnr_is_that_of_both_passes_against_the_source(
    verification: tuple[Verification, tuple[str, ...]],
) -> None:
    found, _ = verification
    source, once, both = chained()
    alone, rest, whole = sqnr_db(source, once), sqnr_db(once, both), sqnr_db(source, both)
    assert whole < min(alone, rest) - 0.5  # either step's own loss would look better
    assert found.sqnr_db == pytest.approx(whole, abs=0.5)


def test_the_drop_is_that_of_both_passes_against_the_source(
    verification: tuple[Verification, tuple[str, ...]],
) -> None:
    found, _ = verification
    source, _, both = (outputs[:, 0].argmax(1) for outputs in chained())
    lost = float(np.mean(source != both))
    assert lost > 0.1
    assert found.metric is not None
    assert found.metric.source == 1.0
    assert found.metric.drop == pytest.approx(lost, abs=4 / len(X))  # int8 errs too; one pass alone: 0.15


def test_the_manifest_shows_the_chain(verification: tuple[Verification, tuple[str, ...]]) -> None:
    _, steps = verification
    at = [steps.index("round"), len(steps) - 1 - steps[::-1].index("round")]
    assert [steps[i] for i in at] == ["round", "round"]
    assert at[1] == at[0] + 1
