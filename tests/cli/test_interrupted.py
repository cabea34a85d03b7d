"""A build of two targets that is interrupted, or in which a library of one target crashes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import guests, networks
from tests.waiting import until
from tests.watchdog import children

BACKEND = '''
import os, signal, time
from pathlib import Path
from edgekit.backends import Backend

class Rogue(Backend):
    """Writes half a file, and then does not come to an end, or crashes as a native library does."""
    precisions = ("float32",)
    def build(self, job, file, out):
        (out / file).write_bytes(b"half a file")
        Path(os.environ["TMPDIR"], "begun").touch()
        if HOW == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(600)
    def run(self, artifact, signature, inputs, outputs):
        raise NotImplementedError
'''

WITH_SIGINT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
from edgekit.cli import main
main()
"""


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a model, and targets of which those of a guest ``hang`` or ``crash``."""
    desk = tmp_path / "desk"
    desk.mkdir()
    networks.classifier(desk / "net.tflite")
    backends = {"hanging": "hangs", "other": "hangs", "crashing": "crashes"}
    guests.installed(
        tmp_path / "site",
        {f"guest_{name}": f'HOW = "{how}"\n{BACKEND}' for name, how in backends.items()},
        "[edgekit.backends]\n" + "\n".join(f"{name} = guest_{name}" for name in backends),
    )
    for name in backends:
        guests.target(desk / "targets" / f"{name}.toml", backend=name, precision="float32")
    guests.target(desk / "targets" / "whole.toml", backend="tflite", precision="float32")
    return desk


def started(desk: Path, *targets: str) -> subprocess.Popen[str]:
    """A build in a process group of its own, as a terminal starts it."""
    place = desk.parent
    (place / "tmp").mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(place / "site"), str(Path(__file__).parents[2])]),
        "EDGEKIT_CACHE": str(place / "cache"),
        "TMPDIR": str(place / "tmp"),
    }
    words = ["build", "net.tflite", *(word for target in targets for word in ("-t", target))]
    return subprocess.Popen(
        [sys.executable, "-c", WITH_SIGINT, *words],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hanging(desk: Path) -> int:
    """How many builds have written their half of a file."""
    return sum(path.read_bytes() == b"half a file" for path in desk.parent.rglob("model.tflite") if path.is_file())


@pytest.mark.parametrize(("how", "whom"), [(signal.SIGINT, "all"), (signal.SIGINT, "one"), (signal.SIGTERM, "one")])
def test_an_interrupted_build_of_two_targets_leaves_nothing(how: signal.Signals, whom: str, desk: Path) -> None:
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    process = started(desk, "hanging", "other")
    try:
        until(lambda: hanging(desk) == 2 or process.poll() is not None)
        below = children(process.pid)
        assert len(below) >= 2
        if whom == "all":  # as Ctrl-C in a terminal
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not out
    assert {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()} == before
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert not hanging(desk)
    assert not list((desk.parent / "tmp").iterdir())


def test_a_crash_of_a_targets_library_leaves_the_other_target_built(desk: Path) -> None:
    process = started(desk, "crashing", "whole")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "crashing crashed while building the file (SIGSEGV" in err
    assert "Traceback" not in err
    assert {path.name for path in (desk / "dist/net").iterdir()} == {"whole"}
    manifest = json.loads((desk / "dist/net/whole/manifest.json").read_text())
    assert manifest["artifacts"][0]["verification"]["verdict"] == "pass"
    assert not hanging(desk)
