"""``--max-memory``: said on the command line or in a project, it bounds what reading a model may use."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from edgekit import cli, config
from edgekit.errors import InputError
from edgekit.host import sandbox
from tests.sources.test_keras_refusals import hdf5, legacy

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "docs" / "examples" / "digits" / "model.keras"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", [["inspect"], ["check", "-t", "android"]])
def test_a_size_that_is_none_or_too_little_is_refused(verb: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*verb, str(DIGITS), "--max-memory", "little"]) == 2
    assert "--max-memory 2G" in capfd.readouterr().err
    assert cli.run([*verb, str(DIGITS), "--max-memory", "10M"]) == 2
    assert "give 1G or more" in capfd.readouterr().err


def test_a_picture_beyond_the_limit_names_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = legacy({"class_name": "ReLU", "config": {"name": "r"}})
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 4000, 4000, 1]
    path = hdf5(tmp_path / "wide.h5", config)
    with h5py.File(path, "r+") as file:
        file.create_group("model_weights").attrs["layer_names"] = np.array([], "S1")
    assert cli.run(["inspect", str(path), "--max-memory", "1G"]) == 2
    assert "more than the limit of 1.0 GiB of memory" in " ".join(capfd.readouterr().err.split())


def test_a_project_may_say_it(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text('model = "model.keras"\nmax_memory = "2G"\n')
    assert config.project(tmp_path).max_memory == "2G"
    (tmp_path / "edgekit.toml").write_text('model = "model.keras"\nmax_memory = "much"\n')
    with pytest.raises(InputError, match="no size") as refused:
        config.project(tmp_path)
    assert "max_memory" in refused.value.place


def test_no_limit_is_more_than_the_machine_has() -> None:
    assert config.memory_bytes("900T", "--max-memory") == sandbox.machine_memory()
    assert config.memory_bytes("1G", "--max-memory") == 2**30
