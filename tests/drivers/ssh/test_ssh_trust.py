"""Host keys and the user's own keys; every fix that is printed is run as it stands."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit.drivers.ssh import Ssh, connection
from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.nouns.profile import DeviceConfig
from tests.drivers.ssh.conftest import device_of
from tests.drivers.ssh.server import Server, Wire, keygen

Make = Callable[..., DeviceConfig]


def refused(driver: Ssh, config: DeviceConfig, kind: type[EdgekitError] = DeviceError) -> EdgekitError:
    """The error of a call; `find` says the same in words."""
    with pytest.raises(kind) as caught:
        driver.execute(device_of(config), ("true",))
    (found,) = driver.find({"bench": config})
    assert not found.usable
    assert found.problems == (f"{caught.value.problem.removesuffix('.')}; fix: {caught.value.fix}",)
    return caught.value


def run_fix(error: EdgekitError) -> None:
    """Run the commands of a fix, without the words around them."""
    command = error.fix.removeprefix("if it was set up anew: ").partition(", then ")[0]
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60)


def works(driver: Ssh, config: DeviceConfig) -> bool:
    return driver.execute(device_of(config), ("echo in",))[0].stdout == "in\n"


@pytest.mark.parametrize("there", [False, True])
def test_an_unknown_host_key_is_not_accepted(driver: Ssh, board: Make, tmp_path: Path, there: bool) -> None:
    known = tmp_path / "known hosts"
    if there:
        known.write_text("# nobody yet\n")
    config = board(known_hosts=str(known))
    error = refused(driver, config)
    assert error.problem == "The host key of 127.0.0.1 is not known."
    assert error.fix.startswith(f"ssh-keyscan -p {config.port} 127.0.0.1 >> '{known}'")
    assert known.exists() == there
    run_fix(error)
    assert works(driver, config)


@pytest.mark.parametrize("with_port", [False, True])
def test_a_wrong_host_key_is_not_accepted(driver: Ssh, board: Make, tmp_path: Path, with_port: bool) -> None:
    config = board(known_hosts=str(tmp_path / "known_hosts"))
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text()
    name = f"[127.0.0.1]:{config.port}" if with_port else "127.0.0.1"
    (tmp_path / "known_hosts").write_text(f"{name} {other}")
    error = refused(driver, config)
    assert "is not the one that was accepted before" in error.problem
    assert str(tmp_path / "known_hosts") in error.place
    run_fix(error)
    assert works(driver, config)


def test_a_board_without_a_key_of_the_accepted_kind_is_another(driver: Ssh, board: Make, tmp_path: Path) -> None:
    config = board(known_hosts=str(tmp_path / "known_hosts"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "other")], check=True)
    (tmp_path / "known_hosts").write_text(f"127.0.0.1 {(tmp_path / 'other.pub').read_text()}")
    assert "is not the one that was accepted before" in refused(driver, config).problem


def test_a_hashed_entry_is_understood(driver: Ssh, board: Make, server: Server, tmp_path: Path) -> None:
    known = shutil.copy(server.known_hosts, tmp_path / "known_hosts")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in Path(known).read_text()
    assert works(driver, board(known_hosts=str(known)))


def test_the_default_file_is_the_users(
    driver: Ssh, board: Make, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = board(known_hosts=None)
    assert str(tmp_path / ".ssh/known_hosts") in refused(driver, config).place
    (tmp_path / ".ssh").mkdir()
    shutil.copy(server.known_hosts, tmp_path / ".ssh/known_hosts")
    assert works(driver, config)


def test_no_setting_of_ssh_turns_the_check_off(
    driver: Ssh, board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n")
    assert "is not known" in refused(driver, board(known_hosts=None)).problem


def test_a_name_and_a_port_of_the_users_ssh_config_are_obeyed(
    driver: Ssh, board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = board()
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(f"Host bench-board\n  HostName 127.0.0.1\n  Port {config.port}\n")
    assert works(driver, msgspec.structs.replace(config, host="bench-board", port=22))
    (tmp_path / ".ssh/config").write_text("Port many\n")
    error = refused(driver, msgspec.structs.replace(config, host="other"), InputError)
    assert "~/.ssh/config" in error.problem


def test_an_unreadable_known_hosts_is_named(driver: Ssh, board: Make, tmp_path: Path) -> None:
    error = refused(driver, board(known_hosts=str(tmp_path)), InputError)
    assert error.place == str(tmp_path)
    (tmp_path / "known_hosts").write_bytes(b"\xff\xfe not text")
    refused(driver, board(known_hosts=str(tmp_path / "known_hosts")), InputError)


def test_a_key_that_the_board_does_not_know_is_refused(driver: Ssh, board: Make, tmp_path: Path) -> None:
    config = msgspec.structs.replace(board(), key=str(keygen(tmp_path / "stranger")))
    error = refused(driver, config)
    assert error.problem.startswith("The board does not accept the key for ")
    assert error.fix.startswith(f"ssh-copy-id -i {config.key} -p {config.port} {config.user}@127.0.0.1")


def test_a_key_file_that_is_none_is_named(driver: Ssh, board: Make, tmp_path: Path) -> None:
    config = board()
    missing = msgspec.structs.replace(config, key=str(tmp_path / "missing"))
    error = refused(driver, missing, InputError)
    assert f"ssh-keygen -t ed25519 -f {missing.key}" in error.fix
    public = msgspec.structs.replace(config, key=f"{config.key}.pub")
    assert ".pub" in refused(driver, public, InputError).fix


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real ssh-agent that holds nothing."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    pairs = dict(re.findall(r"(SSH_\w+)=([^;]+);", said))
    for name, value in pairs.items():
        monkeypatch.setenv(name, value)
    yield
    subprocess.run(["ssh-agent", "-k"], env=os.environ | pairs, capture_output=True, check=True)


def protect(config: DeviceConfig) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a long passphrase", "-f", str(config.key)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_protected_key_needs_the_agent(driver: Ssh, board: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    config = board()
    protect(config)
    error = refused(driver, config)
    assert error.problem == "The private key is protected by a passphrase, and no agent holds it."
    assert error.fix == f'eval "$(ssh-agent)" && ssh-add {config.key}'


def test_a_protected_key_that_the_agent_holds_works(driver: Ssh, board: Make, agent: None) -> None:
    config, other = board(), board()
    subprocess.run(["ssh-add", "-q", str(other.key)], check=True, capture_output=True)
    plain = Path(str(config.key)).read_text()
    protect(config)
    assert refused(driver, config).fix == f"ssh-add {config.key}"
    subprocess.run(["ssh-add", "-q", "-"], input=plain, text=True, check=True, capture_output=True)
    assert works(driver, config)


def test_without_a_file_the_agents_keys_are_tried(driver: Ssh, board: Make, agent: None) -> None:
    config = board()
    subprocess.run(["ssh-add", "-q", str(config.key)], check=True, capture_output=True)
    assert works(driver, msgspec.structs.replace(config, key=None))


def test_a_board_that_is_off_is_told_from_one_that_is_not_there(
    driver: Ssh, board: Make, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = board()
    nowhere = msgspec.structs.replace(config, host="no-such-board.invalid")
    assert refused(driver, nowhere).problem == "There is no machine named no-such-board.invalid."
    wire.close()
    off = msgspec.structs.replace(config, port=wire.port)
    error = refused(driver, off)
    assert error.problem == f"Nothing answers on port {wire.port} of 127.0.0.1."
    assert "systemctl enable --now ssh" in error.fix


def test_boards_that_say_nothing_are_given_up_together(
    driver: Ssh, board: Make, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOGIN_S", 5.0)
    wire.frozen.set()
    good = board()
    silent = {f"silent{i}": msgspec.structs.replace(good, port=wire.port, python=f"python{i}") for i in range(4)}
    found = driver.find(silent | {"good": good})
    assert [device.usable for device in found] == [False] * 4 + [True]
    assert all("does not answer as an SSH server in time" in device.problems[0] for device in found[:4])
