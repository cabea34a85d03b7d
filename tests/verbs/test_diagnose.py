"""`edgekit diagnose`: which file, against which source, on which samples; and complaints."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from tests.rewrites.test_interleaved import picked

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


FACTORS = np.geomspace(1, 60, 8).astype(np.float32)


def rewritten(path: Path, kind: str) -> Path:
    """Image [1, 8, 8, 8] → layers whose channels are far apart, with what a build rewrites between → [1, 8, 8, 8]."""
    net = networks.Network()

    def layer(x: int, seed: int, by: Any = 1, *, inputs: int = 8, activation: int = networks.RELU) -> int:
        kernel = (networks.weights(8, 1, 1, inputs, seed=seed) * by).astype(np.float32)
        held = [net.constant(f"k{seed}", kernel), net.constant(f"b{seed}", np.ones(8, np.float32))]
        options = {"padding": networks.SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        return net.operator(
            "CONV_2D", [x, *held], (1, 8, 8, 8), kind="Conv2DOptions", fusedActivationFunction=activation, **options
        )

    def turned(x: int, order: tuple[int, ...]) -> int:
        told = net.constant(f"order{len(net.subgraph.tensors)}", np.array(order, np.int32))
        return net.operator("TRANSPOSE", [x, told], (1, 8, 8, 8), kind="TransposeOptions")

    x = layer(
        net.input("image", (1, 8, 8, 8)), 1, FACTORS[:, None, None, None], activation=0 if kind == "turned" else 1
    )
    if kind == "shuffled":
        picks = [picked(net, x, first, 2) for first in (0, 1)]
        both = [layer(one, 2 + k, 1 / FACTORS[k::2], inputs=4) for k, one in enumerate(picks)]
        return net.save(path, net.operator("ADD", both, (1, 8, 8, 8), kind="AddOptions"))
    if kind == "turned":
        x = turned(net.operator("RELU", [turned(x, (0, 3, 1, 2))], (1, 8, 8, 8)), (0, 2, 3, 1))
    elif kind == "scaled":
        x = net.operator("MUL", [x, net.constant("by", FACTORS[::-1].copy())], (1, 8, 8, 8), kind="MulOptions")
    elif kind == "prelu":
        x = net.operator("PRELU", [x, net.constant("slopes", FACTORS / 80)], (1, 8, 8, 8))
    elif kind == "hard swish":
        x = net.operator("HARD_SWISH", [x], (1, 8, 8, 8), kind="HardSwishOptions")
    return net.save(path, layer(layer(x, 2, 1 / FACTORS), 3))


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        pytest.param("turned", True, marks=pytest.mark.study),
        ("turned", False),
        ("shuffled", True),
        pytest.param("scaled", False, marks=pytest.mark.study),
        ("prelu", True),
        ("hard swish", False),
    ],
)
def test_a_file_is_held_against_the_network_that_it_was_made_of(tmp_path: Path, kind: str, *, known: bool) -> None:
    """What rewrites a network keeps names for other values; held against the source, layers would be blamed for that."""
    source = rewritten(tmp_path / "net.tflite", kind)
    samples = np.random.default_rng(0).random((40, 8, 8, 8)).astype(np.float32)
    edgekit.build(source, "android", precision="int8", calibration=samples, output=tmp_path / "out")
    path = tmp_path / "out/model_int8.tflite"
    if not known:
        path = Path(shutil.copy(path, tmp_path / "alone.tflite"))
    found = edgekit.diagnose(path, source, samples=samples).diagnosis
    assert found.output_db is not None
    assert found.output_db > 25
    layers = [row for row in found.operators if row.operator == "CONV_2D"]
    assert len(layers) == 3, "none is left out"
    assert all(row.alone_db is None or row.alone_db > 25 for row in layers)
    assert not found.unmatched


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
