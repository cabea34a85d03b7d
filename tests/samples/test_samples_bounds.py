"""Samples may be larger than memory; archives that declare what there cannot be are refused before they are unpacked."""

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import samples
from edgekit.errors import InputError
from edgekit.host import sandbox
from edgekit.samples import npy
from edgekit.samples.place import Place
from tests.samples.test_samples_depth import images

WANTED = images(1)


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The beginning of an ``.npy`` file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_2_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def bomb(path: Path, size: int, *, declared: int) -> Path:
    """An ``.npz`` with one array of zeros of ``size`` bytes, packed; its header declares another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image.npy", "w") as entry:
        entry.write(header((declared // 256, 8, 8, 1)))
        for _ in range(size >> 20):
            entry.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize(
    ("size", "declared", "memory"),
    [(1 << 20, 2**44, 2**34), (64 << 20, 64 << 20, 2**25), (64 << 20, 1 << 20, 2**25), (64 << 20, 2**32, 2**34)],
)
def test_an_archive_is_weighed_before_it_is_unpacked(
    tmp_path: Path, size: int, declared: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "default_memory", lambda: memory)
    path = bomb(tmp_path / "s.npz", size, declared=declared)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(Place, "empty", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match="MiB, says that it holds") as refused:
        samples.load(str(path), WANTED)
    assert "numpy.savez" in refused.value.fix


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_may_hold_more_than_memory_but_not_what_no_data_packs_to(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "default_memory", lambda: 1 << 10)
    values = np.random.default_rng(0).integers(0, 4, (500, 8, 8, 1)).astype(np.float32)
    (np.savez_compressed if packed else np.savez)(tmp_path / "s.npz", image=values, y=np.arange(500))
    found = samples.load(str(tmp_path / "s.npz"), WANTED)
    np.testing.assert_array_equal(found.inputs["image"][:, 0], values)
    assert found.labels is not None
    assert found.labels.tolist() == list(range(500))


def test_a_file_that_declares_more_than_it_holds_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "s.npy").write_bytes(header((2**40, 8, 8, 1)) + bytes(256))
    with pytest.raises(InputError, match="damaged: it should hold"):
        samples.load(str(tmp_path / "s.npy"), WANTED)


BOUNDED = """
import resource, sys, threading
import numpy as np
from pathlib import Path
from PIL import Image
from edgekit import samples
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
shape = (1, 64, 64, 3)
spec = TensorSpec(name="x", shape=shape, dtype="float32", source_name="x", source_shape=shape, source_dtype="float32")
signature = Signature(inputs=(spec,), outputs=())
Image.new("RGB", (8, 8)).resize((64, 64))
before = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (before + (40 << 20), -1))
found = samples.load(sys.argv[1], signature, Description(inputs=(ImageInput(name="x", range=(0, 1)),)), place=samples.Place(Path(sys.argv[2])))
kept = Path(sys.argv[2]) / "samples"
found.save(kept, kept.parent / 'labels.npy')
again = samples.Samples.opened(found.kept, Path(sys.argv[2]))
assert samples.lint(again, signature) is not None
print(len(again), sum(values.nbytes for values in again.inputs.values()) >> 20)
"""
"""Reads samples with 40 MiB of private memory beyond what its libraries took."""


MORE_KINDS = [pytest.param(kind, marks=pytest.mark.study) for kind in ("csv", "npy", "packed", "fortran", "float64")]


@pytest.mark.parametrize("kind", ["generator", "images", "npz", "rows", *MORE_KINDS])
def test_data_larger_than_memory_is_read(kind: str, tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415

    count, spec, out = 1200, str(tmp_path / "data"), tmp_path / "out"  # 56 MiB
    out.mkdir()
    if kind in {"generator", "float64"}:
        dtype = "float32" if kind == "generator" else "float64"
        (tmp_path / "many.py").write_text(
            f"import numpy as np\ndef rows():\n    for i in range({count}):\n"
            f"        yield np.random.default_rng(i).random((64, 64, 3)).astype(np.{dtype})\n"
        )
        spec = "many:rows"
    elif kind == "images":
        (tmp_path / "data").mkdir()
        for i in range(count):
            Image.new("RGB", (16, 16), (i % 256, i // 8, 0)).save(tmp_path / "data" / f"{i:04}.png")
    elif kind == "csv":
        count, row = 500, ",".join(map(str, range(64 * 64 * 3)))
        (tmp_path / "data.csv").write_text("\n".join(f"{i},{row}" for i in range(count)))
        spec += ".csv"
    elif kind in {"npy", "npz", "packed", "fortran"}:
        values = np.random.default_rng(0).random((count, 64, 64, 3), np.float32)
        write = {"npy": np.save, "npz": np.savez, "packed": np.savez_compressed, "fortran": np.savez}[kind]
        spec += ".npy" if kind == "npy" else ".npz"
        if kind == "packed":
            values = np.rint(values)
        write(spec, np.asfortranarray(values) if kind == "fortran" else values)
    else:
        (tmp_path / "data").mkdir()
        for i in range(count):
            np.save(tmp_path / "data" / f"{i:04}.npy", np.full((1, 64, 64, 3), i, np.float32))
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, spec, out], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(count), str(count * 64 * 64 * 3 * 4 >> 20)]


def test_items_that_grow_wider_or_differ_in_shape() -> None:
    whole, halves = np.arange(6).reshape(2, 3), np.full((1, 3), 0.5)
    with closing(Place().growing()) as growing:
        growing.add(whole)
        growing.add(halves)
        assert np.array_equal(growing.done(), np.concatenate([whole, halves]))
        assert growing.done().dtype == np.float64
        with pytest.raises(ValueError, match=r"\[4\] after \[3\]"):
            growing.add(np.ones((1, 4)))
        with pytest.raises(TypeError, match="Python objects"):
            growing.add(np.array([[None] * 3]))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_numpys_format_is_weighed(version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.zeros((3, 5), np.float64), version=version)
    file.seek(0)
    assert npy._bytes(*npy._header(file)[::2]) == 120


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_after_a_head_are_refused_or_read(rest: bytes, packed: bool) -> None:
    content = b"\x93NUMPY" + rest
    if packed:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("image.npy", content)
        content = file.getvalue()
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"edgekit-bytes-{os.getpid()}"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        samples.load(str(path), WANTED)
    path.unlink()


@pytest.mark.slow
def test_a_real_bomb_ends_in_little_memory(tmp_path: Path) -> None:
    """9 GiB of zeros, as it says, read by a process that may have 2 GiB."""
    path = bomb(tmp_path / "s.npz", 16 << 20, declared=9 << 30)
    code = (
        "import json, sys; from edgekit import samples; from edgekit.errors import InputError; import tests.samples.test_samples_bounds as t\n"
        "try: samples.load(sys.argv[1], t.WANTED)\n"
        "except InputError as error: print(json.dumps(error.problem))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30)),
        timeout=60,
    )
    assert "says that it holds" in json.loads(run.stdout)


def test_a_header_that_breaks_pythons_tokenizer_is_damaged(tmp_path: Path) -> None:
    """An error of CPython 3.12's own (SystemError), found by fuzzing."""
    text = b" '<f4', 'fortran_order': False, 'shape': (3, 8, 8, 1), }".ljust(117) + b"\n" + bytes(64)
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + text)
    with pytest.raises(InputError, match="is damaged"):
        samples.load(str(tmp_path / "x.npy"), WANTED)


def test_a_system_without_fallocate_reserves_space_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert Place(tmp_path).empty((5, 7), np.float32).shape == (5, 7)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "below/A.JPG"])
@pytest.mark.parametrize("kind", ["pipe", "device", "dangling"])
def test_a_folder_with_what_is_no_file_is_refused_before_it_is_read(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "gone")
    with pytest.raises(InputError, match="is no regular file") as refused:
        samples.load(str(tmp_path), WANTED)
    assert refused.value.place == str(path)


def test_an_archive_of_more_arrays_than_can_be_open_is_refused(tmp_path: Path) -> None:
    path = samples.write_npz(tmp_path / "many.npz", {f"x{i}": np.zeros((2, 1), np.float32) for i in range(300)})
    with pytest.raises(InputError, match="holds 300 arrays"):
        samples.load(str(path), WANTED)
