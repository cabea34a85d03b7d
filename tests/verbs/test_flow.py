"""The verbs on the bundled example: what is shared, what is cached, what is refused."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import numpy_helper, parser, save

from edgekit.config import Project, project
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store, file_digest
from edgekit.errors import BudgetMissed, InputError, LeafCrashError, MissingTool, Unsupported
from edgekit.host.events import Event
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import Waist
from edgekit.nouns.results import Result
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps import compilation, conversion, reading, sampling
from edgekit.verbs import build as verb
from edgekit.verbs.planning import plan
from edgekit.waist import graph
from tests import networks
from tests.results import whole

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "docs" / "examples" / "digits"
MODEL = DIGITS / "model.keras"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kept_workers")]


class Watch:
    """Progress that remembers which steps ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.cached: list[str] = []

    def plan(self, steps: int) -> None:
        pass

    def begin(self, step: str) -> None:
        pass

    def tell(self, step: str, event: Event) -> None:
        pass

    def end(self, step: str, *, from_cache: bool) -> None:
        (self.cached if from_cache else self.ran).append(step)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Watch]:
    """One cold build for android."""
    out = tmp_path_factory.mktemp("first") / "out"
    (result,), watch = build(cache, targets=("android",), output_folder=str(out))
    return result, watch


def build(cache: Path, **changes: object) -> tuple[list[Result], Watch]:
    wanted = msgspec.structs.replace(project(DIGITS), **changes)
    watch = Watch()
    with Session(Store(cache), cache / "log.txt", watch) as session:
        return verb.build(session, wanted, MODEL), watch


def test_a_build_leaves_what_its_manifest_says(first: tuple[Result, Watch]) -> None:
    result, watch = first
    manifest = msgspec.json.decode((result.folder / "manifest.json").read_bytes(), type=Manifest)
    assert manifest == result.manifest
    assert [artifact.precision for artifact in manifest.artifacts] == ["int8", "float16"]
    for artifact in manifest.artifacts:
        assert artifact.verification is not None
        assert artifact.verification.verdict == "pass"
        assert artifact.verification.metric is not None
        assert artifact.verification.metric.name == "top1"
        for name, digest in artifact.files.items():
            assert file_digest(result.folder / name) == digest
    told = {name for artifact in manifest.artifacts for name in artifact.files} | {"manifest.json"}
    assert {path.name for path in result.folder.iterdir()} == told
    assert watch.cached == []
    where = {file.precision: {place.runs_on for place in file.placements} for file in manifest.artifacts}
    assert where == {"int8": {"CPU"}, "float16": {"GPU delegate, else CPU"}}


def test_the_second_build_runs_nothing(first: tuple[Result, Watch], cache: Path, tmp_path: Path) -> None:
    (again,), watch = build(cache, targets=("android",), output_folder=str(tmp_path / "out"))
    assert watch.ran == []
    assert sorted(watch.cached) == sorted(first[1].ran)
    assert again.manifest is not None
    assert first[0].manifest is not None
    assert again.manifest.artifacts == first[0].manifest.artifacts


def test_another_dtype_at_the_border_rebuilds_int8_alone(
    first: tuple[Result, Watch], cache: Path, tmp_path: Path
) -> None:
    _, watch = build(cache, targets=("android",), io="uint8", output_folder=str(tmp_path / "out"))
    assert [step.split()[0] for step in watch.ran] == ["building", "verifying"]
    assert all("int8" in step for step in watch.ran)


