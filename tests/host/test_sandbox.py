"""What a sandboxed process can no longer do, tried in one; with a witness that it could before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.host import sandbox

TRIALS = """
import json, os, shutil, socket, subprocess, sys
from pathlib import Path
from edgekit.host import sandbox

own, other = Path(sys.argv[1]), Path(sys.argv[2])
walls = sandbox.enter(own, 1 << 30) if sys.argv[3] == "in" else ()


def tried(action):
    try:
        action()
    except (OSError, MemoryError):
        return False
    return True


def connect(kind):
    left = socket.socket(kind)
    left.close()


def linked():
    (own / "link").symlink_to(other / "kept")
    (own / "link").write_text("through a link")


done = {
    "own file": tried(lambda: (own / "file").write_text("x")),
    "own folder": tried(lambda: (own / "folder").mkdir()),
    "pair": tried(lambda: socket.socketpair()),
    "null": tried(lambda: Path(os.devnull).write_text("x")),
    "read": tried(lambda: (other / "kept").read_text()),
    "new file": tried(lambda: (other / "new").write_text("x")),
    "append": tried(lambda: (other / "kept").open("a")),
    "truncate": tried(lambda: os.truncate(other / "kept", 4)),
    "rename": tried(lambda: (other / "kept").rename(other / "moved")),
    "link": tried(linked),
    "hard link": tried(lambda: os.link(other / "kept", own / "hard")),
    "program": subprocess.run(["sh", "-c", f"echo x > {other}/shell"], stderr=subprocess.DEVNULL).returncode == 0,
    "tcp": tried(lambda: connect(socket.AF_INET)),
    "unix": tried(lambda: connect(socket.AF_UNIX)),
    "signal": tried(lambda: os.kill(os.getppid(), 0)),
    "memory": tried(lambda: bytearray(2 << 30)),
}
os.chmod(other / "kept" if (other / "kept").exists() else other / "moved", 0o777)
shutil.rmtree(own)
print(json.dumps([walls, done, own.exists()]))
"""

HARMLESS = {"own file", "own folder", "pair", "null", "read"}


def trials(tmp_path: Path, where: str) -> tuple[list[str], dict[str, bool], bool, Path]:
    own, other = tmp_path / where / "own", tmp_path / where / "other"
    for folder in (own, other):
        folder.mkdir(parents=True)
    (other / "kept").write_text("as it was")
    (other / "kept").chmod(0o600)
    program = [sys.executable, "-c", TRIALS, str(own), str(other), where]
    done = subprocess.run(program, capture_output=True, check=True, text=True)
    walls, tried, left = json.loads(done.stdout)
    return walls, tried, left, other


def test_a_sandboxed_process_only_reads_and_writes_in_its_own_folder(tmp_path: Path) -> None:
    _, free, _, _ = trials(tmp_path, "out")
    assert all(free.values()), "the trials must be things that a process can do"
    walls, tried, left, other = trials(tmp_path, "in")
    if "writes only in its own folder" not in walls or "offline" not in walls:
        pytest.skip(f"this system has no more walls than {walls}")
    assert {name for name, works in tried.items() if works} == HARMLESS
    assert not left
    assert [path.name for path in other.iterdir()] == ["kept"]
    assert (other / "kept").read_text() == "as it was"
    assert (other / "kept").stat().st_mode & 0o777 == 0o600


def test_one_more_folder_may_be_written_to(tmp_path: Path) -> None:
    for name in ("own", "also", "other"):
        (tmp_path / name).mkdir()
    program = (
        "import sys, pathlib; from edgekit.host import sandbox\n"
        "own, also, other = map(pathlib.Path, sys.argv[1:])\n"
        "walls = sandbox.enter(own, 1 << 31, also)\n"
        "(also / 'epoch').mkdir(); (also / 'epoch' / 'weights').write_text('1')\n"
        "try:\n    (other / 'x').write_text('1')\nexcept OSError:\n    print('kept out')\n"
        "print(sandbox.WALLS[1] in walls)\n"
    )
    places = [str(tmp_path / name) for name in ("own", "also", "other")]
    done = subprocess.run([sys.executable, "-c", program, *places], capture_output=True, check=True, text=True)
    assert (tmp_path / "also" / "epoch" / "weights").read_text() == "1"
    if done.stdout.endswith("True\n"):
        assert done.stdout.startswith("kept out")
        assert not list((tmp_path / "other").iterdir())


def test_what_is_in_force_is_found_by_trying() -> None:
    assert any("GiB of memory" in wall for wall in sandbox.in_force())
    assert sandbox.memory_limit() is None  # not in this process


def test_a_system_without_walls_is_told_so_and_goes_on(tmp_path: Path) -> None:
    if len(sandbox.in_force()) < len(sandbox.WALLS):
        pytest.skip("this system has not all walls")
    program = "import sys; from edgekit.host import sandbox; from pathlib import Path; {}; print(sandbox.enter(Path(sys.argv[1]), 1 << 30))"
    for without, left in (
        (
            "sandbox._ARCHITECTURES.clear()",
            "('without TCP', 'writes only in its own folder', 'at most 1.0 GiB of memory')",
        ),
        ("sandbox._landlocked = lambda *_: False", "('offline', 'at most 1.0 GiB of memory')"),
        ("sandbox._libc = None", "('at most 1.0 GiB of memory',)"),
    ):
        command = [sys.executable, "-c", program.format(without), str(tmp_path)]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip() == left


def test_the_default_leaves_memory_to_the_machine() -> None:
    assert 0 < sandbox.default_memory() < sandbox.machine_memory()


def test_the_default_is_no_more_than_the_shell_leaves() -> None:
    command = "import resource; from edgekit.host import sandbox; resource.setrlimit(resource.RLIMIT_AS, (2**30,) * 2)"
    told = subprocess.run(
        [sys.executable, "-c", f"{command}; print(sandbox.default_memory())"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert int(told.stdout) <= 2**30
