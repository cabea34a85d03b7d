"""What other kernels make of a trained int8 file: LiteRT's reference kernels, and those of arm64, against XNNPACK on x86.

Training computes what XNNPACK computes. The figures in docs/explanation/quantization-aware-training.md are these.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import edgekit
from edgekit.waist import run
from tests.drivers.bench_emulated import bench, found, runs_on
from tests.studies.compression.data import small_photos

pytestmark = [pytest.mark.long, pytest.mark.shared]

TRAINED, JUDGED, EMULATED = 640, 500, 32


@pytest.fixture(scope="module")
def photos(shared: Path) -> Any:
    return small_photos(shared)


@pytest.fixture(scope="module")
def file(shared: Path, photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-8, trained for an epoch."""
    made = edgekit.build(
        shared / "models/resnet8_cifar10jpeg.h5", "android", precision="int8", recipe="qat",
        passes={"qat": {"epochs": 1}}, data=photos.x[:TRAINED], output=tmp_path_factory.mktemp("trained") / "out",
    )  # fmt: skip
    return Path(made["android"]["int8"].path)


def rows(file: Path, photos: Any, count: int) -> dict[str, Any]:
    """Test pictures as the integers that the file takes."""
    (taken,) = run.interpreter(file).get_input_details()
    scale, zero = taken["quantization"]
    values = photos.judged_x[:count, None]
    if scale:
        values = np.clip(np.rint(values / scale) + zero, -128, 127).astype(taken["dtype"])
    return {taken["name"]: values}


def by_reference(file: Path, given: dict[str, Any]) -> Any:
    """The output on LiteRT's reference kernels."""
    made = Interpreter(str(file), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    made.allocate_tensors()
    ((taken,), (out,)) = made.get_input_details(), made.get_output_details()
    seen = []
    for values in given[taken["name"]]:
        made.set_tensor(taken["index"], values)
        made.invoke()
        seen.append(made.get_tensor(out["index"]))
    return np.stack(seen)


def told(kernels: str, one: Any, other: Any) -> float:
    """Print how far two outputs agree; the share of equal choices."""
    one, other = one.reshape(len(one), -1).astype(int), other.reshape(len(other), -1).astype(int)
    same = float((one.argmax(1) == other.argmax(1)).mean())
    figures = {
        "kernels": kernels, "samples": len(one), "equal integers": round(float((one == other).mean()), 4),
        "furthest": int(np.abs(one - other).max()), "equal choices": round(same, 4),
    }  # fmt: skip
    sys.stderr.write(f"{json.dumps(figures)}\n")
    return same


def test_reference_kernels_choose_as_xnnpack_does(file: Path, photos: Any) -> None:
    given = rows(file, photos, JUDGED)
    (xnnpack,) = run.run(file, given).values()
    assert told("reference", xnnpack, by_reference(file, given)) >= 0.95


def test_arm64_kernels_choose_as_xnnpack_on_x86_does(file: Path, photos: Any, tmp_path: Path) -> None:
    given = rows(file, photos, EMULATED)
    (xnnpack,) = run.run(file, given).values()
    with bench(tmp_path) as made:
        (arm64,) = runs_on(found(made), tmp_path)(file, given).values()
    assert told("arm64", xnnpack, arm64) >= 0.95
