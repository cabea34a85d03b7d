"""What `edgekit profile` and `edgekit devices` say of boards that answer, that lack something, and that are strange."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit import cli, config
from edgekit.nouns.profile import DeviceConfig
from tests.drivers.ssh.server import bare

Make = Callable[..., DeviceConfig]


@pytest.fixture
def edgekit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in a folder and with settings of its own: exit code, output, screen."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "EDGEKIT_CONFIG": tmp_path / "config",
        "EDGEKIT_CACHE": tmp_path / "cache",
        "COLUMNS": 400,
        "NO_COLOR": 1,
    }.items():
        monkeypatch.setenv(name, str(value))

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run(list(words))
        seen = capfd.readouterr()
        return code, seen.out, seen.err

    return run


def test_a_board_is_added_and_checked(edgekit: Callable[..., tuple[int, str, str]], board: Make) -> None:
    made = board()
    flags = {"host": made.host, "user": made.user, "port": made.port, "key": made.key, "python": made.python}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    code, out, _ = edgekit("devices", "add", "bench", *words, "--known-hosts", str(made.known_hosts), "--json")
    assert code == 0
    assert json.loads(out)["usable"]
    assert config.devices()["bench"] == made
    code, out, screen = edgekit("devices", "check", "bench", "--json")
    assert (code, json.loads(out)["runtimes"]["ai-edge-litert"]) == (0, "2.1.2")
    assert "bench" in screen


def test_a_board_without_a_runtime_ends_with_exit_3_and_pips_line(
    edgekit: Callable[..., tuple[int, str, str]], board: Make, network: tuple[Path, Path], tmp_path: Path
) -> None:
    python = bare(tmp_path / "bare", "numpy")
    config.write_device("bench", board(python=python))
    code, _, screen = edgekit("profile", str(network[0]), "--device", "bench", "--quick")
    assert code == 3
    assert "cannot be used: No runtime there runs .tflite files." in screen
    assert f"{python} -m pip install ai-edge-litert numpy" in screen
    assert edgekit("devices", "check", "bench")[0] == 3


def test_a_strange_board_ends_with_exit_5_and_the_commands_that_help(
    edgekit: Callable[..., tuple[int, str, str]], board: Make, network: tuple[Path, Path], tmp_path: Path
) -> None:
    config.write_device("bench", msgspec.structs.replace(board(), known_hosts=str(tmp_path / "none")))
    code, _, screen = edgekit("profile", str(network[0]), "--device", "bench", "--quick")
    assert code == 5
    assert "The host key of 127.0.0.1 is not known." in screen
    assert "fix: ssh-keyscan -p " in screen
