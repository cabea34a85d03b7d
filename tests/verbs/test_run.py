"""`edgekit run`: what a file finds in a picture, told as an app would."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit import cli
from edgekit.samples import painting
from edgekit.waist import metadata
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")

DESCRIPTION = """
model = "model.tflite"
targets = ["linux-arm64"]
precision = "float32"
[[input]]
kind = "image"
range = [0, 1]
fit = "letterbox"
[[output]]
name = "colour"
task = "classification"
labels = ["red", "green", "blue"]
top_k = 1
[[output]]
name = "pixels"
task = "segmentation"
labels = ["red", "green", "blue"]
layout = "NHWC"
[[output]]
name = "boxes"
task = "detection"
labels = ["left", "right"]
box_format = "cxcywh"
score_threshold = 0.5
"""

BOXES = [[0.25, 0.5, 0.5, 0.5, 0.9, 0.1], [0.75, 0.5, 0.25, 0.25, 0.2, 0.8], [0.5, 0.5, 1, 1, 0.3, 0.3]]


def network(path: Path) -> Path:
    """The mean colour of a picture, the picture itself, and boxes whose scores fade with its brightness."""
    net = networks.Network()
    picture = net.input("x", (1, 16, 16, 3))
    axes = net.constant("axes", np.array([1, 2], np.int32))
    colour = net.operator("MEAN", [picture, axes], (1, 3), name="colour", kind="ReducerOptions", keepDims=False)
    one = net.constant("one", np.ones((), np.float32))
    pixels = net.operator("MUL", [picture, one], (1, 16, 16, 3), name="pixels", kind="MulOptions")
    every = net.constant("every", np.array([1], np.int32))
    bright = net.operator("REDUCE_MAX", [colour, every], (1, 1), kind="ReducerOptions", keepDims=True)
    boxes = net.constant("candidates", np.array([BOXES], np.float32))
    found = net.operator("MUL", [boxes, bright], (1, 3, 6), name="boxes", kind="MulOptions")
    return net.save(path, colour, pixels, found)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, kept_workers: None) -> Any:
    folder = tmp_path_factory.mktemp("run")
    network(folder / "model.tflite")
    (folder / "edgekit.toml").write_text(DESCRIPTION)
    Image.fromarray(np.full((32, 16, 3), (0, 255, 0), np.uint8)).save(folder / "green.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        assert cli.run(["build", "-o", "built"]) == 0
        (folder / "edgekit.toml").unlink()  # the manifest says it all
        yield folder


def test_the_file_says_the_same_of_itself(desk: Path) -> None:
    file = desk / "built" / "model_float32.tflite"
    assert metadata.content_of(file) is not None
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt") == b"red\ngreen\nblue\n"
    (described,) = json.loads((desk / "built" / "manifest.json").read_text())["artifacts"]
    assert "metadata" in [step["what"] for step in described["lineage"]]
    assert described["verification"]["verdict"] == "pass"


@pytest.fixture
def ran(desk: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> Any:
        capfd.readouterr()
        assert cli.run(["run", *arguments, "--json"]) == code
        document = json.loads(capfd.readouterr().out)
        return document["error"] if code else document["runs"][0]

    return run


def test_a_pictures_colour_parts_and_boxes(ran: Any) -> None:
    """A green picture of 16×32 lies as 8×16 between black bars: half of the input."""
    found = ran("built", "-i", "green.png")
    colour, pixels, boxes = found["findings"]
    assert [c["label"] for c in colour["classes"]] == ["green"]
    assert colour["classes"][0]["score"] == pytest.approx(0.5)
    assert {c["label"]: c["share"] for c in pixels["classes"]} == {"green": 0.5, "red": 0.5}  # of equals the first
    assert boxes["boxes"] == []
    assert found["precision"] == "float32"


def test_boxes_are_told_and_drawn_in_the_pictures_own_pixels(ran: Any, desk: Path) -> None:
    Image.fromarray(np.full((320, 320, 3), (0, 255, 0), np.uint8)).save(desk / "large.png")
    found = ran("built/model_float32.tflite", "-i", "x=large.png", "-o", "found.png")
    first, second = found["findings"][2]["boxes"]
    assert (first["label"], first["score"]) == ("left", pytest.approx(0.9))
    ends = ("left", "top", "right", "bottom")
    assert [first[end] for end in ends] == pytest.approx([0, 80, 160, 240])
    assert [second[end] for end in ends] == pytest.approx([200, 120, 280, 200])
    drawn = np.asarray(Image.open(desk / "found.png"))
    assert tuple(drawn[240, 80]) == painting.colour(0)  # the frame of the first box
    assert tuple(drawn[160, 200]) == painting.colour(1)
    overlaid = (np.array([0, 255, 0]) + painting.colour(1)) / 2  # a pixel that is green, and called so
    np.testing.assert_allclose(drawn[300, 160], overlaid, atol=1)


def test_outputs_and_masks_are_written_as_arrays(ran: Any, desk: Path) -> None:
    ran("built", "-i", "green.png", "-o", "out.npz")
    with np.load(desk / "out.npz") as arrays:
        assert sorted(arrays) == ["boxes", "colour", "pixels", "pixels/mask"]
        assert arrays["colour"].shape == (1, 3)
        assert arrays["pixels/mask"].shape == (16, 16)
        assert (arrays["pixels/mask"][:, 4:12] == 1).all()


def test_arrays_are_the_networks_own_input(ran: Any, desk: Path) -> None:
    np.save(desk / "x.npy", np.full((2, 1, 16, 16, 3), [0.1, 0.2, 0.9], np.float32))
    found = ran("built", "-i", "x.npy")
    assert found["findings"][0]["classes"][0]["label"] == "blue"
    assert found["findings"][2]["boxes"][0]["left"] == pytest.approx(0)  # of the input, for want of a picture
    assert found["notes"] == ["x.npy: the first of 2 samples"]
    error = ran("built", "-i", "x.npy", "-o", "found.png", code=2)
    assert error["problem"] == "There is no picture to draw into."


def test_of_two_pictures_the_first_that_is_described_is_the_one_in_which_places_are_told(
    ran: Any, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is given first: the point in the middle of the input is in the middle of that picture."""
    net = networks.Network()
    far, near = net.input("far", (1, 8, 32, 3)), net.input("near", (1, 16, 16, 3))
    axes = net.constant("axes", np.arange(4, dtype=np.int32))
    means = [net.operator("MEAN", [x, axes], (), kind="ReducerOptions", keepDims=False) for x in (far, near)]
    both = net.operator("MUL", means, (), kind="MulOptions")
    middle = net.constant("middle", np.full((1, 1, 2), 0.5, np.float32))
    net.save(tmp_path / "two.tflite", net.operator("ADD", [middle, both], (1, 1, 2), name="points", kind="AddOptions"))
    (tmp_path / "edgekit.toml").write_text(
        'model = "two.tflite"\ntargets = ["linux-arm64"]\nprecision = "float32"\n'
        + "".join(f'[[input]]\nname = "{name}"\nkind = "image"\n' for name in ("near", "far"))
        + '[[output]]\ntask = "keypoints"\n'
    )
    for name, size in {"far": (64, 16), "near": (40, 20)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["build", "-o", "built"]) == 0
    for first, second in (("far", "near"), ("near", "far")):
        found = ran("built", "-i", f"{first}={first}.png", "-i", f"{second}={second}.png")
        (point,) = found["findings"][0]["points"]
        assert (point["x"], point["y"]) == (20, 10)


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        (["built", "-i", "nope.jpg"], "There is no file nope.jpg", "check the path"),
        (["built", "-i", "y=green.png"], "The model has no input y", "one of: x"),
        (["built", "-i", "x=green.png", "-i", "x=green.png"], "given twice", "--input x=PATH"),
        (["built", "-i", "green.png", "-o", "found.gif"], "neither a picture nor arrays", ".npz"),
        (["model.tflite", "-i", "green.png"], "not described by a manifest.json", "edgekit build"),
        (["built", "-i", "model.tflite"], "neither .npz nor .npy", "numpy.savez"),
    ],
)
def test_what_cannot_be_run_is_told(ran: Any, arguments: list[str], problem: str, fix: str) -> None:
    error = ran(*arguments, code=2)
    assert problem in error["problem"]
    assert fix in error["fix"]


def test_the_screen(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert cli.run(["run", "built", "-i", "green.png"]) == 0
    assert [line.split() for line in capfd.readouterr().out.splitlines()] == [
        ["model_float32.tflite,", "float32"],
        ["colour", "class", "score"],
        ["green", "0.5000"],
        ["pixels", "class", "share"],
        ["red", "50.0%"],
        ["green", "50.0%"],
        ["boxes", "class", "score", "left", "top", "right", "bottom"],
        ["no", "box", "above", "the", "threshold"],
    ]
