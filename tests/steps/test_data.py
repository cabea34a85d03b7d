"""The data of a build: what decides it, when it is read, what of it is kept."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgekit import samples
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store
from edgekit.errors import InputError
from edgekit.nouns.budget import Demands
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.nouns.samples import Kept, Role
from edgekit.nouns.verification import Made
from edgekit.steps import conversion, data, evidence, sampling
from edgekit.waist.tensors import arrays

SPEC = TensorSpec(name="x", shape=(1, 4), dtype="float32", source_name="x", source_shape=(1, 4), source_dtype="float32")
SIGNATURE = Signature(inputs=(SPEC,), outputs=())


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as session:
        yield session


def saved(path: Path, count: int = 10, seed: int = 0) -> str:
    values = np.random.default_rng(seed).random((count, 1, 4), np.float32)
    np.savez(path, x=values, y=np.arange(count))
    return str(path)


def kept(session: Session, spec: str, most: int | None = None) -> Answer[Kept]:
    return sampling.take(session, sampling.read(session, spec, SIGNATURE, Description()), most)


def test_what_is_kept_is_what_a_worker_reads(session: Session, tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz")
    answer = kept(session, spec, most=4)
    wanted = samples.load(spec, SIGNATURE)
    assert answer.result == Kept(
        origin=spec,
        total=10,
        total_sha256=wanted.sha256,
        used=4,
        sha256=wanted.take(4).sha256,
        labelled=True,
        notes=wanted.notes,
    )
    assert np.array_equal(arrays(answer.folder / "samples")["x"], wanted.take(4).inputs["x"])
    labels = wanted.take(4).labels
    assert labels is not None
    assert np.load(answer.folder / "labels.npy").tolist() == labels.tolist()


def test_how_samples_were_read_is_told_where_it_had_to_be_guessed(session: Session, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("".join(f"{i},{i}.5,1,2,3\n" for i in range(6)))
    project = Project(calibration=str(table), eval=saved(tmp_path / "s.npz"))
    loaded = data.load(session, project, SIGNATURE)
    assert loaded.calibration is not None
    assert loaded.evaluation is not None
    told = loaded.calibration.described(("few samples",))
    assert told.notes == ("column 1 (unnamed) was read as the label",)
    assert told.warnings == ("few samples",)
    assert loaded.evaluation.described().notes == ()


def test_samples_in_the_cache_are_not_read_again(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = saved(tmp_path / "s.npz")
    first = kept(session, spec)
    monkeypatch.setattr(session, "_call", lambda *_: pytest.fail("read again"))
    again = kept(session, spec)
    assert again.from_cache
    assert again.result == first.result


def test_other_content_and_another_description_are_other_samples(session: Session, tmp_path: Path) -> None:
    spec = saved(tmp_path / "s.npz")
    first = kept(session, spec)
    assert not sampling.read(session, spec, SIGNATURE, Description(inputs=(ImageInput(name="x"),))).from_cache
    saved(tmp_path / "s.npz", seed=1)
    assert kept(session, spec).result.sha256 != first.result.sha256


def test_a_file_in_a_folder_that_changes_is_noticed(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"{i}.npy", np.full((1, 4), i, np.float32))
    first = kept(session, str(folder))
    np.save(folder / "1.npy", np.full((1, 4), 9, np.float32))
    second = kept(session, str(folder))
    assert (first.result.total, second.result.total) == (3, 3)
    assert first.result.sha256 != second.result.sha256


def test_the_same_samples_in_another_file_ask_later_steps_nothing_new(session: Session, tmp_path: Path) -> None:
    one, two = kept(session, saved(tmp_path / "a.npz")), kept(session, saved(tmp_path / "b.npz"))
    assert one.result.sha256 == two.result.sha256


COUNTED = """
import os, pathlib, numpy
from beside import VALUE

def rows():
    with open("calls", "a") as calls:
        print(os.getpid(), file=calls)
    print("chatter")
    for _ in range(5):
        yield numpy.full((1, 4), VALUE, numpy.float32)
