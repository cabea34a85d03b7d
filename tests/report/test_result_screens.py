"""What a build's last screen looks like where it is narrow."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from rich.console import Console

from edgekit.errors import InputError
from edgekit.nouns.base import FileDigest
from edgekit.nouns.manifest import ArtifactFile, Bundle, DataSet, Manifest
from edgekit.nouns.model import Model, Precision, Signature, SourceOptions
from edgekit.nouns.results import Result
from edgekit.nouns.target import BuildOptions
from edgekit.nouns.verification import Agreement, TaskMetric, Verification
from edgekit.report import screens

SIGNATURE = Signature(inputs=(), outputs=())


def file(precision: Precision, name: str, metric: TaskMetric | None) -> ArtifactFile:
    """A file of more than 100 KiB that agrees to more than 100 dB: the widest figures that are usual."""
    agreement = Agreement(output="y", identical=False, sqnr_db=105.1, max_abs_error=0.0, cosine=1.0, top1_agreement=1.0)
    judged = Verification(
        samples=64, samples_origin="digits.npz", outputs=(agreement,), sqnr_db=105.1, threshold_db=15.0,
        metric=metric, max_drop=None, verdict="pass", reason="",
    )  # fmt: skip
    return ArtifactFile(
        file=name, precision=precision, backend="tflite", use="", delegate=None, io=None,
        files={name: FileDigest(sha256="0" * 64, bytes=111 * 1024)}, signature=SIGNATURE, cost=None, verification=judged,
    )  # fmt: skip


def made(files: list[ArtifactFile], **data: DataSet) -> Manifest:
    model = Model(name="m", file="m.onnx", sha256="0" * 64, format="onnx", bytes=1, signature=SIGNATURE)
    return Manifest(
        edgekit="0", tools={}, created_utc="", source=model, recipe=BuildOptions(), source_options=SourceOptions(),
        target="android", artifacts=tuple(files), **data,
    )  # fmt: skip


def shown(files: list[ArtifactFile], width: int, **data: DataSet) -> list[str]:
    console = Console(width=width, record=True, file=Path("/dev/null").open("w"), markup=False)  # noqa: SIM115
    console.print(screens.results([Result("android", Path("dist/m/android"), manifest=made(files, **data))]))
    console.file.close()
    return [line.rstrip() for line in console.export_text().splitlines()]


TOP1 = TaskMetric(name="top1", samples=64, source=0.9944, artifact=0.9944, drop=0.0)


@pytest.mark.parametrize("metric", [None, TOP1], ids=["agreement", "metric"])
def test_names_of_files_are_whole_on_80_columns(metric: TaskMetric | None) -> None:
    names = {precision: f"model_{precision.replace('-', '_')}.tflite" for precision in get_args(Precision)}
    lines = shown([file(precision, name, metric) for precision, name in names.items()], 80)
    for name in names.values():
        (line,) = [line for line in lines if f" {name} " in line]
        assert line.endswith("pass")
        assert ("0.9944 → 0.9944" in line) == (metric is not None)
    assert ("top1" in lines[0]) == (metric is not None)


def test_a_precision_is_told_where_there_is_space_and_where_names_do_not_tell_it() -> None:
    named = file("dynamic-int8", "model_dynamic_int8.tflite", TOP1)
    assert "precision" in shown([named], 100)[0]
    assert "precision" not in shown([named], 80)[0]
    assert "precision" in shown([named, file("int8", "small.tflite", TOP1)], 80)[0]


def test_what_was_guessed_of_the_data_is_told_before_what_is_doubted() -> None:
    read = DataSet(origin="rows.csv", sha256="0" * 64, samples=9, used=9, notes=("column 1 was read as the label",))
    few = msgspec.structs.replace(read, notes=("cast",), warnings=("only 9 samples",))
    lines = shown([file("int8", "model_int8.tflite", None)], 80, calibration=few, evaluation=read)
    assert [line.strip() for line in lines if ": " in line and "tflite" not in line] == [
        "calibration: cast",
        "calibration: only 9 samples",
        "evaluation: column 1 was read as the label",
    ]


@pytest.mark.parametrize("explained", [True, False])
@pytest.mark.parametrize("bundled", [True, False])
def test_the_next_step_names_what_is_there(explained: bool, bundled: bool) -> None:
    manifest = made([file("int8", "model_int8.tflite", None)])
    code = Bundle(kind="android", name="M", artifact="model_int8.tflite", files={}) if bundled else None
    row = Result("android", Path("dist/m/android"), manifest=msgspec.structs.replace(manifest, integration=code))
    step = screens.next_step(row, explained=explained)
    assert ("report.html explains it" in step) is explained
    assert ("integration/README.md takes it into an app" in step) is bundled
    assert step.startswith("next, in dist/m/android/: ") is (explained or bundled)
    assert (
        screens.next_step(Result("android", Path("x"), error=InputError("", place="", fix="")), explained=False) == ""
    )
