"""Verification in a build: state, guards, and outputs that never change, from the source to the error or the manifest."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store, file_digest
from edgekit.errors import Unsupported
from edgekit.nouns.model import Signature, Waist
from edgekit.nouns.results import Result
from edgekit.nouns.samples import Kept
from edgekit.steps import conversion, data, evidence, reading
from edgekit.verbs.build import build
from tests import networks

Replace = Callable[[Path], None]


pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def converted_to(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Lets every conversion give this file, whatever the source."""
    faithful = conversion.to_waist

    def replace(file: Path) -> None:
        def wrong(
            session: Session, network: reading.OpenedNetwork, samples: Answer[Kept] | None = None
        ) -> Answer[Waist]:
            answer = faithful(session, network, samples)
            waist = msgspec.structs.replace(answer.result, file=file.name)
            return msgspec.structs.replace(
                answer, result=waist, folder=file.parent, files={file.name: file_digest(file)}
            )

        monkeypatch.setattr(conversion, "to_waist", wrong)

    return replace


def built(cache: Path, model: Path, **options: object) -> Result:
    wanted = Project(targets=("android",), precision="float32", output_folder=str(model.parent / "out"))
    with Session(Store(cache), cache / "log.txt") as session:
        (result,) = build(session, msgspec.structs.replace(wanted, **options), model)
    return result


