"""``edgekit init``: a file that is right as it stands, and right once its comments are taken off."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgekit import cli
from edgekit.config import project
from edgekit.nouns.description import ImageInput, TensorInput
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
