"""Networks that go through a recipe before files are made of them."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.config import Project, project
from edgekit.engine import registry, unfinished
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError, Unsupported
from edgekit.host import events
from edgekit.nouns.recipe import FineTune, Prune, Weighed
from edgekit.nouns.results import Result
from edgekit.steps import passing
from edgekit.verbs import build, compress, diagnose
from edgekit.verbs.compress import Compressed
from edgekit.verbs.diagnose import DiagnosisRequest
from edgekit.verbs.planning import plan
from edgekit.waist import graph
from tests import networks
from tests.verbs.test_flow import DIGITS, MODEL, Watch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kept_workers")]

RECIPE = '[[passes]]\npass = "finetune"\nepochs = 1\n[[passes]]\npass = "prune"\nepochs = 0\nsparsity = 0.25\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "own.toml").write_text(RECIPE)
    return folder


def wanted(place: Path, **changes: Any) -> Project:
    return msgspec.structs.replace(project(DIGITS), recipe=str(place / "own.toml"), **changes)


def ran(place: Path, verb: Any, found: Project, *more: Any) -> tuple[Any, Watch]:
    watch = Watch()
    with Session(Store(place / "cache"), place / "log.txt", watch) as session:
        return verb(session, found, MODEL, *more), watch


@pytest.fixture(scope="module")
def made(place: Path) -> tuple[Compressed, Watch]:
    return ran(place, compress.compress, wanted(place), place / "out.tflite")


@pytest.fixture(scope="module")
def built(place: Path, made: tuple[Compressed, Watch]) -> tuple[Result, Watch]:
    found = wanted(place, targets=("android", "openvino-cpu"), precision="float16", output_folder=str(place / "out"))
    (result, other), watch = ran(place, build.build, found)
    assert result.error is None, result.error
    assert other.error is None, other.error
    return result, watch


def test_what_is_written_went_through_all_passes(place: Path, made: tuple[Compressed, Watch]) -> None:
    first, second = made[0].passes
    assert (type(first.settings), type(second.settings)) == (FineTune, Prune)
    assert len(first.epochs) == 1
    assert first.after == second.before
    assert second.after.zeros == pytest.approx(0.25, abs=0.05)
    assert second.after.gzip_bytes < first.after.gzip_bytes
    assert first.before.sqnr_db is None or first.before.sqnr_db > 60
    assert first.after.sqnr_db is not None
    assert {operator.name for operator in graph.read(place / "out.tflite")[0].operators} >= {"CONV_2D"}


def test_nothing_unfinished_is_left(place: Path, made: tuple[Compressed, Watch]) -> None:
    assert not list((place / "cache" / unfinished.FOLDER).iterdir())


def test_a_build_goes_on_from_the_passes_that_are_done(built: tuple[Result, Watch]) -> None:
    result, watch = built
    assert {"finetune of model.keras", "prune of model.keras"} <= set(watch.cached)
    assert result.manifest is not None
    (file,) = result.manifest.artifacts
    assert [step.what for step in file.lineage if step.what in {"finetune", "prune"}] == ["finetune", "prune"]
    assert result.manifest.recipe.recipe == "own"
    assert [report.settings for report in result.manifest.passes] == list(result.manifest.recipe.passes)
    assert result.manifest.training is not None


def test_a_trained_float_file_is_judged_as_integers_are(built: tuple[Result, Watch]) -> None:
    assert built[0].manifest is not None
    (file,) = built[0].manifest.artifacts
    assert file.verification is not None
    assert file.verification.sqnr_db is not None
    assert file.verification.threshold_db == 15.0
    assert file.verification.sqnr_db < 60


def test_diagnose_asks_for_the_network_that_was_trained(place: Path, built: tuple[Result, Watch]) -> None:
    asked = DiagnosisRequest(artifact=place / "out" / "android")
    with pytest.raises(InputError, match="the recipe own left of model"):
        ran(place, lambda session, _project, _model: diagnose.diagnose(session, asked), Project())


def test_a_teacher_of_another_form_is_refused(place: Path, tmp_path: Path) -> None:
    teacher = networks.classifier(tmp_path / "teacher.tflite")
    with pytest.raises(InputError, match=r"teacher\.tflite cannot be the teacher of model\.keras: its input"):
        ran(
            place,
            build.build,
            wanted(place, targets=("android",), teacher=str(teacher), output_folder=str(tmp_path / "out")),
        )


def test_samples_that_do_not_fit_are_refused_before_anything_is_trained(place: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros((4, 3), np.float32))
    with pytest.raises(InputError):
        ran(place, compress.compress, wanted(place, data=str(tmp_path / "other.npz")), tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()


@pytest.mark.parametrize("verb", [build.build, compress.compress])
def test_integers_are_no_source_whatever_samples_there_are(verb: Any, place: Path, tmp_path: Path) -> None:
    """Samples of the float network do not fit either; to convert them would help nobody."""
    path = networks.classifier(tmp_path / "float.tflite")
    job = networks.job(path, "int8", calibration=networks.samples(networks.signature(path), 16), io="int8")
    registry.leaf("backends", "tflite").build(job, "integers.tflite", tmp_path)
    np.savez(tmp_path / "data.npz", image=np.random.default_rng(0).standard_normal((64, 8, 8, 3)))
    found = wanted(place, data=str(tmp_path / "data.npz"), targets=("android",), output_folder=str(tmp_path / "out"))
    more = [tmp_path / "out.tflite"] if verb is compress.compress else []
    with (
        Session(Store(place / "cache"), place / "log.txt", Watch()) as session,
        pytest.raises(Unsupported, match="quantized already"),
    ):
        verb(session, found, tmp_path / "integers.tflite", *more)


def test_facts_that_a_pass_does_not_heed_do_not_tell_targets_apart() -> None:
    assert passing._heeded(FineTune(), {"channel_multiple": 8.0}) == {}


@pytest.mark.parametrize(
    ("precision", "trained", "told"),
    [
        ("int4", "int8", True),
        ("int4", "int4", False),
        ("float16", "int8", True),
        (None, "int8", False),
        (None, "int4", True),
    ],
)
def test_integers_that_are_trained_for_no_file_are_told(
    tmp_path: Path, precision: Any, trained: str, told: bool
) -> None:
    found = msgspec.structs.replace(
        wanted(tmp_path),
        recipe="qat",
        passes={"qat": {"precision": trained}},
        targets=("android",),
        precision=precision,
    )
    lines: list[str] = []

    class Listening(Watch):
        def tell(self, step: str, event: events.Event) -> None:
            if isinstance(event, events.Remark):
                lines.append(event.text)

    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt", Listening()) as session:
        build._tell_of_unused(session, found, plan(found, MODEL))
    assert [line.startswith(f"qat trains the integers of {trained} files") for line in lines] == [True] * told
    assert all((" are built" if " and " in line.partition("files, and ")[2] else " is built") in line for line in lines)


def test_tables_that_augmentations_read_decide_what_a_pass_makes(tmp_path: Path) -> None:
    table = tmp_path / "table=1.txt"
    table.write_text("3 4")
    names = (f"synonyms={table}", "drop=3", "swap", "synonyms=none.txt", "synonyms")
    assert passing._tables(FineTune(augmentation=names)) == [table]


@pytest.mark.parametrize(("rate", "lost"), [(1000.0, True), (1e-6, False)])
def test_what_training_ruined_is_told(place: Path, rate: float, lost: bool) -> None:
    recipe = place / f"rate{rate:g}.toml"
    recipe.write_text(f'[[passes]]\npass = "finetune"\nepochs = 1\nholdout = 0\nlearning_rate = {rate}\n')
    found = msgspec.structs.replace(wanted(place), recipe=str(recipe))
    done, _ = ran(place, compress.compress, found, place / "ruined.tflite")
    told = [warning for warning in done.passes[0].warnings if "computes little of what its source does" in warning]
    assert bool(told) is lost
    if lost:
        assert "train longer, or lower finetune.learning_rate (1000), or hold samples out" in told[0]


SOURCE = Weighed(parameters=1, macs=1, zeros=0.0, bytes=1, gzip_bytes=1)


@pytest.mark.parametrize(
    ("before_db", "after_db", "agreement", "lost"),
    [
        (None, -3.0, None, True),
        (None, -3.0, 0.1, True),
        (None, -3.0, 0.9, False),  # labels may make the outputs larger
        (None, 2.0, 0.1, True),
        (None, 4.0, 0.1, False),
        (None, None, None, False),
        (-5.0, -3.0, 0.1, False),  # it was lost before
    ],
)
def test_a_network_is_lost_if_half_of_an_output_is_error_and_its_choices_are_others(
    before_db: float | None, after_db: float | None, agreement: float | None, lost: bool
) -> None:
    before = msgspec.structs.replace(SOURCE, sqnr_db=before_db)
    after = msgspec.structs.replace(SOURCE, sqnr_db=after_db, agreement=agreement)
    assert bool(passing.lost(before, after, FineTune())) is lost
    assert all("train" in told for told in passing.lost(before, after, Prune(epochs=0)))
