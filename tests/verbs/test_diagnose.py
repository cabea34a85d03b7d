"""`edgekit diagnose`: which file, against which source, on which samples; and complaints."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit import cli
from edgekit.api import DiagnoseResult
from edgekit.backends.tflite.ranges import METHODS
from edgekit.errors import InputError
from edgekit.nouns.diagnosis import Help
from edgekit.waist import graph
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A source, its samples, and what was built of it for android."""
    folder = tmp_path_factory.mktemp("diagnose")
    source = networks.classifier(folder / "net.tflite")
    np.savez(folder / "samples.npz", image=networks.samples(networks.signature(source), 40)["source_image"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGEKIT_CONFIG", str(folder / "config"))
        edgekit.build("net.tflite", "android", calibration="samples.npz", output="out")
        yield folder


@pytest.fixture(scope="module")
def found(folder: Path) -> DiagnoseResult:
    return edgekit.diagnose(folder / "out")


def test_source_samples_and_file_are_found_by_the_manifest(found: DiagnoseResult, folder: Path) -> None:
    told = found.diagnosed
    assert Path(told.file) == folder / "out/model_int8.tflite"
    assert Path(told.source) == folder / "net.tflite"
    assert Path(told.samples_origin) == folder / "samples.npz"
    assert found.diagnosis.samples == 40
    assert not [note for note in told.notes if note.startswith("it ran on")]
    assert found.diagnosis.output_db is not None
    assert found.diagnosis.output_db > 20
    assert {row.operator for row in found.diagnosis.operators} >= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert "lowest SQNR" in " ".join(told.notes)


def test_the_worst_come_first_and_are_shown(found: DiagnoseResult) -> None:
    shares = [row.share or 0.0 for row in found.worst]
    assert shares == sorted(shares, reverse=True)
    text = str(found)
    assert found.worst[0].operator in text
    assert f"{found.worst[0].share:.1%}" in text


def test_node_data_names_the_tensors_of_the_file(found: DiagnoseResult) -> None:
    names = {tensor.name for tensor in graph.read(Path(found.diagnosed.file))[0].tensors}
    for value in ("share", "alone", "accumulated", "outputs"):
        data = found.node_data(value)
        assert set(data) == {"name", "results", "gradient"}
        assert data["results"]
        assert set(data["results"]) <= names
        assert all(set(entry) == {"value"} for entry in data["results"].values())
        assert [end["stop"] for end in data["gradient"]] == [0, 1]


def test_the_plot_names_the_worst(found: DiagnoseResult) -> None:
    drawn, worst = found.plot(), found.worst[0]
    assert drawn.startswith("<?xml")
    assert f"1  {worst.operator} {worst.index}: {worst.alone_db:.1f} dB alone" in drawn


def test_another_file_of_the_folder(folder: Path) -> None:
    assert edgekit.diagnose(folder / "out", file="float16").diagnosed.file.endswith("model_float16.tflite")
    with pytest.raises(InputError, match="holds no int16x8") as refused:
        edgekit.diagnose(folder / "out", file="int16x8")
    assert "model_int8.tflite (int8)" in refused.value.fix


def test_arrays_of_a_program_and_a_file_without_a_manifest(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "out/model_int8.tflite", tmp_path / "alone.tflite")
    with pytest.raises(InputError, match="no manifest beside it") as refused:
        edgekit.diagnose(tmp_path / "alone.tflite")
    assert "against" in refused.value.fix
    samples = np.load(folder / "samples.npz")["image"][:8]
    told = edgekit.diagnose(tmp_path / "alone.tflite", folder / "net.tflite", samples=samples).diagnosed
    assert told.diagnosis.samples == 8
    few = edgekit.diagnose(tmp_path / "alone.tflite", folder / "net.tflite", samples=samples, max_samples=3).diagnosed
    assert few.diagnosis.samples == 3
    assert "it ran on 3 of 8 samples: --max-samples takes more" in few.notes
    random = edgekit.diagnose(tmp_path / "alone.tflite", folder / "net.tflite").diagnosed
    assert "random values" in " ".join(random.notes)


def test_a_source_is_no_file_that_was_built(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"x")
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "net.keras").write_bytes(b"PK\x03\x04")
    for name in ("saved", "net.h5", "net.keras"):
        with pytest.raises(InputError, match=f"{name} is a model to build from") as refused:
            edgekit.diagnose(tmp_path / name)
        assert f"edgekit build {tmp_path / name} -t" in refused.value.fix


def test_the_command_line_prints_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--max-samples", "9", "--top", "2", "--value", "alone", "-o", "data.json", "--plot", "sqnr.svg"]
    assert cli.run(["diagnose", "out", "--json", *wanted]) == 0
    assert "SQNR along the network" in Path("sqnr.svg").read_text()
    out, err = capsys.readouterr()
    seen = json.loads(out)["diagnosis"]
    assert len(seen["operators"]) > 4
    assert seen["samples"] == 9
    assert "cost less" in err
    assert "alone" in json.loads((folder / "data.json").read_text())["name"]


def other(folder: Path, name: str) -> Path:
    """The same network with another name inside, and so another file."""
    content = (folder / "net.tflite").read_bytes()
    (folder / name).write_bytes(content.replace(b"image", b"imago"))
    return folder / name


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="was not built from this") as refused:
        edgekit.diagnose(folder / "out", other(folder, "other.tflite"))
    assert "net.tflite" in refused.value.fix
    shutil.copytree(folder / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="neither in the current folder") as refused:
        edgekit.diagnose(tmp_path / "out")
    assert "against" in refused.value.fix
    with pytest.raises(InputError, match="wants"):
        edgekit.diagnose(folder / "out", samples=np.zeros((4, 9, 9, 3), np.float32))
    (tmp_path / "out/model_int8.tflite").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="not the file that the manifest describes"):
        edgekit.diagnose(tmp_path / "out/model_int8.tflite", folder / "net.tflite")
    (tmp_path / "out/manifest.json").unlink()
    with pytest.raises(InputError, match="is no artifact folder"):
        edgekit.diagnose(tmp_path / "out")