"""


def test_a_function_is_called_once_in_another_process_until_its_code_changes(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counted_rows.py").write_text(COUNTED)
    (tmp_path / "beside.py").write_text("VALUE = 1.0")
    monkeypatch.chdir(tmp_path)
    first, some, again = (kept(session, "counted_rows:rows", most) for most in (None, 2, 2))
    assert (first.result.total, some.result.total, some.result.used) == (5, 5, 2)
    assert again.from_cache
    calls = Path("calls").read_text().split()
    assert len(calls) == 1
    assert int(calls[0]) != os.getpid()
    (tmp_path / "beside.py").write_text("VALUE = 22.0")
    with Session(session.store, tmp_path / "log.txt") as later:
        other = kept(later, "counted_rows:rows")
        assert not other.from_cache
        assert arrays(other.folder / "samples")["x"].max() == 22.0
    assert len(Path("calls").read_text().split()) == 2


@pytest.mark.parametrize(
    ("body", "line", "problem"),
    [
        (
            "class Own(Exception): pass\ndef rows():\n    yield numpy.ones(4)\n    raise Own('on fire')\n",
            5,
            "Own: on fire",
        ),
        ("def rows():\n    import sys\n    sys.exit(3)\n", 4, "SystemExit: 3"),
        ("def rows():\n    return (\n", 3, "SyntaxError"),
        ("def rows():\n    return numpy.ones(4) @ numpy.ones(5)\n", 3, "ValueError"),
    ],
    ids=["of its own", "exit", "syntax", "in a library"],
)
def test_a_functions_failure_names_the_users_line(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, line: int, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_rows.py").write_text(f"import numpy\n{body}")
    with Session(session.store, tmp_path / "log.txt") as run, pytest.raises(InputError, match=problem) as refused:
        kept(run, "failing_rows:rows")
    assert refused.value.place == f"failing_rows:rows, {tmp_path / 'failing_rows.py'}:{line}"


def test_random_samples_are_decided_by_seed_and_signature(session: Session) -> None:
    first, same, other = (data.drawn(session, SIGNATURE, seed) for seed in (0, 0, 1))
    assert first.result.used == data.RANDOM_SAMPLES
    assert same.from_cache
    assert other.result.sha256 != first.result.sha256


@pytest.mark.parametrize(("values", "used"), [(4, 16), (evidence.MOST_VALUES // 3 - 4, 3), (evidence.MOST_VALUES, 1)])
def test_a_network_of_huge_outputs_is_verified_on_few_samples(session: Session, values: int, used: int) -> None:
    output = msgspec.structs.replace(SPEC, shape=(1, values), source_shape=(1, values))
    wide = msgspec.structs.replace(SIGNATURE, outputs=(output,))
    assert data.drawn(session, wide, 0).result.used == used


def test_given_samples_are_fewer_too_unless_a_metric_needs_them_all(session: Session, tmp_path: Path) -> None:
    output = msgspec.structs.replace(SPEC, source_shape=(evidence.MOST_VALUES // 8,))
    wide = msgspec.structs.replace(SIGNATURE, outputs=(output,))
    named = saved(tmp_path / "a.npz")
    loaded = data.load(session, Project(eval=named), wide)
    assert loaded.evaluation is not None
    assert loaded.evaluation.kept.result.used == 7


@pytest.mark.parametrize("where", ["*", "android"])
def test_a_share_of_choices_is_taken_of_all_samples_whichever_key_demands_it(
    session: Session, tmp_path: Path, where: str
) -> None:
    output = msgspec.structs.replace(SPEC, name="y", source_name="y", source_shape=(1, 10))
    signature = msgspec.structs.replace(SIGNATURE, outputs=(output,))
    named = saved(tmp_path / "a.npz", count=data.AGREEMENT_SAMPLES + 6)
    demanding = {where: Demands(min_agreement=0.9)}

    def used(project: Project) -> int:
        loaded = data.load(session, project, signature)
        assert loaded.evaluation is not None
        return loaded.evaluation.kept.result.used

    assert used(Project(eval=named, targets=("android",))) == data.AGREEMENT_SAMPLES
    assert used(Project(eval=named, targets=("android",), budget=demanding)) == data.AGREEMENT_SAMPLES + 6


def test_a_metric_without_labels_is_refused(session: Session, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 1, 4), np.float32))
    with pytest.raises(InputError, match="holds no labels"):
        data.load(session, Project(eval=str(tmp_path / "x.npy"), metric="top1"), SIGNATURE)


def test_nothing_of_that_name_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="no file, folder or module:function"):
        kept(session, "nowhere.npz")


def test_the_linter_is_asked_anew_where_the_same_arrays_are_read_otherwise(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (1, 8, 8, 3)
    signature = Signature(inputs=(msgspec.structs.replace(SPEC, shape=shape, source_shape=shape),), outputs=())
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "i.png")
    np.savez(tmp_path / "same.npz", x=np.zeros((1, 8, 8, 3), np.float32))
    monkeypatch.setattr(conversion, "input_ranges", lambda *_: None)
    subject: Any = SimpleNamespace(network=SimpleNamespace(model=SimpleNamespace(signature=signature)))
    warned = {}
    for name in ("same.npz", "images"):
        loaded = data.load(session, Project(calibration=str(tmp_path / name)), signature)
        assert loaded.calibration is not None
        warned[name] = data._warnings(session, subject, loaded, loaded.calibration)
    assert "[[input]]" in warned["images"][0]
    assert warned["same.npz"] == warned["images"][1:]


@pytest.mark.parametrize("role", ["training", "calibration", "evaluation"])
def test_a_set_of_any_role_is_read_with_its_labels_and_shuffled_on_disk(
    role: Role, session: Session, tmp_path: Path
) -> None:
    named = saved(tmp_path / "s.npz", count=50)
    read = data.part(session, role, named, SIGNATURE, Description())
    assert (read.role, read.kept.result.used, read.kept.result.labelled) == (role, 50, True)
    opened = samples.Samples.opened(read.kept.result, read.kept.folder)
    order = np.random.default_rng(0).permutation(50)[:20]
    epoch = opened.rows(order, samples.Place(tmp_path))
    assert epoch.labels is not None
    assert epoch.labels.tolist() == order.tolist()
    np.testing.assert_array_equal(epoch.inputs["x"], np.load(named)["x"][order])
    for held in (opened.inputs["x"], opened.labels, epoch.inputs["x"], epoch.labels):
        assert isinstance(held.base, np.memmap)  # type: ignore[union-attr]
    again = data.part(session, "evaluation", named, SIGNATURE, Description(), most=20)
    assert again.every.from_cache  # roles share what was read
    assert again.kept.result.used == 20


@pytest.mark.parametrize(
    ("shape", "dtype", "shares", "chooses"),
    [
        ((1, 10), "float32", None, True),
        ((1, 1), "float32", None, False),
        ((1, 8, 8, 3), "float32", None, False),
        ((1, 8, 8, 3), "float32", 3, True),
        ((1, 40, 97), "float32", None, False),
        ((1, 97, 40), "float32", 1, True),
        ((1, 8, 8), "int64", None, True),
        ((1,), "bool", None, True),
        ((1, 8, 8, 3), "uint8", None, False),
    ],
)
def test_agreement_is_demanded_of_outputs_that_choose(
    shape: tuple[int, ...], dtype: str, shares: int | None, *, chooses: bool
) -> None:
    output = msgspec.structs.replace(SPEC, name="y", source_name="y", source_shape=shape, source_dtype=dtype)
    signature = msgspec.structs.replace(SIGNATURE, outputs=(output,))
    made = {"y": Made(shares=shares)}
    if chooses:
        data.require_choices(signature, made)
    else:
        with pytest.raises(InputError, match=r"No output of this model chooses.*behind a softmax.*\by \[1") as caught:
            data.require_choices(signature, made)
        assert caught.value.place == "--min-agreement"
