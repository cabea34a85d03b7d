"""What may be compared, by what, and under which names."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError, Unsupported
from edgekit.measure.protocol import QUICK
from edgekit.measure.subject import Measurable
from edgekit.nouns import manifest as manifests
from edgekit.nouns.base import FileDigest
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.model import Model, Signature, SourceOptions
from edgekit.nouns.profile import Block, Device, Distribution, Profile, Protocol, Run
from edgekit.nouns.target import BuildOptions
from edgekit.verbs import compare
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")

HOST = Device(id="local", kind="local", title="this host", runs=(".tflite",))


def block(median_ms: float | None, *, mean_ms: float = 9.0, counted: bool = True) -> Block:
    """A block of ten inferences; without a median the device gave no single times."""
    latency = Distribution(runs=10, mean_ms=mean_ms, min_ms=1.0, max_ms=9.0, median_ms=median_ms)
    return Block(latency=latency, counted=counted)


def profile(*blocks: Block, **changes: object) -> Profile:
    made = Profile(
        edgekit="0", created_utc="t", session="s", artifact="m.tflite", artifact_sha256="0", device=HOST, runtime="r",
        run=Run(), protocol=Protocol(name="quick", blocks=len(blocks)), blocks=blocks, raw="r.npz",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_pairs_of_blocks_decide() -> None:
    fast, slow = [block(1.0 + i / 100) for i in range(8)], [block(2.0 + i / 100) for i in range(8)]
    found = compare.compare_profiles(profile(*fast), profile(*slow))
    assert (found.verdict, found.pairs, found.energy) == ("faster", 8, None)
    assert found.ratio == pytest.approx(0.51, abs=0.01)
    assert compare.compare_profiles(profile(*slow), profile(*fast)).verdict == "slower"


def test_a_block_that_does_not_count_takes_its_partner_with_it() -> None:
    a = profile(block(1.0), block(100.0, counted=False), block(1.0), block(1.0))
    b = profile(block(2.0), block(2.0), block(100.0, counted=False), block(2.0))
    found = compare.compare_profiles(a, b)
    assert (found.pairs, found.ratio) == (2, pytest.approx(0.5))


def test_a_mean_stands_for_a_median_that_the_device_did_not_give() -> None:
    a, b = profile(block(None, mean_ms=3.0)), profile(block(6.0, mean_ms=1.0))
    assert compare.compare_profiles(a, b).ratio == pytest.approx(0.5)
    assert compare.compare_profiles(profile(Block()), b).pairs == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"device": msgspec.structs.replace(HOST, id="pi5")}, "different devices: local and pi5"),
        ({"run": Run(threads=2)}, "different numbers of threads: 1 and 2"),
        ({"session": "later"}, "not measured in turns"),
    ],
)
def test_profiles_that_were_not_measured_side_by_side_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        compare.compare_profiles(profile(block(1.0)), profile(block(1.0), **change))
    assert refused.value.fix.endswith("edgekit compare A B")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Store(tmp_path / "cache"), tmp_path / "log.txt")


def test_on_a_device_that_gives_no_times_nothing_is_compared(session: Session) -> None:
    device = msgspec.structs.replace(HOST, times=False)
    file = Measurable(Path("m.tflite"), "0", Signature(inputs=(), outputs=()))
    with pytest.raises(Unsupported, match="this host gives no times"):
        compare.compare(session, device, (file, file), QUICK)


def artifact(folder: Path, *names: str) -> Path:
    """A folder with a manifest of these files."""
    signature = Signature(inputs=(), outputs=())
    files = []
    for name in names:
        content = networks.classifier(folder / name).read_bytes()
        digest = FileDigest(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        files.append(
            ArtifactFile(
                file=name,
                precision="float32",
                backend="tflite",
                use="",
                delegate=None,
                io=None,
                files={name: digest},
                signature=signature,
                cost=None,
                verification=None,
            )
        )
    made = Manifest(
        edgekit="0", tools={}, created_utc="t", recipe=BuildOptions(), source_options=SourceOptions(), target="android",
        source=Model(name="m", file="m.onnx", sha256="0" * 64, format="onnx", bytes=1, signature=signature),
        artifacts=tuple(files),
    )  # fmt: skip
    (folder / manifests.FILE_NAME).write_bytes(msgspec.json.encode(made))
    return folder


def test_a_folder_stands_for_its_only_file(session: Session, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = artifact(tmp_path / "one", "a.tflite"), artifact(tmp_path / "two", "a.tflite", "b.tflite")
    found = compare.pair(session, (one, one), HOST, SourceOptions())
    assert [file.path for file in found] == [one / "a.tflite"] * 2
    with pytest.raises(InputError, match=r"several files: a\.tflite, b\.tflite") as refused:
        compare.pair(session, (one, two), HOST, SourceOptions())
    assert refused.value.fix == f"name one of them: {two / 'a.tflite'}"


def test_names_tell_the_files_apart() -> None:
    a = Measurable(Path("x/a.tflite"), "0", Signature(inputs=(), outputs=()))
    assert compare.names((a, replace(a, path=Path("x/b.tflite")))) == ("a.tflite", "b.tflite")
    assert compare.names((a, replace(a, path=Path("y/a.tflite")))) == ("x/a.tflite", "y/a.tflite")
    assert compare.names((a, replace(a, path=Path("x/../x/a.tflite")))) == ("a.tflite (A)", "a.tflite (B)")
