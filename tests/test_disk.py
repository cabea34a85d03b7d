"""Disks that are full or read-only: real ones, mounted for the test."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.engine.publish import publish
from edgekit.engine.store import ANSWER, Store, Stored, file_digest
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported, full_disk
from edgekit.nouns.lineage import Step
from tests import networks
from tests.conftest import ROOT, Disk
from tests.results import whole

DIGITS = ROOT / "docs" / "examples" / "digits"


@dataclass(frozen=True)
class Run:
    """How a build ended."""

    code: int
    err: str


FILES_ALONE = ("--no-integration", "--no-report")
"""Of a build whose results have a size that is known."""


def build(out: Path, cache: Path, *more: str, model: Path = DIGITS, **environment: str) -> Run:
    """A build, of the bundled example for android unless told otherwise; a hang ends the test."""
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "build", model, "-o", out, *more],
        env=os.environ
        | {"EDGEKIT_CACHE": str(cache), "EDGEKIT_CACHE_LIMIT": "1G", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stderr)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds every answer of the example's build."""
    folder = tmp_path_factory.mktemp("warm")
    run = build(folder / "out", folder / "cache")
    assert run.code == 0, run.err
    return folder / "cache"


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[..., Run]]:
    """A cache that holds every answer of a TFLite file's build, and that build: where to, with which cache, and how."""
    folder = tmp_path_factory.mktemp("answered")
    model, samples = networks.classifier(folder / "model.tflite"), folder / "samples.npz"
    np.savez(samples, **networks.samples(networks.signature(model), 32))

    def again(out: Path, cache: Path, *more: str, **environment: str) -> Run:
        order = ("-t", "android", "--precision", "int8", "--set", "weights=nearest", "--calibration", str(samples))
        return build(out, cache, *order, *more, model=model, **environment)

    run = again(folder / "out", folder / "cache")
    assert run.code == 0, run.err
    return folder / "cache", again


def broken(cache: Path) -> list[Path]:
    """Answers that are not what their digests say, and scratch that stayed."""
    found = list((cache / "tmp").glob("*"))
    for folder in (cache / "answers").glob("*"):
        stored = msgspec.json.decode((folder / ANSWER).read_bytes(), type=Stored)
        if any(file_digest(folder / name) != digest for name, digest in stored.files.items()):
            found.append(folder)
    return found


def three_files(out: Path) -> int:
    for name in "abc":
        (out / name).write_bytes(os.urandom(10_000))
    return 3


def test_a_question_to_a_full_cache_leaves_nothing_and_works_once_there_is_space(disk: Disk) -> None:
    for kib in range(4, 40, 4):
        disk.resize(kib)
        store = Store(disk.path / "cache")
        with pytest.raises(InputError, match="No space left") as refused:
            store.ask(Step(what="a"), int, three_files)
        assert refused.value.place == str(disk.path / "cache")
        assert refused.value.fix.startswith("free some space")
        store.close()
        assert [path.name for path in disk.path.rglob("*") if path.is_file()] in ([], ["CACHEDIR.TAG"])
    disk.resize(160)
    store = Store(disk.path / "cache")
    assert store.ask(Step(what="a"), int, three_files).result == 3
    store.close()
    assert broken(disk.path / "cache") == []


def result(size: int):
    def make(out: Path) -> None:
        (out / "model.tflite").write_bytes(os.urandom(size))
        (out / "manifest.json").write_text('{"artifacts": [{"files": {"model.tflite": {}}}]}')

    return make


def test_an_earlier_result_survives_a_full_disk(disk: Disk) -> None:
    disk.resize(40)
    publish(disk.path / "out", result(12_000))
    before = (disk.path / "out" / "model.tflite").read_bytes()
    with pytest.raises(InputError, match="no space left") as refused:
        publish(disk.path / "out", result(30_000))
    assert refused.value.place == str(disk.path / "out")
    assert [path.name for path in disk.path.iterdir()] == ["out"]
    assert (disk.path / "out" / "model.tflite").read_bytes() == before


def test_a_read_only_place_is_refused_and_an_earlier_result_survives(disk: Disk) -> None:
    disk.resize(160)
    publish(disk.path / "out", result(12_000))
    before = (disk.path / "out" / "model.tflite").read_bytes()
    disk.protect()
    for folder in (disk.path / "out", disk.path / "new" / "out"):
        with pytest.raises(InputError, match="read-only") as refused:
            publish(folder, lambda _: pytest.fail("it was begun"))
        assert refused.value.place == str(folder)
        assert "-o" in refused.value.fix
    assert (disk.path / "out" / "model.tflite").read_bytes() == before