def test_what_a_target_refuses_or_the_file_has_already_is_not_proposed(found: DiagnoseResult, folder: Path) -> None:
    def helps(result: DiagnoseResult) -> list[Help]:
        return [one for row in result.diagnosis.operators for one in row.helps]

    assert {"float32", "int16"} <= {one.remedy for one in helps(found)}
    file = folder / "out/manifest.json"
    kept = file.read_text()
    described = json.loads(kept)
    described["target"] = "edgetpu"
    for artifact in described["artifacts"]:
        artifact["notes"] = [f"quantized by LiteRT with {method} ranges, bias correction" for method in METHODS]
    try:
        file.write_text(json.dumps(described))
        bound = helps(edgekit.diagnose(folder / "out"))
        described["target"] = "one of theirs"
        file.write_text(json.dumps(described))
        unknown = helps(edgekit.diagnose(folder / "out"))
    finally:
        file.write_text(kept)
    assert bound == [
        msgspec.structs.replace(one, setting="") if one.remedy == "ranges" else one
        for one in helps(found)
        if one.remedy not in {"float32", "int16", "per channel"}
    ]
    assert len(unknown) == len(helps(found))
    assert not any(one.setting.startswith("ranges=") for one in unknown)


def test_a_file_of_integers_is_held_against_none(folder: Path) -> None:
    with pytest.raises(InputError, match="is quantized itself") as refused:
        edgekit.diagnose(folder / "out/model_int8.tflite", folder / "out/model_int8.tflite")
    assert "against=MODEL" in refused.value.fix


def test_a_file_that_rounds_nothing(folder: Path) -> None:
    with pytest.raises(InputError, match="nothing in it is rounded"):
        edgekit.diagnose(folder / "net.tflite", folder / "net.tflite")


def test_a_file_of_openvino_is_held_against_its_float_ir(folder: Path, tmp_path: Path) -> None:
    """Its weights are so few that float16 rounds none; tests/backends/openvino/test_openvino_diagnosis.py has what is found."""
    edgekit.build(folder / "net.tflite", "openvino-cpu", precision="float16", output=tmp_path)
    with pytest.raises(InputError, match="nothing in it is rounded"):
        edgekit.diagnose(tmp_path / "model_float16.xml", folder / "net.tflite")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.xml").write_text("<net/>")
    with pytest.raises(InputError, match="OpenVINO cannot read"):
        edgekit.diagnose(tmp_path / "other" / "model.xml", folder / "net.tflite")
