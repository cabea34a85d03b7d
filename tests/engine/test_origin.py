"""What a network is read from, and that an answer belongs to it whatever happens meanwhile."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine import origin
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.verbs.build import build
from tests import networks


def write(folder: Path) -> Path:
    """A model of every kind of part: a folder with a link inside it, companions, code."""
    (folder / "model" / "variables").mkdir(parents=True)
    (folder / "model" / "saved_model.pb").write_text("graph")
    (folder / "model" / "variables" / "v").write_text("weights")
    (folder / "model" / "assets").symlink_to("variables")
    (folder / "model.onnx").write_text("graph")
    (folder / "weights").mkdir()
    (folder / "weights" / "w.bin").write_text("weights")
    (folder / "layers.py").write_text("import helper")
    (folder / "helper.py").write_text("one")
    return folder


def found(folder: Path, name: str) -> origin.Origin:
    return origin.of(folder / name, ("weights/w.bin",) if name == "model.onnx" else (), "layers:make")


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("model", "model/saved_model.pb"),
        ("model", "model/variables/v"),
        ("model", "model/assets/new"),
        ("model.onnx", "model.onnx"),
        ("model.onnx", "weights/w.bin"),
        ("model.onnx", "layers.py"),
        ("model.onnx", "helper.py"),
    ],
)
def test_every_part_counts_and_a_change_is_noticed(model: str, part: str, tmp_path: Path) -> None:
    before = found(write(tmp_path), model)
    before.confirm()
    assert found(tmp_path, model) == before
    (tmp_path / part).write_text("another")
    assert found(tmp_path, model).sha256 != before.sha256
    with pytest.raises(InputError, match="changed while it was read"):
        before.confirm()


@pytest.mark.parametrize("part", ["model.onnx", "weights/w.bin"])
def test_what_is_gone_meanwhile_has_changed(part: str, tmp_path: Path) -> None:
    before = found(write(tmp_path), "model.onnx")
    (tmp_path / part).unlink()
    with pytest.raises(InputError, match=r"changed while|is not there"):
        before.confirm()


def test_a_failure_while_a_file_is_replaced_tells_of_that(tmp_path: Path) -> None:
    before = found(write(tmp_path), "model.onnx")

    def fail(out: Path) -> int:
        raise InputError("It is half a file.")

    with pytest.raises(InputError, match="half a file"):
        before.reading(fail)(tmp_path)
    (tmp_path / "model.onnx").write_text("gra")
    with pytest.raises(InputError, match=r"model\.onnx changed"):
        before.reading(fail)(tmp_path)


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname", "link.bin", "weights/../../outside.bin"])
def test_companions_outside_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a")
    (tmp_path / "outside.bin").write_text("secret")
    (tmp_path / "a" / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(InputError, match="outside of its folder"):
        origin.of(tmp_path / "a" / "model.onnx", (name,))


def test_a_model_that_is_a_link_may_have_its_companions_on_either_side(tmp_path: Path) -> None:
    """As in a hub's cache, where names of a snapshot are links to blobs."""
    write(tmp_path / "blobs")
    (tmp_path / "snapshot" / "weights").mkdir(parents=True)
    (tmp_path / "snapshot" / "model.onnx").symlink_to(tmp_path / "blobs" / "model.onnx")
    (tmp_path / "snapshot" / "weights" / "w.bin").symlink_to(tmp_path / "blobs" / "weights" / "w.bin")
    assert len(origin.of(tmp_path / "snapshot" / "model.onnx", ("weights/w.bin",)).parts) == 2


def test_a_missing_companion_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.bin, which holds weights"):
        origin.of(write(tmp_path) / "model.onnx", ("nowhere.bin",))


