"""How long a file of OpenVINO takes here: any inputs, the device that it was quantized for, and complaints."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from edgekit.backends.openvino import timing
from edgekit.errors import Unsupported


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TIMED_S", 0.02)


def written(path: Path, size: int, dtypes: tuple[Any, ...] = (np.float32,), device: str = "") -> Path:
    """The sum of its inputs ``[1, size]``, times a matrix of ones."""
    given = [ops.parameter([1, size], dtype, name=f"in_{i}") for i, dtype in enumerate(dtypes)]
    total = ops.convert(given[0], np.float32)
    for more in given[1:]:
        total = ops.add(total, ops.convert(more, np.float32))
    made = ops.matmul(total, np.ones((size, size), np.float32), transpose_a=False, transpose_b=False)
    model = ov.Model([made], given, "sum")
    if device:
        model.set_rt_info(device, timing.DEVICE)
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("dtypes", [(np.float32,), (np.float32, np.int64), (np.int8, np.uint8, np.bool_)])
def test_any_inputs(tmp_path: Path, dtypes: tuple[Any, ...]) -> None:
    found = timing.best_ms(written(tmp_path / "sum.xml", 8, dtypes))
    assert found is not None
    assert 0 < found < 100


def test_more_work_takes_longer(tmp_path: Path) -> None:
    small, large = (timing.best_ms(written(tmp_path / f"{n}.xml", n)) for n in (4, 3000))
    assert small is not None
    assert large is not None
    assert large > 2 * small


@pytest.mark.parametrize(("device", "timed"), [("CPU", True), ("ANY", True), ("NPU", False), ("GPU", False)])
def test_integers_for_another_device_have_no_time_here(tmp_path: Path, device: str, *, timed: bool) -> None:
    assert (timing.best_ms(written(tmp_path / "sum.xml", 8, device=device)) is not None) == timed


def test_what_the_plugin_refuses_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "sum.xml", 8)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(Unsupported, match=r"cannot run sum\.xml"):
        timing.best_ms(path)
