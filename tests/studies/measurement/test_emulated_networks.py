"""What real networks compute on ARM kernels, and that kernels that compute something else are caught."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.measure import agreement
from edgekit.nouns.profile import Device, DeviceConfig, DeviceVerification
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array
from tests.drivers.bench_emulated import ID, bench, found, random_inputs, runs_on

INT8 = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "str_ww_ref_model", "vww_96_int8")
SOON = {"kws_ref_model", "pretrainedResnet_quant"}
"""Those that CI has time for: depthwise layers, and a residual network."""

FLOATS = {"kws_ref_model_float32": agreement.HYBRID_DB, "pretrainedResnet": 60.0}  # the first has int8 weights


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with bench(tmp_path_factory.mktemp("bench")) as made:
        yield found(made)


def verified(file: Path, device: Device, run_device: agreement.Runs, folder: Path, samples: int) -> DeviceVerification:
    return agreement.verified(
        file,
        random_inputs(file, samples),
        run_host=run.run,
        run_device=run_device,
        device=device.id,
        runtime=lambda: f"ai-edge-litert {device.runtimes['ai-edge-litert']}",
        folder=folder,
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in SOON else pytest.mark.long) for name in INT8])
def test_integer_files_are_bit_identical_on_arm_kernels(
    name: str, device: Device, shared: Path, tmp_path: Path
) -> None:
    file = shared / "models" / "mlperf_tiny" / f"{name}.tflite"
    assert agreement.least_db(file) is None
    seen = verified(file, device, runs_on(device, tmp_path), tmp_path, samples=4)
    assert seen == DeviceVerification(
        device=ID,
        runtime="ai-edge-litert 2.1.2",
        samples=4,
        identical=True,
        sqnr_db=None,
        max_abs_error=0.0,
        verdict="pass",
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", FLOATS)
def test_float_files_agree_as_kernels_that_add_in_another_order_do(
    name: str, device: Device, shared: Path, tmp_path: Path
) -> None:
    file = shared / "models" / "mlperf_tiny" / f"{name}.tflite"
    assert agreement.least_db(file) == FLOATS[name]
    seen = verified(file, device, runs_on(device, tmp_path), tmp_path, samples=4)
    assert seen.verdict == "pass"
    assert not seen.identical  # or the host's own kernels ran
    assert seen.sqnr_db is not None
    assert seen.sqnr_db > 100


def tampered(file: Path, operator: int, made: Path) -> Path:
    """A copy in which one weight of an operator is another one; tensors keep their numbers."""
    model = graph.load(file)
    weights = model.subgraphs[0].operators[operator].inputs[1]
    buffer = model.buffers[model.subgraphs[0].tensors[weights].buffer]
    values = np.array(buffer.data, np.uint8)
    values[: len(values) // 4] ^= 0x41
    buffer.data = values
    made.write_bytes(graph.pack(model))
    return made


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kws_ref_model", "DEPTHWISE_CONV_2D"),
        ("pretrainedResnet_quant", "CONV_2D"),
        ("kws_ref_model_float32", "FULLY_CONNECTED"),
    ],
)
def test_the_operator_whose_weights_are_others_there_is_named(
    name: str, kind: str, device: Device, shared: Path, tmp_path: Path
) -> None:
    file = shared / "models" / "mlperf_tiny" / f"{name}.tflite"
    which = [operator.index for operator in graph.read(file)[0].operators if operator.name == kind][-1]
    faithful = runs_on(device, tmp_path)

    def faulty(model: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        return faithful(tampered(model, which, tmp_path / "tampered.tflite"), inputs)

    seen = verified(file, device, faulty, tmp_path, samples=2)
    assert seen.verdict == "fail"
    assert seen.first_difference.startswith(f"operator {which} {kind}, tensor ")
    assert not list(tmp_path.glob("*exposed*"))


@pytest.mark.shared
def test_kernels_that_are_wrong_on_the_core_named_max_are_caught(device: Device, shared: Path, tmp_path: Path) -> None:
    file = shared / "models" / "mlperf_tiny" / "kws_ref_model_float32.tflite"
    wrong = msgspec.structs.replace(device, config=DeviceConfig(kind="emulated", cpu="max"))  # which no user can
    seen = verified(file, wrong, runs_on(wrong, tmp_path), tmp_path, samples=1)
    assert seen.verdict == "fail"
    assert seen.sqnr_db is not None
    assert seen.sqnr_db < 20  # 1.9 dB seen
    assert seen.first_difference.startswith("operator ")
