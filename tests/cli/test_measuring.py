"""Measuring as a user does it: real blocks on this host, what is recorded, and what an interruption leaves."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import cli
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.host.ownership import unheld
from edgekit.measure import agreement, protocol
from edgekit.measure.protocol import QUICK, Arm, Bench, Observations
from edgekit.measure.statistics import FEWEST_BLOCKS, compare
from edgekit.nouns.manifest import Manifest
from edgekit.verbs.build import build
from tests import networks
from tests.conftest import Disk
from tests.measure.test_energy_end_to_end import Package
from tests.meters.sensor_trees import rapl
from tests.waiting import until

pytestmark = pytest.mark.slow


def prepared(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A folder with two networks, as the current one; quick measurements are as short as can be."""
    desk = folder / "desk"
    desk.mkdir()
    networks.classifier(desk / "model.tflite")
    networks.classifier(desk / "twin.tflite")
    patch.chdir(desk)
    patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
    patch.setenv("EDGEKIT_CONFIG", str(folder / "config"))
    patch.setenv("EDGEKIT_SENSORS", str(folder / "none"))  # whatever this host has
    patch.setenv("COLUMNS", "100")
    short = msgspec.structs.replace(QUICK.run, warm_up_s=0.01, min_s=0.05)
    few = msgspec.structs.replace(QUICK.protocol, blocks=FEWEST_BLOCKS)
    for user in ("edgekit.cli.measuring", "edgekit.verbs.after_build"):
        patch.setattr(f"{user}.QUICK", replace(QUICK, run=short, protocol=few, idle_s=2.0))
    return desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return prepared(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact folder with one float32 file of the desk's model and its manifest."""
    folder = tmp_path_factory.mktemp("made")
    model = networks.classifier(folder / "model.tflite")
    with Session(Store(folder / "cache"), folder / "log.txt") as session:
        wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=str(folder / "built"))
        results = build(session, wanted, model)
    assert results[0].error is None
    return folder / "built"


@pytest.fixture
def artifact(made: Path, desk: Path) -> Path:
    """A copy of it, beside the model."""
    return shutil.copytree(made, desk / "built")


