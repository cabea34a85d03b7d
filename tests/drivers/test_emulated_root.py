"""Building the aarch64 system: where packages come from, what is missing, what an interruption leaves."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import runner
from edgekit.drivers.emulated import root
from edgekit.errors import DeviceError, MissingTool

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] https://tools.example/apt tools-bookworm main
deb [arch=amd64] http://mirror.example/debian bookworm main contrib
deb http://security.example/debian bookworm-security main
"""
DEB822 = """
Types: deb
# http://commented.example/debian
URIs: http://other.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
"""


@pytest.mark.parametrize(("name", "text"), [("sources.list", ONE_LINE), ("sources.list.d/debian.sources", DEB822)])
def test_the_mirror_is_that_of_this_machines_apt(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert root.mirror(tmp_path) == "http://mirror.example/debian"


def test_another_release_names_no_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    assert root.mirror(tmp_path) is None
    assert root.mirror(tmp_path / "nothing") is None


@given(st.text(max_size=200))
def test_any_sources_are_read(text: str) -> None:
    for file in (Path("sources.list"), Path("debian.sources")):
        for address, suites in root._entries(file, text):
            assert address
            assert isinstance(suites, list)


def test_what_is_missing_is_named_with_the_command_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(root, "SBIN", str(tmp_path))
    monkeypatch.setattr("edgekit.drivers.emulated.root.util.find_spec", lambda _: None)
    with pytest.raises(MissingTool) as caught:
        root.tools()
    assert caught.value.fix == "sudo apt-get install qemu-user-static debootstrap dpkg python3-pip"
    for name in ("qemu-aarch64", "dpkg", "pip3"):
        program(tmp_path, name, "exit 0")
    with pytest.raises(MissingTool) as caught:
        root.tools()
    assert caught.value.fix == "sudo apt-get install debootstrap"


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that make what the real ones would: a package, its content, the wheels."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("edgekit.drivers.emulated.root.util.find_spec", lambda _: None)
    program(folder, "qemu-aarch64-static", "exit 0")
    fetch = 'for last; do target=$kept; kept=$last; done; case "$last" in *://*) ;; *) target=$last;; esac\n'
    archives = (
        'mkdir -p "$target/var/cache/apt/archives"; touch "$target/var/cache/apt/archives/libc6_2.36-9%3a1_arm64.deb"'
    )
    program(folder, "debootstrap", fetch + archives)
    program(
        folder, "dpkg", 'mkdir -p "$3/usr/share/doc" "$3/usr/bin"; touch "$3/usr/bin/python3.11" "$3/usr/share/doc/x"'
    )
    program(folder, "pip", 'while [ "$1" != --target ]; do shift; done; mkdir -p "$2"; touch "$2/wheel"')
    return folder


def test_it_appears_whole_and_says_what_it_holds(
    stand_ins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = root.build(tmp_path / "cache" / "arm64")
    assert made.packages == {"libc6": "2.36-9:1"}
    assert root.read(tmp_path / "cache" / "arm64") == made
    assert sorted(path.name for path in (tmp_path / "cache" / "arm64").iterdir()) == ["ready.json", "usr", "wheels"]
    assert not (tmp_path / "cache" / "arm64" / "usr" / "share" / "doc").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["arm64"]
    assert capsys.readouterr().err.count("arm64 emulator: ") == 2


def test_a_failed_step_says_what_the_tool_said_and_leaves_nothing_that_looks_whole(
    stand_ins: Path, tmp_path: Path
) -> None:
    program(stand_ins, "debootstrap", "echo 'I: Retrieving InRelease'; echo 'E: Failed getting release file'; exit 1")
    with pytest.raises(DeviceError, match="debootstrap failed with code 1: E: Failed getting release file"):
        root.build(tmp_path / "arm64")
    assert root.read(tmp_path / "arm64") is None


def test_what_an_interrupted_one_fetched_is_used(stand_ins: Path, tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    left = (
        tmp_path
        / f"arm64.{runner.place_name(0).rsplit('-', 2)[0]}-{dead.stdout.strip()}-0"
        / "fetched"
        / "var/cache/apt/archives"
    )
    left.mkdir(parents=True)
    (left / "zlib1g_1.2_arm64.deb").touch()
    assert root.build(tmp_path / "arm64").packages == {"libc6": "2.36-9:1", "zlib1g": "1.2"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("arm64")] == ["arm64"]


def test_one_of_another_recipe_is_replaced(stand_ins: Path, tmp_path: Path) -> None:
    (tmp_path / "arm64").mkdir()
    old = root.Root(suite="bullseye", python="3.9", wheels=(), packages={})
    (tmp_path / "arm64" / "ready.json").write_bytes(msgspec.json.encode(old))
    assert root.read(tmp_path / "arm64") is None
    assert root.build(tmp_path / "arm64").suite == "bookworm"


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{")
    assert root.read(tmp_path) is None