def test_links_that_leave_a_savedmodel_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model" / "secret").symlink_to(tmp_path / "layers.py")
    with pytest.raises(InputError, match="a link to a file outside") as refused:
        origin.of(tmp_path / "model")
    assert "cp -rL" in refused.value.fix


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two models that differ in their weights."""
    folder = tmp_path_factory.mktemp("models")
    return tuple(networks.classifier(folder / f"{n}.tflite", logits=n).read_bytes() for n in (1.0, 2.0))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One session's workers for all, each test with a cache of its own."""
    with Session(Store(tmp_path_factory.mktemp("cache")), tmp_path_factory.mktemp("log") / "log.txt") as running:
        yield running


def built(session: Session, model: Path) -> bytes:
    wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=str(model.parent / "out"))
    (result,) = build(session, wanted, model)
    if result.error is not None:
        raise result.error
    return (result.folder / "model_float32.tflite").read_bytes()


def replace(model: Path, content: bytes) -> None:
    aside = model.with_suffix(".new")
    aside.write_bytes(content)
    aside.replace(model)


@pytest.fixture
def rights(session: Session, files: tuple[bytes, bytes], tmp_path: Path) -> tuple[bytes, ...]:
    """What each of the two models becomes, without a cache."""
    made = []
    for i, content in enumerate(files):
        session.store = Store(tmp_path / f"clean-{i}")
        (tmp_path / "model.tflite").write_bytes(content)
        made.append(built(session, tmp_path / "model.tflite"))
        session.store.close()
    assert made[0] != made[1]
    return tuple(made)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("method", ["describe", "to_waist", "run"])
def test_a_model_that_is_replaced_in_a_step_spoils_no_answer(
    method: str, moment: str, session: Session, files: tuple[bytes, bytes], rights: tuple[bytes, ...],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, real = tmp_path / "model.tflite", session._call
    replace(model, files[0])
    session.store = Store(tmp_path / "cache")

    def call(room: str, leaf: str, name: str, /, **arguments: Any) -> Any:
        if (room, name) != ("sources", method):
            return real(room, leaf, name, **arguments)
        if moment == "before":
            replace(model, files[1])
        made = real(room, leaf, name, **arguments)
        replace(model, files[1])
        return made

    with monkeypatch.context() as patched:
        patched.setattr(session, "_call", call)
        with pytest.raises(InputError, match=r"model\.tflite changed while it was read"):
            built(session, model)
    for content, right in zip(files, rights, strict=True):
        replace(model, content)
        assert built(session, model) == right
    session.store.close()


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4])
def test_a_model_that_is_replaced_at_any_moment_spoils_no_answer(
    delay_s: float, session: Session, files: tuple[bytes, bytes], rights: tuple[bytes, ...], tmp_path: Path
) -> None:
    model = tmp_path / "model.tflite"
    replace(model, files[0])
    session.store = Store(tmp_path / "cache")
    other = threading.Thread(target=lambda: (time.sleep(delay_s), replace(model, files[1])))
    other.start()
    try:
        assert built(session, model) in rights
    except InputError as error:
        assert "changed while it was read" in error.problem  # noqa: PT017  either end is right
    other.join()
    for content, right in zip(files, rights, strict=True):
        replace(model, content)
        assert built(session, model) == right
    session.store.close()


def test_samples_that_change_while_they_are_read_are_refused(
    session: Session, files: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, real = tmp_path / "model.tflite", tmp_path / "data.npz", session._call
    model.write_bytes(files[0])
    np.savez(data, np.random.default_rng(0).random((8, 1, 8, 8, 3), np.float32))
    kept = tmp_path / "kept.npz"
    shutil.copy(data, kept)

    def call(room: str, *given: Any, **named: Any) -> Any:
        answer = real(room, *given, **named)
        if room == "samples":
            np.savez(data, np.ones((8, 1, 8, 8, 3), np.float32))
        return answer

    session.store = Store(tmp_path / "cache")
    wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=str(tmp_path / "out"), eval=str(data))
    with monkeypatch.context() as patched:
        patched.setattr(session, "_call", call)
        with pytest.raises(InputError, match=r"data\.npz changed while it was read"):
            build(session, wanted, model)
    shutil.copy(kept, data)
    (result,) = build(session, wanted, model)
    assert result.error is None
    session.store.close()