def test_a_machine_without_any_temporary_folder_is_the_users_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(InputError, match="no temporary folder") as refused:
        Worker(tmp_path / "log.txt").start()
    assert "TMPDIR" in refused.value.fix


def test_a_librarys_complaint_about_space_is_not_the_models_fault() -> None:
    assert full_disk(Unsupported("It does not convert. SavedModel: part-00000; No space left on device")) is not None
    try:
        try:
            raise RuntimeError("[Errno 28] No space left on device")
        except RuntimeError as error:
            raise Unsupported("It does not convert.") from error
    except Unsupported as error:
        mended = full_disk(error)
    assert mended is not None
    assert "free some space" in mended.fix
    assert full_disk(Unsupported("It does not convert.")) is None


@pytest.mark.slow
def test_a_build_goes_on_where_its_cache_was_full(disk: Disk, tmp_path: Path) -> None:
    model, out, cache = networks.classifier(tmp_path / "model.tflite"), tmp_path / "out", disk.path / "cache"
    order = ("-t", "linux-arm64", "--precision", "float32")
    for kib in (4, 24):
        disk.resize(kib)
        run = build(out, cache, *order, model=model)
        assert run.code == 2, run.err
        assert "fix: free some space" in run.err
        assert "Traceback" not in run.err
        assert not out.exists()
        assert broken(cache) == []
    disk.resize(10_000)
    run = build(out, cache, *order, model=model)
    assert run.code == 0, run.err
    assert whole(out)


@pytest.mark.study
@pytest.mark.slow
def test_a_result_that_does_not_fit_is_not_begun(disk: Disk, warm: Path) -> None:
    out = disk.path / "out"
    for kib in (4, 44):
        disk.resize(kib)
        run = build(out, warm, *FILES_ALONE)
        assert run.code == 2, run.err
        assert f"at: {out}" in run.err
        assert "fix: free some space, or choose another folder with -o" in run.err
        assert list(disk.path.iterdir()) == []
    disk.resize(160)
    assert build(out, warm, *FILES_ALONE).code == 0
    assert whole(out)
    disk.resize(88)
    assert build(out, warm, *FILES_ALONE).code == 2  # the new result does not fit beside the old one
    assert whole(out)
    assert list(disk.path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "options"),
    [
        pytest.param("tflite", ("-t", "android", "--precision", "float16"), marks=pytest.mark.study),
        pytest.param("keras", (), marks=pytest.mark.study),
        pytest.param("keras", ("-t", "openvino-cpu"), marks=[pytest.mark.study, pytest.mark.long]),
    ],
    ids=["tflite", "android", "openvino"],
)
def test_no_space_for_temporary_files_is_not_the_models_fault(
    source: str, options: tuple[str, ...], disk: Disk, tmp_path: Path
) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    model = DIGITS if source == "keras" else networks.classifier(tmp_path / "model.tflite")
    for kib in (4, 40):
        disk.resize(kib)
        run = build(out, cache, *options, model=model, TMPDIR=str(disk.path))
        assert (run.code, out.exists()) in {(2, False), (0, True)}, run.err
        if kib == 4:
            assert run.code == 2
            assert "TMPDIR" in run.err
        assert list(disk.path.iterdir()) == []
        assert broken(cache) == []
    disk.resize(10_000)
    assert build(out, cache, *options, model=model, TMPDIR=str(disk.path)).code == 0
    assert whole(out)


@pytest.mark.slow
def test_a_read_only_cache_that_holds_every_answer_serves_a_build(
    disk: Disk, answered: tuple[Path, Callable[..., Run]], tmp_path: Path
) -> None:
    cache, again = answered
    disk.resize(10_000)
    shutil.copytree(cache, disk.path / "cache")
    disk.protect()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = again(tmp_path / "out", disk.path / "cache", TMPDIR=str(scratch))
    assert run.code == 0, run.err
    steps = [line for line in run.err.splitlines() if line.split(" ")[0].endswith("ing")]
    assert len(steps) > 5
    assert all(line.endswith(" (cached)") for line in steps), steps
    assert whole(tmp_path / "out")
    assert str(scratch) not in run.err  # where the log lies matters to nobody
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_read_only_cache_without_an_answer_is_refused_before_the_work(
    disk: Disk, answered: tuple[Path, Callable[..., Run]], tmp_path: Path
) -> None:
    cache, again = answered
    disk.resize(10_000)
    shutil.copytree(cache, disk.path / "cache")
    disk.protect()
    run = again(tmp_path / "out", disk.path / "cache", "--seed", "7")
    assert run.code == 2, run.err
    assert f"at: {disk.path / 'cache'}" in run.err
    assert "EDGEKIT_CACHE" in run.err
    assert not (tmp_path / "out").exists()
