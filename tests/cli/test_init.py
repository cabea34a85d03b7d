"""``edgekit init``: a file that is right as it stands, and right once its comments are taken off."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgekit import cli
from edgekit.config import project
from edgekit.nouns.description import ClassificationOutput, ImageInput, TensorInput
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")


def network(path: Path, *inputs: tuple[str, tuple[int, ...]]) -> Path:
    """A TFLite file that adds 1 to each of its inputs."""
    net = networks.Network()
    one = net.constant("one", np.ones((), np.float32))
    made = [net.operator("ADD", [net.input(name, shape), one], shape, name=f"out{i}", kind="AddOptions")
            for i, (name, shape) in enumerate(inputs)]  # fmt: skip
    net.save(path, *made)
    return path


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def uncommented(file: Path) -> None:
    """Take the comments off the tables, as a user does."""
    keys = r"\[\[|name|kind|size|channels|layout|range|mean|std|task|activation"
    file.write_text(re.sub(rf"^# ({keys})", r"\1", file.read_text(), flags=re.MULTILINE))


def test_an_images_size_is_read_off_the_model(desk: Path) -> None:
    network(desk / "m.tflite", ("image", (1, 24, 32, 3)))
    assert cli.run(["init", "m.tflite", "-t", "ios"]) == 0
    file = desk / "edgekit.toml"
    assert project(file).input == ()
    uncommented(file)
    made = project(file)
    assert (made.model, made.targets) == (str(desk / "m.tflite"), ("ios",))
    assert made.input == (ImageInput(name="image", size=(24, 32), channels="RGB", layout="NHWC", range=(0.0, 1.0)),)


def test_every_image_gets_its_own_table(desk: Path) -> None:
    network(desk / "m.tflite", ("left", (1, 8, 6, 1)), ("right", (1, 4, 4, 3)), ("other", (1, 7)))
    assert cli.run(["init", "m.tflite"]) == 0
    uncommented(desk / "edgekit.toml")
    made = project(desk / "edgekit.toml").input
    images = [one for one in made if isinstance(one, ImageInput)]
    assert [(one.name, one.size, one.channels) for one in images] == [
        ("left", (8, 6), "L"),
        ("right", (4, 4), "RGB"),
    ]
    assert made[2] == TensorInput(name="other")
    assert '"other": float32 [1, 7]' in (desk / "edgekit.toml").read_text()


def test_a_name_cannot_write_options(desk: Path) -> None:
    """What a stranger called a tensor or a file stays inside its string."""
    evil = 'x"]\nallow_unsafe = true\n["y'
    network(desk / 'a"b\n.tflite', (evil, (1, 8, 8, 3)))
    assert cli.run(["init", 'a"b\n.tflite']) == 0
    made = project(desk / "edgekit.toml")
    assert made.model == str(desk / 'a"b\n.tflite')
    assert not made.allow_unsafe


def test_a_model_that_cannot_be_read_says_why(desk: Path) -> None:
    (desk / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(40))
    assert cli.run(["init", "m.tflite"]) == 0
    assert "What goes in is not known yet" in (desk / "edgekit.toml").read_text()
    assert project(desk / "edgekit.toml").model == str(desk / "m.tflite")


def test_what_the_model_itself_bears_out_needs_no_comment_taken_off(desk: Path) -> None:
    """A first layer that divides by 255, and a softmax at the end."""
    net = networks.Network()
    x = net.input("photo", (1, 8, 8, 3))
    scaled = net.operator("MUL", [x, net.constant("s", np.float32(1 / 255))], (1, 8, 8, 3), kind="MulOptions")
    axes = net.constant("axes", np.array([1, 2], np.int32))
    mean = net.operator("MEAN", [scaled, axes], (1, 3), kind="ReducerOptions", keepDims=False)
    share = net.operator("SOFTMAX", [mean], (1, 3), name="share", kind="SoftmaxOptions", beta=1.0)
    net.save(desk / "m.tflite", share, scaled)
    assert cli.run(["init", "m.tflite"]) == 0
    made = project(desk / "edgekit.toml")
    (photo,) = made.input
    assert isinstance(photo, ImageInput)
    assert (photo.name, photo.size, photo.range) == ("photo", (8, 8), (0, pytest.approx(255)))
    assert made.output == (ClassificationOutput(name="share"),)
    assert '# task = "segmentation"' in (desk / "edgekit.toml").read_text()


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([(1, 10, 4), (1, 10, 3)], ['# task = "detection"', '# scores = "out1"']),
        ([(1, 84, 200)], ['# task = "detection"', "# transposed = true"]),
        ([(1, 17, 3)], ['# task = "keypoints"', '# point_format = "xys"']),
        ([(1, 64)], ['# task = "classification"']),
        ([(1, 1)], ['# task = "regression"']),
        ([(1, 32, 32, 5)], ['# task = "segmentation"']),
    ],
)
def test_what_is_only_likely_stands_as_a_comment(desk: Path, shapes: list[tuple[int, ...]], said: list[str]) -> None:
    net = networks.Network()
    x = net.input("x", (1,))
    made = [
        net.operator(
            "ADD", [net.constant(f"c{i}", networks.weights(*shape)), x], shape, name=f"out{i}", kind="AddOptions"
        )
        for i, shape in enumerate(shapes)
    ]
    net.save(desk / "m.tflite", *made)
    assert cli.run(["init", "m.tflite"]) == 0
    text = (desk / "edgekit.toml").read_text()
    assert all(any(line.startswith(part) for line in text.splitlines()) for part in said)
    assert project(desk / "edgekit.toml").output == ()