def running_sum(path: Path, *, state: bool) -> Path:
    """x [1, 1, 2] → the sum of all x so far, or, without state, of this one."""
    net = networks.Network()
    x, same = net.input("x", (1, 1, 2)), net.constant("same", np.eye(2, dtype=np.float32))
    if state:
        bias, kept = net.constant("b", np.zeros(2, np.float32)), net.tensor("kept", (1, 2), variable=True)
        inputs, kind = [x, same, same, bias, kept], "SequenceRNNOptions"
        total = net.operator("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, (1, 1, 2), name="y", kind=kind)
    else:
        total = net.operator("ABS", [x], (1, 1, 2), name="y")
    return net.save(path, total)


def test_state_by_intent_passes_and_is_told(cache: Path, tmp_path: Path) -> None:
    result = built(cache, running_sum(tmp_path / "sum.tflite", state=True))
    assert result.manifest is not None
    judged = result.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.verdict == "pass"
    assert judged.keeps_state
    assert "as its source does" in judged.remarks[0]


@pytest.mark.parametrize("source_keeps", [False, True])
def test_state_on_one_side_alone_is_refused(
    source_keeps: bool,
    cache: Path,
    tmp_path: Path,
    converted_to: Replace,
) -> None:
    source = running_sum(tmp_path / "source.tflite", state=source_keeps)
    converted_to(running_sum(tmp_path / "wrong.tflite", state=not source_keeps))
    error = built(cache, source).error
    assert isinstance(error, Unsupported)
    assert "keeps state from run to run" in error.problem
    assert ("the file does not" in error.problem) == source_keeps
    assert not (tmp_path / "out").exists()


def norm(path: Path, guard: str | None, axis: int = -1) -> Path:
    """x [1, 4, 6] divided by its norm along an axis, with a guard of some kind, or none."""
    net = networks.Network()
    x, axes = net.input("x", (1, 4, 6)), net.constant("axes", np.array([axis], np.int32))
    shape = (1, 4, 1) if axis == -1 else (1, 1, 6)
    squares = net.operator("MUL", [x, x], (1, 4, 6), kind="MulOptions")
    length = net.operator("SUM", [squares, axes], shape, kind="ReducerOptions", keepDims=True)
    if guard == "ADD":
        length = net.operator("ADD", [length, net.constant("e", np.float32(1e-12))], shape, kind="AddOptions")
    length = net.operator("SQRT", [length], shape, name="length")
    if guard == "MAXIMUM":
        length = net.operator("MAXIMUM", [length, net.constant("e", np.float32(1e-6))], shape)
    return net.save(path, net.operator("DIV", [x, length], (1, 4, 6), name="y", kind="DivOptions"))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("guard", ["ADD", "MAXIMUM"])
def test_a_lost_guard_is_refused_though_no_sample_shows_it(
    guard: str, axis: int, cache: Path, tmp_path: Path, converted_to: Replace
) -> None:
    source = norm(tmp_path / "source.tflite", guard, axis)
    kept = built(cache, source)
    assert kept.manifest is not None
    judged = kept.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.probes is not None
    assert "all zeros" in judged.probes.inputs
    converted_to(norm(tmp_path / "wrong.tflite", None, axis))
    error = built(cache, source, output_folder=str(tmp_path / "wrong")).error
    assert isinstance(error, Unsupported)
    assert "output y is not finite for all zeros, where the source's is" in error.problem
    assert not (tmp_path / "wrong").exists()


def test_a_network_that_ignores_its_input_is_no_pass(cache: Path, tmp_path: Path) -> None:
    net = networks.Network()
    nothing = net.operator("MUL", [net.input("x", (1, 4)), net.constant("o", np.float32(0))], (1, 4), kind="MulOptions")
    dead = net.operator(
        "ADD", [nothing, net.constant("c", np.ones(4, np.float32))], (1, 4), name="y", kind="AddOptions"
    )
    result = built(cache, net.save(tmp_path / "dead.tflite", dead))
    assert result.manifest is not None
    judged = result.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.verdict == "warn"
    assert judged.reason == "the source's output y is the same for all samples, so that nothing was compared"


@pytest.mark.shared
@pytest.mark.parametrize("judged_by", ["calibration", "other samples"])
def test_an_input_that_never_changes_is_no_pass(judged_by: str, cache: Path, tmp_path: Path) -> None:
    """A state that the app feeds back, and that calibration knows as zeros alone; judged on others it shows."""
    net, shape = networks.Network(), (1, 6)
    sides = [net.input("x", shape), net.input("state", shape)]
    model = net.save(tmp_path / "m.tflite", net.operator("ADD", sides, shape, name="y", kind="AddOptions"))
    x = np.random.default_rng(0).normal(size=(128, *shape)).astype(np.float32)
    np.savez(tmp_path / "calibration.npz", x=x, state=np.zeros_like(x))
    np.savez(tmp_path / "eval.npz", x=x[:64] + 0.1, state=x[64:])
    options = {"precision": "int8", "calibration": str(tmp_path / "calibration.npz"), "allow_loss": True}
    if judged_by == "other samples":
        options["eval"] = str(tmp_path / "eval.npz")
    result = built(cache, model, **options)
    assert result.manifest is not None
    judged = result.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.verdict != "pass"
    assert ("input state: the same in all samples" in judged.reason) == (judged_by == "calibration")


def test_a_scatter_is_exact(cache: Path, tmp_path: Path, shared: Path) -> None:
    result = built(cache, shared / "models" / "reported" / "scatternd.onnx", output_folder=str(tmp_path / "out"))
    assert result.manifest is not None
    judged = result.manifest.artifacts[0].verification
    assert judged is not None
    assert (judged.verdict, judged.sqnr_db) == ("pass", None)


@pytest.mark.parametrize(("values", "inputs"), [(4, 8), (5_000_000, 6), (40_000_000, 3)])
def test_fewer_probes_are_made_for_huge_outputs(values: int, inputs: int, cache: Path, tmp_path: Path) -> None:
    spec = networks.signature(networks.element_wise(tmp_path / "m.tflite", "ABS")).inputs[0]
    wide = Signature(inputs=(spec,), outputs=(msgspec.structs.replace(spec, source_shape=(values,)),))
    with Session(Store(cache), cache / "log.txt") as session:
        drawn = data.drawn(session, wide, 0)
        most = evidence.affordable(wide, evidence.MOST_PROBES)
        assert evidence._kept(session, drawn, most, plain=False).result.used == inputs
