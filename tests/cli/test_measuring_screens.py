"""What a user sees of devices and of wrong measurements; ``pytest --update-golden`` writes it anew."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit import cli
from edgekit.cli import devices
from edgekit.nouns import leaves
from tests import networks
from tests.drivers.adb import standin
from tests.report.test_profile_screens import FULL

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "measuring"

SCREENS = {
    "no_file": ["profile", "nope.tflite"],
    "no_artifact_folder": ["profile", "folder"],
    "a_source": ["profile", "model.keras"],
    "text": ["profile", "text.tflite"],
    "no_network": ["profile", "notes.txt"],
    "no_such_cores": ["profile", "model.tflite", "--quick", "--cores", "4000"],
    "truncated": ["profile", "truncated.tflite", "--quick"],
    "unknown_device": ["profile", "model.tflite", "--device", "locl"],
    "unknown_meter": ["profile", "model.tflite", "--quick", "--meter", "rappl"],
    "no_binary": ["profile", "model.tflite", "--benchmark-binary", "nope"],
    "unknown_delegate": ["profile", "model.tflite", "--delegate", "xnnpak"],
    "samples_do_not_fit": ["profile", "model.tflite", "--quick", "--input", "wrong.npy"],
    "compare_one": ["compare", "model.tflite"],
    "compare_text": ["compare", "a.json", "a.json"],
    "compare_mixed": ["compare", "one.json", "model.tflite"],
    "compare_recorded_elsewhere": ["compare", "one.json", "other.json", "--device", "nosuch"],
    "compare_recorded_anew": ["compare", "one.json", "other.json", "-o", "profiles"],
    "add_without_host": ["devices", "add", "pi5"],
    "add_without_port": ["devices", "add", "mcu", "--kind", "serial"],
    "add_without_address": ["devices", "add", "phone", "--kind", "adb"],
    "add_host_to_emulated": ["devices", "add", "arm64-emulated", "--host", "10.0.0.1"],
    "add_host_and_port": ["devices", "add", "mcu", "--serial-port", "/dev/ttyACM0", "--host", "10.0.0.1"],
    "add_local": ["devices", "add", "local"],
    "add_odd_kind": ["devices", "add", "pi5", "--kind", "telnet"],
    "add_odd_name": ["devices", "add", "p i", "--host", "127.0.0.1"],
    "remove_unknown": ["devices", "remove", "pi6"],
    "check_unknown": ["devices", "check", "nothing"],
    "verify_on_unknown": ["build", "model.tflite", "-t", "android", "--verify-on", "arm64-emulated"],
    "verify_on_unknown_in_project": ["build", "project"],
    "subverb": ["devices", "ad"],
}
"""Name → command line."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with good and bad files, as the current one."""
    desk = tmp_path / "desk"
    (desk / "folder").mkdir(parents=True)
    networks.classifier(desk / "model.tflite")
    (desk / "project").mkdir()
    (desk / "project" / "edgekit.toml").write_text(
        'model = "../model.tflite"\ntargets = ["android"]\nverify_on = "pi5"\n'
    )
    (desk / "truncated.tflite").write_bytes((desk / "model.tflite").read_bytes()[:1000])
    (desk / "text.tflite").write_text("hello")
    (desk / "notes.txt").write_text("hello")
    (desk / "a.json").write_text('{"a": 1}')
    for name in ("one", "other"):
        (desk / f"{name}.json").write_bytes(msgspec.json.encode(FULL))
    (desk / "model.keras").write_bytes(b"PK\x03\x04" + bytes(60))
    __import__("numpy").save(desk / "wrong.npy", __import__("numpy").zeros((3, 2, 2), "float32"))
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    with standin.server(tmp_path / "adb-home"):  # a server of its own, whatever hangs at this machine
        yield desk


@pytest.mark.parametrize("name", SCREENS)
def test_screen(name: str, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    before = set(desk.rglob("*"))
    code = cli.run(SCREENS[name])
    out, err = capfd.readouterr()
    seen = f"$ edgekit {' '.join(SCREENS[name])}\n{err}{out}exit code {code}\n"
    for path, word in ((desk, "DESK"), (desk.parent / "cache", "CACHE"), (desk.parent / "config", "CONFIG")):
        seen = seen.replace(str(path), word)
    seen = re.sub(r"choose from [\d, ]+", "choose from CORES", seen)
    seen = re.sub(r"[ \t]+$", "", seen, flags=re.MULTILINE)
    assert code in {2, 4, 5}
    assert "Traceback" not in seen
    assert "fix: " in seen
    assert set(desk.rglob("*")) == before
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")


def test_there_is_no_golden_without_its_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCREENS)


def test_recorded_profiles_of_one_name_are_told_apart(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compare", "one.json", "other.json", "--json"]) == 0
    out, err = capfd.readouterr()
    assert "between model_int8.tflite (A) and model_int8.tflite (B) on" in " ".join(err.split())
    found = json.loads(out)["comparison"]
    assert (found["a"], found["b"]) == ("model_int8.tflite (A)", "model_int8.tflite (B)")


@pytest.mark.parametrize(
    "words",
    [["--threads", "1"], ["--energy"], ["--quick"], ["--cores", "0"], ["--shape", "x=1"], ["--input", "wrong.npy"],
     ["--seed", "0"], ["--meter", "rapl"], ["--delegate", "none"], ["--require-full-delegation"],
     ["--benchmark-binary", "download"]],
)  # fmt: skip
def test_no_option_of_a_measurement_is_taken_for_recorded_profiles(
    words: list[str], desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compare", "one.json", "other.json", *words]) == 2
    assert f"at: {words[0]}\n" in capfd.readouterr().err


def test_every_kind_and_every_option_of_a_device_is_known() -> None:
    keys = [row.keys or frozenset() for row in leaves.DRIVERS.values()]
    assert frozenset.union(*keys) == {
        str(option.name) for option in devices.add.params if option.name not in {"name", "kind", "as_json"}
    }
    assert all(row.needed is None or row.needed[0] in (row.keys or ()) for row in leaves.DRIVERS.values())


def test_a_device_is_added_checked_and_removed(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = desk.parent / "config" / "devices.toml"
    file.parent.mkdir()
    file.write_text('# mine\n[devices.old]\nkind = "ssh"\nhost = "10.0.0.1"  # in the cellar\n')
    # Nothing listens on port 9 here: the board is configured all the same, and the screen says what is wrong.
    assert cli.run(["devices", "add", "pi5", "--host", "127.0.0.1", "--port", "9", "--user", "pi"]) == 5
    assert "pi5" in capfd.readouterr().err
    text = file.read_text()
    assert text.startswith("# mine\n")
    assert "# in the cellar" in text
    assert "[devices.pi5]" in text
    assert cli.run(["devices", "check", "pi5"]) == 5
    # What another one takes the place of is said, and nothing where nothing changes.
    again = ["devices", "add", "pi5", "--host", "127.0.0.1", "--port", "9"]
    capfd.readouterr()
    assert cli.run(again) == 5
    assert 'takes the place of: kind = "ssh", host = "127.0.0.1", user = "pi", port = 9' in capfd.readouterr().err
    assert cli.run(again) == 5
    assert "takes the place" not in capfd.readouterr().err
    assert cli.run(["devices", "remove", "pi5"]) == 0
    assert "pi5" not in file.read_text()
    assert "# in the cellar" in file.read_text()
