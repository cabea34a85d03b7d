"""Bundles in Python: they run, agree stage by stage with what `edgekit.processing` computes, and name a fault's stage."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.nouns.description import ClassificationOutput, Description, DetectionOutput
from edgekit.nouns.model import Signature, TensorSpec
from tests.bundles.made import Maker, detector
from tests.bundles.written import written

REPLAY = '''"""Gives what the golden vectors hold: one network's outputs after another's."""

from pathlib import Path

import numpy as np

OUTPUTS = {outputs}
GOLDEN = Path(__file__).parents[2] / "golden"


class Engine:
    accelerator, family = "golden vectors", "other"

    def __init__(self, path: str) -> None:
        self.samples = iter(sorted(file.name[:2] for file in GOLDEN.glob("*.%s.raw.bin" % OUTPUTS[0][0])))

    def run(self, inputs):
        sample = next(self.samples)
        return [
            np.fromfile(GOLDEN / f"{{sample}}.{{name}}.raw.bin", dtype).reshape(shape) for name, dtype, shape in OUTPUTS
        ]
'''


def bundle(folder: Path, kind: str, signature: Signature, described: Description, maker: Maker) -> Path:
    """A bundle whose engine replays; its folder with the Python code."""
    facts = written(folder, kind, signature, described, lambda _: maker.outputs(signature))
    outputs = [(tensor.name.snake, tensor.dtype, tensor.shape) for tensor in facts.outputs]
    (folder / "python" / facts.model.snake / "engine.py").write_text(REPLAY.format(outputs=outputs))
    return folder / "python"


def tried(folder: Path) -> subprocess.CompletedProcess[str]:
    """The bundle's own tests, as its README says."""
    return subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # exponentials of random numbers
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["openvino", "edgetpu"])
def test_every_stage_agrees(kind: str, seed: int, tmp_path: Path) -> None:
    if (seed % 2 == 0) == (kind == "openvino"):
        maker = Maker(seed)
        run = tried(bundle(tmp_path, kind, *maker.network(), maker))
        assert run.returncode == 0, run.stderr


FAULTS = {
    "channel order": ("description.py", lambda text: text.replace('channels="RGB"', 'channels="BGR"'), "preprocess"),
    "mean": ("description.py", lambda text: text.replace("offsets=(102.0", "offsets=(101.0"), "preprocess"),
    "resize": ("description.py", lambda text: text.replace("bilinear-antialias", "bilinear"), "preprocess"),
    "zero point in": ("model.py", lambda text: text.replace("0.02, 3,", "0.02, 4,"), "quantize"),
    "zero point out": ("model.py", lambda text: text.replace("0.01, -7)", "0.01, -8)"), "dequantize"),
    "box format": ("description.py", lambda text: text.replace('"cxcywh"', '"xywh"'), "postprocess"),
    "score threshold": (
        "description.py",
        lambda text: text.replace("score_threshold=0.1,", "score_threshold=0.11,"),
        "postprocess",
    ),
    "iou threshold": (
        "description.py",
        lambda text: text.replace("iou_threshold=0.5,", "iou_threshold=0.45,"),
        "postprocess",
    ),
    "most boxes": ("description.py", lambda text: text.replace("max_boxes=15,", "max_boxes=16,"), "postprocess"),
    "labels exchanged": (
        "description.py",
        lambda text: text.replace('"tree",', '"x",').replace('"car",', '"tree",'),
        "postprocess",
    ),
    "labels shifted": ("description.py", lambda text: text.replace('    "tree",\n', ""), "postprocess"),
}
"""What people do wrong, and the stage whose test has to fail, alone but for the whole path."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    file, change, stage = FAULTS[fault]
    folder = bundle(tmp_path, "edgetpu", *detector(), Maker(1))
    (code,) = folder.glob(f"*/{file}")
    _change(code, change)
    run = tried(folder)
    assert run.returncode == 1
    failed = {part.split("'")[0] for part in run.stderr.split("(stage='")[1:]}
    assert failed - {"whole path"} == {stage}
    assert "labels" not in fault or "found: labels" in run.stderr
    assert any(words in run.stderr for words in ("the largest difference is", "values instead of", "found: labels"))


def _change(code: Path, change: Callable[[str], str]) -> None:
    before = code.read_text("utf8")
    assert change(before) != before
    code.write_text(change(before), "utf8")


def test_infinite_numbers_agree_with_themselves_alone(tmp_path: Path) -> None:
    """A logarithm of nothing is an answer, too; but none that a wide tolerance makes equal to any other."""
    tensors = [
        TensorSpec(
            name=name, source_name=name, shape=(1, 4), source_shape=(1, 4), dtype="float32", source_dtype="float32"
        )
        for name in ("image", "found")
    ]
    signature = Signature(inputs=(tensors[0],), outputs=(tensors[1],))
    outputs = np.array([[np.inf, -np.inf, np.nan, 1]], np.float32)
    described = Description(outputs=(ClassificationOutput(activation="sigmoid"),))
    facts = written(tmp_path, "edgetpu", signature, described, lambda _: [outputs])
    told = [(tensor.name.snake, tensor.dtype, tensor.shape) for tensor in facts.outputs]
    (tmp_path / "python" / facts.model.snake / "engine.py").write_text(REPLAY.format(outputs=told))
    run = tried(tmp_path / "python")
    assert run.returncode == 0, run.stderr
    (code,) = tmp_path.glob("python/*/model.py")
    _change(code, lambda text: text.replace("float(shares[i])", "float(shares[i]) * float('inf')"))
    assert "the largest difference is inf" in tried(tmp_path / "python").stderr


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", ["openvino", "edgetpu"])
def test_ruff_has_nothing_to_say(kind: str, tmp_path: Path) -> None:
    for seed in range(4):
        maker = Maker(seed)
        signature, described = maker.network()
        written(tmp_path / str(seed), kind, signature, described, lambda _, m=maker, s=signature: m.outputs(s))
    for command in (["check"], ["format", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    signature, described = detector()
    described = Description(
        inputs=described.inputs, outputs=(*described.outputs, ClassificationOutput(name="more", labels=("a", "b")))
    )
    more = TensorSpec(
        name="more", source_name="more", shape=(1, 2), source_shape=(1, 2), dtype="float32", source_dtype="float32"
    )
    signature = Signature(inputs=signature.inputs, outputs=(*signature.outputs, more))
    described = Description(
        inputs=described.inputs,
        outputs=(DetectionOutput(name="found", box_format="cxcywh"), described.outputs[1]),
    )
    for kind in ("linux", "openvino", "edgetpu"):
        for name in ("one", "two"):
            maker = Maker(3)
            written(tmp_path / name / kind, kind, signature, described, lambda _, m=maker: m.outputs(signature))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 40
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