CORE = min(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Profiled:
    """An artifact folder that was measured: what was told, on the screen and as JSON."""

    folder: Path
    document: Any
    screen: str

    @property
    def file(self) -> Path:
        return self.folder.parent / self.document["profiles"][0]["file"]


@pytest.fixture(scope="module")
def profiled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Profiled:
    """One measurement for all tests that only look at it."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        folder = shutil.copytree(made, prepared(tmp_path_factory.mktemp("profiled"), patch) / "built")
        assert cli.run(["profile", "built", "--quick", "--model-energy", "--cores", str(CORE), "--json"]) == 0
    return Profiled(folder, json.loads(out.getvalue()), err.getvalue())


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = cli.run([*arguments, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out), err


def places(desk: Path) -> list[Path]:
    return [path for path in (desk.parent / "cache" / "places").glob("edgekit-*") if path.is_dir()]


def test_a_quick_profile_says_what_it_saw_and_what_it_could_not_and_keeps_every_sample(
    desk: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.cli.measuring.QUICK", replace(cli.measuring.QUICK, protocol=QUICK.protocol))
    code, document, screen = run(capfd, "profile", "model.tflite", "--quick", "--ops", "--energy", "--model-energy")
    assert code == 0
    [profile] = document["profiles"]
    latency = profile["latency"]
    assert 6 <= latency["blocks"] == len(profile["blocks"]) <= 10  # a busy machine ends a quick one early
    assert latency["median_ms"]["low"] <= latency["median_ms"]["value"] <= latency["median_ms"]["high"]
    with np.load(profile["raw"]) as raw:
        kept = [raw[f"latencies_ms_{i}"] for i in range(latency["blocks"])]
    for taken, block in zip(kept, profile["blocks"], strict=True):
        assert block["latency"]["median_ms"] == pytest.approx(float(np.median(taken)), rel=0.05)
    assert sum(block["latency"]["runs"] for block in profile["blocks"]) == latency["runs"]
    assert profile["operators"]
    assert profile["energy"] is None  # an estimate needs the MACs that only a manifest holds
    assert "rapl" in profile["unavailable"]["energy"]
    assert "energy unavailable" in screen
    assert "median" in screen
    assert "Traceback" not in screen
    plot = Path(profile["file"]).with_name(Path(profile["raw"]).stem + "-latency.svg")
    if latency["blocks"] == 10:
        assert plot.read_text().startswith("<?xml")
    else:
        assert not plot.exists()
        assert "and no plots, so that it stays quick" in " ".join(screen.split())
    assert not places(desk)
    assert (desk / "model.tflite").stat().st_nlink == 1


def test_a_profile_stands_in_the_manifest_and_outlives_a_rebuild(profiled: Profiled, desk: Path) -> None:
    artifact = shutil.copytree(profiled.folder, desk / "built")
    manifest = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert [profile.session for profile in manifest.profiles] == [profiled.document["profiles"][0]["session"]]
    kept = artifact / profiled.file.relative_to(profiled.folder)
    build = ["build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "-o", "built"]
    assert cli.run(build) == 0
    again = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert again.profiles == manifest.profiles
    assert kept.is_file()
    # Another network in the same place: the old profile stays on the disk, and is not claimed by the new file.
    (desk / "model.tflite").write_bytes(networks.classifier(desk / "other.tflite", logits=2.0).read_bytes())
    assert cli.run(build) == 0
    other = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert other.profiles == ()
    assert kept.is_file()


def test_a_build_can_measure_what_it_made(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "--profile", "--quick")
    code, document, screen = run(capfd, *arguments)
    assert code == 0
    [result] = document["results"]
    assert 6 <= result["manifest"]["profiles"][0]["latency"]["blocks"] <= 10
    assert "median" in screen


def test_two_files_are_measured_in_turns_and_judged_by_their_pairs(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document, screen = run(capfd, "compare", "model.tflite", "twin.tflite", "--quick")
    assert code == 0
    found = document["comparison"]
    assert 6 <= found["pairs"] <= 10
    assert found["low"] <= found["ratio"] <= found["high"]
    assert found["verdict"] in screen
    first, second = document["profiles"]
    assert first["session"] == second["session"]
    order = first["protocol"]["order"]
    assert sorted(order) == ["A"] * found["pairs"] + ["B"] * found["pairs"]
    assert [block["index"] for block in first["blocks"]] == [i for i, which in enumerate(order) if which == "A"]
    # The recorded profiles give the same verdict again.
    code, again, _ = run(capfd, "compare", first["file"], second["file"])
    assert code == 0
    assert again["comparison"]["ratio"] == found["ratio"]


def test_profiles_of_two_sessions_are_not_compared(
    profiled: Profiled, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = profiled.file, desk / "another.json"
    second.write_text(json.dumps(json.loads(first.read_text()) | {"session": "another"}))
    code, document, _ = run(capfd, "compare", str(first), str(second))
    assert code == 2
    assert "not measured in turns" in document["error"]["problem"]
    assert "edgekit compare A B" in document["error"]["fix"]


START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
from edgekit.cli import run
sys.exit(run(sys.argv[1:]))
"""


def started(desk: Path) -> subprocess.Popen[bytes]:
    """A long profile in a process of its own, once its first block runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "profile", "model.tflite"],
        cwd=desk, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not any((place / "block").is_dir() for place in places(desk)):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("how", "whom"),
    [
        ("SIGINT", "all"),
        pytest.param("SIGINT", "one", marks=[pytest.mark.study, pytest.mark.long]),  # as SIGTERM to one
        ("SIGTERM", "one"),
    ],
)
def test_an_interrupted_profile_leaves_nothing(how: str, whom: str, desk: Path) -> None:
    process = started(desk)
    number = getattr(signal, how)
    os.killpg(process.pid, number) if whom == "all" else process.send_signal(number)
    assert process.wait(30) == 130
    assert not places(desk)
    assert not (desk / "dist").exists()


def test_what_a_killed_profile_left_is_cleared_by_the_next(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    process = started(desk)
    process.kill()
    process.wait()
    [left] = places(desk)
    until(lambda: free(left))  # what the killed one had started ends half a second later
    assert run(capfd, "profile", "twin.tflite", "--quick")[0] == 0
    assert not places(desk)


def free(place: Path) -> bool:
    with unheld(place) as nobodys:
        return nobodys


class Busy(Package):
    """A processor that takes 3 W, 8 W while a timed block of a file runs on this host, and 23 W for that of the twin."""

    def __init__(self, root: Path, places: Path) -> None:
        super().__init__(root)
        self._orders = places

    @property
    def watts(self) -> float:
        with suppress(FileNotFoundError, ValueError):  # the block is just being cleared away, or there was none yet
            orders = self._orders.glob("edgekit-*/block/order.json")
            order = max(orders, key=lambda path: path.stat().st_mtime_ns).read_bytes()
            if b'"mode":"time"' in order:
                return 23.0 if b"twin.tflite" in order else 8.0
        return 3.0

    @watts.setter
    def watts(self, _: float) -> None: ...


@pytest.fixture
def package(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    """This host with a RAPL counter that runs, and short blocks."""
    monkeypatch.setattr("edgekit.cli.measuring.QUICK", replace(cli.measuring.QUICK, idle_s=1.5))
    monkeypatch.setattr("edgekit.measure.protocol.QUICK_ENERGY_S", 0.8)
    root = rapl(desk.parent / "sensors", limit=40_000_000)
    monkeypatch.setenv("EDGEKIT_SENSORS", str(root))
    busy = Busy(root, desk.parent / "cache" / "places")
    busy.start()
    yield busy
    busy.stop.set()
    busy.join()


@pytest.mark.study
def test_energy_is_measured_where_there_is_a_sensor(
    desk: Path, package: Busy, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document, screen = run(capfd, "profile", "model.tflite", "--quick", "--energy")
    assert code == 0
    [profile] = document["profiles"]
    energy = profile["energy"]
    assert energy["provenance"] == "rapl_package"
    assert "rapl_package" in screen
    # Package and DRAM together: 8 W busy and 3 W idle, and a quarter of it more.
    assert energy["average_power_w"] == pytest.approx(10.0, rel=0.2)
    assert energy["idle_power_w"] == pytest.approx(3.75, rel=0.2)
    assert energy["gross_mj"]["value"] == pytest.approx(
        energy["average_power_w"] * profile["latency"]["mean_ms"]["value"], rel=0.3
    )
    assert "-power.svg" in " ".join(path.name for path in Path(profile["file"]).parent.iterdir())


@pytest.mark.study
def test_two_files_are_compared_by_their_energy_too(
    desk: Path, package: Busy, capfd: pytest.CaptureFixture[str]
) -> None:
    code, document, screen = run(capfd, "compare", "model.tflite", "twin.tflite", "--quick", "--energy")
    assert code == 0
    found = document["comparison"]["energy"]
    # Above idle the twin takes four times the power, for as long as it takes beside the model.
    means = [[block["latency"]["mean_ms"] for block in profile["blocks"]] for profile in document["profiles"]]
    assert found["value"] == pytest.approx(compare(*means).ratio * (8 - 3) / (23 - 3), rel=0.15)
    assert found["low"] <= found["value"] <= found["high"] < 1
    assert found["n"] == FEWEST_BLOCKS
    assert "energy of model.tflite / energy of twin.tflite" in screen


def test_an_estimate_says_that_it_is_one(profiled: Profiled) -> None:
    assert profiled.document["profiles"][0]["energy"]["provenance"] == "modelled_estimate"
    assert "modelled_estimate" in profiled.screen


@pytest.fixture
def twin(desk: Path) -> str:
    """This host's Python once more, as a device of its own, so that outputs are compared."""
    (desk.parent / "config").mkdir()
    table = f'[devices.twin]\nkind = "local"\npython = "{sys.executable}"\n'
    (desk.parent / "config" / "devices.toml").write_text(table)
    return "twin"


BUILD = ("build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "-o", "built")


def test_a_build_is_verified_on_a_device(desk: Path, twin: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, document, screen = run(capfd, *BUILD, "--verify-on", twin)
    assert code == 0
    [artifact] = document["results"][0]["manifest"]["artifacts"]
    [judged] = artifact["device_verifications"]
    assert (judged["device"], judged["verdict"], judged["identical"]) == ("twin", "pass", True)
    assert (judged["kind"], bool(judged["kernels"])) == ("local", True)
    assert re.search(r"verified on \S+ kernels of twin( \(.+\))?: bit for bit", " ".join(screen.split()))
    # A rebuild of the same file keeps the evidence.
    code, again, _ = run(capfd, *BUILD)
    assert again["results"][0]["manifest"]["artifacts"][0]["device_verifications"] == [judged]


def test_verifying_nothing_is_no_success(desk: Path, twin: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, *BUILD, "--verify-on", "local")[0] == 2
    assert run(capfd, *BUILD, "--verify-on", "nobody")[0] == 2
    assert not (desk / "built").exists()  # a wrong device is noticed before the work

    table = desk.parent / "config" / "devices.toml"
    table.write_text(table.read_text() + '[devices.bare]\nkind = "local"\npython = "/nowhere/python"\n')
    code, document, _ = run(capfd, *BUILD, "--verify-on", "bare")
    assert code in {3, 5}
    assert "bare" in document["error"]["place"] + document["error"]["problem"]


def test_a_device_that_computes_something_else_fails_the_build_and_keeps_the_manifest_whole(
    desk: Path, twin: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = agreement.judge

    def lacks_an_output(here: Any, there: Any, **more: Any) -> Any:
        return real(here, {}, **more)

    monkeypatch.setattr(agreement, "judge", lacks_an_output)
    code, _, screen = run(capfd, *BUILD, "--verify-on", twin)
    assert code == 1
    assert re.search(r"differs on \S+ kernels of twin", " ".join(screen.split()))
    manifest = msgspec.json.decode((desk / "built" / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.artifacts[0].device_verifications[0].verdict == "fail"
    assert manifest.artifacts[0].device_verifications[0].max_abs_error is None


def test_profiles_that_end_at_once_are_all_listed(artifact: Path) -> None:
    """Several measurements of one folder may be recorded by different processes."""
    profiles = [
        subprocess.Popen([sys.executable, "-c", RECORD, str(artifact), str(i)], stderr=subprocess.PIPE)
        for i in range(6)
    ]
    for process in profiles:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()
    manifest = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert sorted(profile.session for profile in manifest.profiles) == [str(i) for i in range(6)]


REBUILD = """
import sys
from pathlib import Path
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.host.cachedir import cache_folder
from edgekit.verbs.build import build
with Session(Store(cache_folder()), Path(sys.argv[1]).parent / "log.txt") as session:
    wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=sys.argv[1])
    print("ready", flush=True)
    while True:
        (result,) = build(session, wanted, Path("model.tflite"))
        assert result.error is None, result.error
"""


def test_no_profile_is_lost_that_is_recorded_while_its_folder_is_built_anew(artifact: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", REBUILD, str(artifact)], stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        builder.stdout.readline()
        code = RECORD.replace("sys.argv[2]", "'{number}'")
        code, made = code.split("made = ")
        many = f"for number in map(str, range(40)):\n  made = {made.strip()}".replace("\nrecord", "\n  record")
        code += many.replace("session=session", "session=number").replace("{session}", "{number}")
        done = subprocess.run([sys.executable, "-c", code, str(artifact)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert builder.poll() is None
        builder.kill()
    manifest = msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest)
    assert sorted(int(profile.session) for profile in manifest.profiles) == list(range(40))
    assert len(list((artifact / "profiles").glob("*.json"))) == 40


def test_a_file_that_changes_while_it_is_measured_gives_no_profile(
    artifact: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(_bench: Bench, made: list[Arm], *_: Any) -> Observations:
        with (artifact / "model_float32.tflite").open("ab") as file:
            file.write(b"more")
        return protocol.nothing(len(made))

    monkeypatch.setattr(protocol, "observe", observe)
    code, document, _ = run(capfd, "profile", "built", "--quick")
    assert code == 2
    assert document["error"]["problem"] == "model_float32.tflite changed while it was measured."
    assert not (artifact / "profiles").exists()


def test_a_profile_is_not_listed_beside_another_build_of_its_file(artifact: Path) -> None:
    """The folder was built anew while its file was measured."""
    code = RECORD.replace("artifact_sha256=file.sha256", "artifact_sha256='0' * 64")
    subprocess.run([sys.executable, "-c", code, str(artifact), "late"], check=True)
    assert (artifact / "profiles" / "late.json").is_file()
    assert msgspec.json.decode((artifact / "manifest.json").read_bytes(), type=Manifest).profiles == ()


def test_a_folder_whose_manifest_cannot_list_profiles_is_refused_before_the_work(
    artifact: Path, disk: Disk, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    disk.resize(1024)
    shutil.copytree(artifact, disk.path / "built")
    disk.protect()
    code, document, _ = run(capfd, "profile", str(disk.path / "built"), "--quick", "-o", str(tmp_path / "elsewhere"))
    assert code == 2
    assert document["error"] == {
        "exit_code": 2,
        "remedy": "InputError",
        "problem": "Profiles cannot be written there: read-only file system.",
        "place": str(disk.path / "built"),
        "fix": "measure a copy of this folder, whose manifest can list them",
    }
    assert not (tmp_path / "elsewhere").exists()


RECORD = """
import sys
from pathlib import Path
from edgekit.nouns import manifest
from edgekit.measure import record
from edgekit.measure.subject import Measurable
from edgekit.nouns.profile import Device, Profile, Protocol, Run
folder, session = Path(sys.argv[1]), sys.argv[2]
file = manifest.read(folder / manifest.FILE_NAME).artifacts[0]
subject = Measurable(folder / file.file, file.sha256, file.signature, folder / manifest.FILE_NAME)
made = Profile(
    edgekit="0", created_utc="t", session=session, artifact=file.file, artifact_sha256=file.sha256,
    device=Device(id="d", kind="local", title="d"), runtime="r", run=Run(), protocol=Protocol(name="quick", blocks=0),
    blocks=(), raw=f"{session}.npz",
)
record.write(made, {}, {}, subject, record.folder(subject))
"""


def test_cores_are_pinned_and_wrong_ones_are_refused(
    profiled: Profiled, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert profiled.document["profiles"][0]["run"]["cores"] == [CORE]
    code, document, _ = run(capfd, "profile", "model.tflite", "--quick", "--cores", "99")
    assert code == 2
    assert "99" in document["error"]["problem"]
    assert run(capfd, "profile", "model.tflite", "--quick", "--cores", "0-1")[0] == 2


def test_a_full_delegation_cannot_be_had_from_no_delegate(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("profile", "model.tflite", "--quick", "--delegate", "none", "--require-full-delegation")
    assert run(capfd, *arguments)[0] == 4
