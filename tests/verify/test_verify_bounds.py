"""Outputs may be larger than memory: verdict and metrics look at them piece by piece."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit import verify
from edgekit.verify import metrics

BOUNDED = """
import resource, sys
import numpy as np
from pathlib import Path
from edgekit import verify
from edgekit.verify import files, metrics, probes
from edgekit.waist import rows
from edgekit.waist.tensors import arrays
folder, kind = Path(sys.argv[1]), sys.argv[2]
count, shape = 800, (1, 24000)
before = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (before + (128 << 20), -1))

def made(noise, n=count):
    for i in range(n):
        random = np.random.default_rng(i)
        values = random.standard_normal(shape, np.float32)
        values += noise * np.random.default_rng(9999 + i).standard_normal(shape, np.float32)
        yield {"y": values}

sides = [rows.write_rows(folder / f"{i}.npz", made(noise)) for i, noise in enumerate((0.0, 0.001))]
assert sides[0].stat().st_size > count * shape[1]
few = [rows.write_rows(folder / f"few{i}.npz", made(noise, 3)) for i, noise in enumerate((0.0, 0.001))]
if kind in {"mae", "mse"}:
    labels = rows.write_array(folder / "labels.npy", arrays(sides[1])["y"])
else:
    labels = rows.write_array(folder / "labels.npy", np.array([row.argmax() for row in arrays(sides[0])["y"]]))
case = verify.Case(precision="int8", origin="o")
metric = metrics.built_in(kind)
names = ("the first sample", "all zeros", "the first sample again")
judged = files.judge(files.Sides(folder / "none.npz", *sides, *few, names), case, metric, labels).verification
print(judged.verdict, judged.metric and round(judged.metric.source, 4), round(judged.sqnr_db))
"""
"""Judges two times 73 MiB of outputs with 128 MiB of private memory beyond what its libraries took."""


@pytest.mark.study
@pytest.mark.parametrize(("kind", "source"), [("top1", 1.0), ("mae", 0.0008)])
def test_outputs_larger_than_memory_are_judged(kind: str, source: float, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BOUNDED, tmp_path, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["pass", str(source)]


@pytest.mark.parametrize("name", ["top1", "top5", "mae", "mse"])
def test_pieces_add_up_to_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(101, 1, 9)).astype(np.float32)
    labels = random.integers(0, 9, 101) if name.startswith("top") else random.normal(size=(101, 9))
    whole = verify.metric(name, {"y": scores}, labels), metrics.chance(name, {"y": scores}, labels)
    monkeypatch.setattr("edgekit.waist.rows.PIECE_BYTES", 64)
    assert verify.metric(name, {"y": scores}, labels) == pytest.approx(whole[0], rel=1e-12)
    assert metrics.chance(name, {"y": scores}, labels) == pytest.approx(whole[1], rel=1e-12)
