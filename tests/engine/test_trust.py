"""What a project's file may run: nothing that a person has not looked at."""

from pathlib import Path

import pytest

from edgekit import config
from edgekit.config import Project, toml
from edgekit.engine import trust

LOOKED_AT = {
    "model": "read as data",
    "targets": "data: names of files and numbers",
    "precision": "data",
    "io": "data",
    "calibration": "code, if module:function",
    "eval": "code, if module:function",
    "metric": "data",
    "max_drop": "data",
    "min_agreement": "data",
    "min_sqnr": "data",
    "effort": "data",
    "time_limit": "data: it can cost time",
    "shapes": "data",
    "custom_objects": "code",
    "keep_layout": "data",
    "allow_unsafe": "lets the model's code run",
    "calibration_samples": "data",
    "seed": "data",
    "require_compiled": "data",
    "embed_preprocessing": "data",
    "integration": "data",
    "sample_app": "data",
    "output_folder": "a place to write",
    "recipe": "data: it can cost time",
    "passes": "data",
    "qat": "data",
    "prune": "data",
    "prune_channels": "data",
    "data": "code, if module:function",
    "teacher": "read as data",
    "budget": "data",
    "input": "data",
    "metadata": "data",
    "output": "data",
    "profile": "data",
    "device": "a name, of the user's own device unless the project's is trusted",
    "quick": "data",
    "verify_on": "a name, as device",
    "devices": "programs, machines and keys",
    "allow_loss": "data",
    "min_mapped": "data",
    "max_memory": "data: it can cost memory",
    "max_seconds": "data: it can cost time",
    "constants": "data",
    "inputs": "data",
    "outputs": "data",
    "fuse_lstm": "data",
    "quantization": "data",
    "optimize_graph": "data",
}
"""Every key of a project, and what it can make edgekit do: a new one must be looked at, and asked for if it runs code."""


def test_every_key_of_a_project_was_looked_at() -> None:
    assert set(Project.__struct_fields__) <= set(LOOKED_AT)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config"


def request(folder: Path, text: str, *devices: str, said: tuple[str, ...] = ()) -> trust.TrustRequest | None:
    folder.mkdir(exist_ok=True)
    (folder / "edgekit.toml").write_text(text)
    return trust.request(folder / "edgekit.toml", config.project(folder), said, devices)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'model = "m.onnx"\ntargets = ["android"]\nmetric = "top1"',
        'calibration = "data.npz"\neval = "../test"',
        'output_folder = "dist"',
        "allow_unsafe = false",
        'verify_on = "pi5"\nprofile = true\n[devices.pi5]\nkind = "ssh"\npython = "./evil"',
    ],
)
def test_data_needs_no_trust(text: str, tmp_path: Path) -> None:
    assert request(tmp_path / "p", text) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('custom_objects = "layers:make"', "custom_objects"),
        ('metric = "judge:score"', "metric"),
        ('custom_objects = "whatever it is"', "custom_objects"),
        ('calibration = "data:samples"', "calibration"),
        ('eval = "a.b:c.d"', "eval"),
        ("allow_unsafe = true", "allow_unsafe"),
        ('output_folder = "../elsewhere"', "output_folder"),
        ('output_folder = "/etc/edgekit"', "output_folder"),
    ],
)
def test_what_runs_or_writes_elsewhere_needs_trust_unless_a_flag_decides(text: str, key: str, tmp_path: Path) -> None:
    asked = request(tmp_path / "p", text)
    assert asked is not None
    assert asked.effects[0].startswith(f"{key} = ")
    assert request(tmp_path / "p", text, said=(key,)) is None


def test_a_device_tells_what_it_reaches_or_runs(tmp_path: Path) -> None:
    table = '[devices.here]\nkind = "local"\npython = "./evil"\n'
    asked = request(tmp_path / "p", table, "here")
    assert asked is not None
    assert f"python = {toml.shown(str(tmp_path / 'p' / 'evil'))}" in asked.effects[0]


def test_trust_is_for_one_content(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "layers.py").write_text("import helper")
    (folder / "helper.py").write_text("")
    (folder / "m.keras").write_text("model")
    (folder / "evil").write_text("program")
    text = 'model = "m.keras"\ncustom_objects = "layers:make"\nallow_unsafe = true\n[devices.d]\nkind="local"\npython="./evil"'

    def granted() -> bool:
        asked = request(folder, text, "d")
        assert asked is not None
        return asked.granted

    assert not granted()
    asked = request(folder, text, "d")
    assert asked is not None
    asked.grant()
    assert granted()
    for name in ("layers.py", "helper.py", "m.keras", "evil"):
        before = (folder / name).read_text()
        (folder / name).write_text(f"{before}  # changed")
        assert not granted(), name
        (folder / name).write_text(before)
        assert granted()
    (folder / "unrelated.py").write_text("x")
    assert granted()
    text += "\n# another line"
    assert not granted()
    assert request(folder, text) != asked  # without the device it is another question


def test_a_record_holds_plain_text(tmp_path: Path, settings: Path) -> None:
    asked = request(tmp_path / "p", 'custom_objects = "a\\u001b[2J:b"')
    assert asked is not None
    asked.grant()
    (record,) = (settings / "trusted").iterdir()
    assert record.read_text().isprintable() or record.read_text().replace("\n", "").isprintable()


def test_a_project_never_overrides_the_users_own_devices(tmp_path: Path, settings: Path) -> None:
    settings.mkdir()
    (settings / "devices.toml").write_text('[devices.pi5]\nkind = "ssh"\nhost = "mine"\n')
    theirs = config.project(
        _write(tmp_path / "p", '[devices.pi5]\nkind = "ssh"\nhost = "theirs"\n[devices.b]\nkind = "adb"')
    )
    found = config.devices(theirs)
    assert found["pi5"].host == "mine"
    assert set(found) == {"pi5", "b"}


def _write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "edgekit.toml").write_text(text)
    return folder