def test_targets_share_their_steps_and_one_failure_stops_no_other(
    first: tuple[Result, Watch], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
    monkeypatch.setenv("PATH", "")
    wanted = {"targets": ("edgetpu", "linux-arm64"), "require_compiled": True, "output_folder": str(tmp_path / "out")}
    (failed, built), watch = build(cache, **wanted)
    assert isinstance(failed.error, MissingTool)
    assert not failed.folder.exists()
    assert built.manifest is not None
    assert (built.folder / "manifest.json").is_file()
    assert not any(step.startswith("converting") for step in watch.ran)


def test_what_one_target_does_not_offer_is_built_for_the_others(
    first: tuple[Result, Watch], cache: Path, tmp_path: Path
) -> None:
    occupied = tmp_path / "out" / "linux-arm64"
    occupied.mkdir(parents=True)
    (occupied / "model_float16.tflite").write_text("mine")  # the name of a file to be written
    wanted = {
        "targets": ("edgetpu", "linux-arm64", "android"),
        "precision": "float16",
        "output_folder": str(tmp_path / "out"),
    }
    results = {result.target: result for result in build(cache, **wanted)[0]}
    assert isinstance(results["edgetpu"].error, Unsupported)
    assert isinstance(results["linux-arm64"].error, InputError)
    assert [path.read_text() for path in occupied.iterdir()] == ["mine"]
    assert results["android"].manifest is not None
    assert (tmp_path / "out" / "android" / "model_float16.tflite").is_file()


def test_a_missed_budget_is_told_and_the_artifact_stays(
    first: tuple[Result, Watch], cache: Path, tmp_path: Path
) -> None:
    with np.load(ROOT / "calibration_data" / "digits.npz") as file:
        image = file["image"]
    np.savez(tmp_path / "dim.npz", image=image * np.float32(0.6))
    wanted = {"calibration": str(tmp_path / "dim.npz"), "max_drop": 0.0, "precision": "int8"}
    (result,), _ = build(cache, **wanted, output_folder=str(tmp_path / "out"))
    assert result.manifest is not None
    judged = result.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.verdict == "miss"
    assert "top1 dropped" in judged.reason
    assert result.manifest.calibration is not None
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_file_of_no_use_is_published_on_request_alone(
    first: tuple[Result, Watch], cache: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "black.npz", image=np.zeros((128, 8, 8, 1), np.float32))
    wanted = {"calibration": str(tmp_path / "black.npz"), "precision": "int8", "max_drop": None}
    (refused,), _ = build(cache, **wanted, output_folder=str(tmp_path / "out"))
    assert isinstance(refused.error, BudgetMissed)
    assert "calibrated on data of one value" in refused.error.problem
    assert "--allow-loss" in refused.error.fix
    assert not (tmp_path / "out").exists()
    (allowed,), _ = build(cache, **wanted, allow_loss=True, output_folder=str(tmp_path / "out"))
    assert allowed.manifest is not None
    judged = allowed.manifest.artifacts[0].verification
    assert judged is not None
    assert judged.verdict == "fail"
    assert judged.samples_use == "evaluation"


@pytest.mark.parametrize("changes", [{"targets": ()}, {"eval": None}, {"targets": ("andorid",)}])
def test_what_is_wrong_is_said_before_any_step(changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        build(tmp_path / "cache", **({"output_folder": str(tmp_path / "out")} | changes))
    assert refused.value.fix
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()


def test_missing_calibration_is_said_before_anything_is_converted(cache: Path, tmp_path: Path) -> None:
    """The model is read before: it may bring its own integers."""
    watch = Watch()
    wanted = msgspec.structs.replace(project(DIGITS), calibration=None, output_folder=str(tmp_path / "out"))
    with (
        Session(Store(cache), cache / "log.txt", watch) as session,
        pytest.raises(InputError, match="calibration data"),
    ):
        verb.build(session, wanted, MODEL)
    assert [step.split()[0] for step in watch.ran + watch.cached] == ["reading"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("metric", ["mae", "auc"])
def test_a_metric_that_does_not_fit_is_refused_before_anything_is_built(
    metric: str, first: tuple[Result, Watch], tmp_path: Path, cache: Path
) -> None:
    with np.load(ROOT / "calibration_data" / "digits_test.npz") as test:
        named = dict(test)
    labels = {"y": np.ones(len(named["y"]), np.int64)} if metric == "auc" else {}
    np.savez(tmp_path / "test.npz", **named | labels)
    watch = Watch()
    wanted = msgspec.structs.replace(
        project(DIGITS),
        metric=metric,
        max_drop=None,
        eval=str(tmp_path / "test.npz"),
        output_folder=str(tmp_path / "out"),
    )
    with Session(Store(cache), cache / "log.txt", watch) as session, pytest.raises(InputError, match=metric):
        verb.build(session, wanted, MODEL)
    assert not [step for step in watch.ran + watch.cached if step.startswith("building")]


def test_a_precision_that_no_file_has_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="int8, not in float16"):
        plan(Project(targets=("edgetpu",), precision="float16"), MODEL)
    planned = plan(Project(targets=("edgetpu", "ios"), precision="float16"), MODEL)
    assert [target.name for target, _, _ in planned.targets] == ["ios"]
    assert [result.target for result in planned.refused] == ["edgetpu"]


@pytest.fixture(scope="module")
def sines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sine of values up to some thousands, of which float16 knows no digit behind the point."""
    folder = tmp_path_factory.mktemp("sines")
    matrix = 500 * np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    opset = '<ir_version: 8, opset_import: ["": 17]>'
    model = parser.parse_model(f"{opset} g (float[1,8] x) => (float[1,8] y) {{angles = MatMul(x, w) y = Sin(angles)}}")
    model.graph.initializer.append(numpy_helper.from_array(matrix, "w"))
    save(model, folder / "sine.onnx")
    net = networks.Network()
    inputs = [net.input("x", (1, 8)), net.constant("w", matrix.T), -1]
    angles = net.operator("FULLY_CONNECTED", inputs, (1, 8), name="angles", kind="FullyConnectedOptions")
    net.save(folder / "sine.tflite", net.operator("SIN", [angles], (1, 8), name="y"))
    return folder


def refused(cache: Path, model: Path, target: str, precision: str, out: Path) -> Unsupported:
    """The error of a build of one float file, which must leave nothing."""
    wanted = Project(targets=(target,), precision=precision, output_folder=str(out))
    with Session(Store(cache), cache / "log.txt") as session:
        (result,) = verb.build(session, wanted, model)
    assert isinstance(result.error, Unsupported)
    assert not out.exists()
    return result.error


@pytest.mark.parametrize("source", ["sine.onnx", "sine.tflite"])
def test_a_float16_file_that_computes_something_else_names_the_tensor(
    source: str, cache: Path, sines: Path, tmp_path: Path
) -> None:
    error = refused(cache, sines / source, "android", "float16", tmp_path / "out")
    assert re.search(r"dB is below 40 dB\. The first tensor that diverges is y \(SIN, [\d.]+ dB\)\.$", error.problem)
    assert "simplify that operator" in error.fix


@pytest.mark.parametrize(("source", "target"), [("sine.onnx", "android"), ("sine.tflite", "openvino-cpu")])
def test_a_wrong_conversion_names_the_tensor(
    source: str, target: str, cache: Path, sines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix of the waist has the wrong sign."""
    faithful = conversion.to_waist

    def damaged(session: Session, network: reading.OpenedNetwork, samples: Answer[Kept] | None = None) -> Answer[Waist]:
        answer = faithful(session, network)
        file = tmp_path / answer.result.file
        tree = graph.load(answer.folder / file.name)
        matrix = max((b for b in tree.buffers if b.data is not None), key=lambda buffer: len(buffer.data))
        matrix.data = (-np.frombuffer(bytes(matrix.data), np.float32)).view(np.uint8)
        file.write_bytes(graph.pack(tree))
        return msgspec.structs.replace(answer, folder=tmp_path, files={file.name: file_digest(file)})

    monkeypatch.setattr(conversion, "to_waist", damaged)
    error = refused(cache, sines / source, target, "float32", tmp_path / "out")
    assert "dB is below 60 dB. The first tensor that diverges is angles (FULLY_CONNECTED, " in error.problem
    assert "simplify that operator" in error.fix


def test_a_disagreement_that_no_tensor_explains_blames_none(
    cache: Path, sines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO reads ONNX itself: there is no file between the two of which the tensors could be compared."""

    real = sampling.reference

    def other(*given: object) -> object:
        np.savez(tmp_path / "outputs.npz", y=np.ones((16, 1, 8), np.float32))
        return msgspec.structs.replace(real(*given), folder=tmp_path)

    monkeypatch.setattr(sampling, "reference", other)
    error = refused(cache, sines / "sine.onnx", "openvino-cpu", "float32", tmp_path / "out")
    assert error.problem.endswith("dB is below 60 dB.")
    assert error.fix == "choose another precision or target"


def test_a_damaged_cache_is_mended(first: tuple[Result, Watch], cache: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "cache"
    shutil.copytree(cache, damaged)
    for path in damaged.glob("answers/*/*.tflite"):
        path.write_bytes(path.read_bytes()[:100])
    (result,), watch = build(damaged, targets=("android",), output_folder=str(tmp_path / "out"))
    assert result.manifest is not None
    assert any(step.startswith("converting") for step in watch.ran)
    for artifact in result.manifest.artifacts:
        for name, digest in artifact.files.items():
            assert file_digest(result.folder / name) == digest


def command(
    cache: Path,
    out: Path,
    *order: str,
    python: tuple[str, ...] = ("-m", "edgekit"),
    stderr: int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    """A build in a process of its own: of the example for Android, or what ``order`` says."""
    line = [sys.executable, *python, "build", *(order or (str(DIGITS), "-t", "android")), "-o", str(out)]
    environment = os.environ | {"EDGEKIT_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=stderr, text=True)


STEPS = (
    "reading sine", "converting sine", "counting", "running sine", "probing sine", "building model_float32",
    "verifying model_float32", "writing code for android",
)  # fmt: skip
"""How the lines of a build's steps begin."""

KILLED_IN_STEP = """
import os, signal, sys
from edgekit import cli; from edgekit.engine import store
from edgekit.report.lines import Lines
def begun(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
def told(step):
    if step.startswith(sys.argv[1]):
        store.Store.ask = begun
Lines.begin = lambda self, step: told(step)
sys.exit(cli.run(sys.argv[2:]))
"""
"""Runs edgekit, and kills it when a step whose name begins so has begun."""


def test_a_build_may_be_killed_in_any_step(sines: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "place" / "out", tmp_path / "cache"
    out.parent.mkdir()
    order = (str(sines / "sine.tflite"), "-t", "android", "--precision", "float32")
    for i, step in enumerate(STEPS):
        running = command(cache, out, *order, python=("-c", KILLED_IN_STEP, step), stderr=subprocess.PIPE)
        _, told = running.communicate()
        assert running.returncode == -signal.SIGKILL, told
        lines = zip(told.splitlines(), STEPS[:i], strict=True)
        assert all(line.startswith(begin) for line, begin in lines), told
        assert not out.exists()
    assert command(cache, out, *order).wait() == 0
    assert whole(out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from edgekit import cli
place, number = sys.argv[1], int(sys.argv[2])
changes = 0
def count(event, arguments):
    global changes
    known = event in {"os.mkdir", "os.chmod", "os.rename", "os.rmdir", "shutil.rmtree"}
    if (known or event == "open" and "w" in (arguments[1] or "")) and str(arguments[0]).startswith(place):
        changes += 1
        if changes == number:
            os.write(2, f"\\nkilled before {event}\\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
sys.exit(cli.run(sys.argv[3:]))
"""
"""Runs edgekit, and kills it before the given change (1, 2, …) to anything in a folder."""


@pytest.mark.study
def test_a_build_may_be_killed_before_any_change_to_its_place(cache: Path, sines: Path, tmp_path: Path) -> None:
    """With an earlier result there: before the first change, before the second, until a build comes through."""
    out = tmp_path / "place" / "out"
    order = (str(sines / "sine.tflite"), "-t", "android", "--precision", "float32", "--no-integration", "--no-report")
    assert command(cache, out, *order).wait() == 0
    killed: list[tuple[str, bool]] = []
    while True:
        running = command(
            cache, out, *order, python=("-c", KILLED, str(out.parent), str(len(killed) + 1)), stderr=subprocess.PIPE
        )
        _, told = running.communicate()
        assert not out.exists() or whole(out)
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, told
        killed.append((told.splitlines()[-1].removeprefix("killed before "), out.exists()))
    made = len(list(out.iterdir()))
    # Old and new change places by a call that is no event, between the last file and the removal.
    assert killed[-made - 2 :] == [*[("open", True)] * made, ("shutil.rmtree", True), ("os.rmdir", True)]
    assert all(there for _, there in killed)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_two_builds_at_once_both_succeed(sines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    order = (str(sines / "sine.tflite"), "-t", "android", "--precision", "float32")
    both = [command(tmp_path / "cache", out, *order, stderr=subprocess.PIPE) for _ in range(2)]
    told = [running.communicate()[1] for running in both]
    assert [running.returncode for running in both] == [0, 0], told
    assert whole(out)


def test_the_linter_knows_what_the_first_layer_expects(cache: Path, tmp_path: Path) -> None:
    """A network that brings 0..255 to -1..1 wants pixels; samples in 0..1 were scaled twice."""
    net = networks.Network()
    scaled = net.operator("MUL", [net.input("x", (1, 8, 8, 1)), net.constant("a", np.float32(1 / 127.5))], (1, 8, 8, 1))
    moved = net.operator("SUB", [scaled, net.constant("b", np.float32(1.0))], (1, 8, 8, 1))
    flat = net.operator("RESHAPE", [moved, net.constant("shape", np.array([1, 64], np.int32))], (1, 64))
    kernel = net.constant("kernel", networks.weights(3, 64))
    net.save(
        tmp_path / "scaled.tflite",
        net.operator("FULLY_CONNECTED", [flat, kernel, -1], (1, 3), name="y", kind="FullyConnectedOptions"),
    )
    rows = np.random.default_rng(0).random((120, 8, 1, 1), np.float32).repeat(8, axis=2)
    warnings = {}
    for name, values in (("small", rows), ("right", rows * 255)):
        np.savez(tmp_path / f"{name}.npz", values)
        wanted = Project(
            targets=("android",),
            precision="int8",
            calibration=str(tmp_path / f"{name}.npz"),
            output_folder=str(tmp_path / name),
        )
        with Session(Store(cache), cache / "log.txt") as session:
            (result,) = verb.build(session, wanted, tmp_path / "scaled.tflite")
        assert result.manifest is not None, result.error
        assert result.manifest.calibration is not None
        warnings[name] = " ".join(result.manifest.calibration.warnings)
    assert "0..255" in warnings["small"]
    assert "0..255" not in warnings["right"]


@pytest.mark.study
@pytest.mark.long
def test_a_prune_at_any_moment_ends_no_build(cache: Path, first: tuple[Result, Watch], tmp_path: Path) -> None:
    """Builds while `edgekit cache prune` runs over and over, until it dropped something three times."""
    shared, told = tmp_path / "cache", tmp_path / "told"
    shutil.copytree(cache, shared)
    environment = os.environ | {"EDGEKIT_CACHE": str(shared), "PYTHONPATH": str(ROOT)}
    prune = f"while '{sys.executable}' -m edgekit cache prune --json; do sleep 0.2; done"
    with told.open("w") as file:
        pruning = subprocess.Popen(["bash", "-c", prune], env=environment, stdout=file, stderr=subprocess.DEVNULL)
    try:
        for number in itertools.count():
            assert command(shared, tmp_path / f"out-{number}").wait() == 0
            assert whole(tmp_path / f"out-{number}")
            assert pruning.poll() is None
            if number and len(re.findall(r'"dropped": [1-9]', told.read_text())) > 2:
                break
    finally:
        pruning.kill()
        pruning.wait()


def test_a_crash_of_one_targets_leaf_leaves_the_others(
    cache: Path, sines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one backend is that target's result, with the exit code of a bug; the other targets are built."""
    inner = compilation.compile_variant

    def crashing(
        session: Session, subject: conversion.Subject, variant: Variant, *given: Any, **named: Any
    ) -> Answer[Built]:
        if variant.backend == "edgetpu":
            raise LeafCrashError("edgetpu failed in build", str(session.log))
        return inner(session, subject, variant, *given, **named)

    monkeypatch.setattr(compilation, "compile_variant", crashing)
    (crashed, whole), _ = build(cache, targets=("edgetpu", "android"), output_folder=str(tmp_path / "out"))
    assert isinstance(crashed.error, LeafCrashError)
    assert crashed.error.exit_code == 70
    assert "bug in edgekit" in str(crashed.error)
    assert not crashed.folder.exists()
    assert whole.manifest is not None
