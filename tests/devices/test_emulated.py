"""The emulated device: what it computes on ARM kernels, what it refuses, and what it leaves behind (nothing)."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit import runner
from edgekit.devices.emulated import Emulated, root, system_folder
from edgekit.errors import DeviceError, InputError, MissingTool, Unsupported
from edgekit.measure import agreement
from edgekit.nouns.profile import Device, DeviceConfig, DeviceVerification, Mode, Run, Stand
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array
from tests.devices.bench_emulated import ID, bench, found, places, runs_on

pytestmark = pytest.mark.slow

INT8 = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "str_ww_ref_model", "vww_96_int8")
FLOATS = {"kws_ref_model_float32": agreement.HYBRID_DB, "pretrainedResnet": 60.0}  # the first has int8 weights


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with bench(tmp_path_factory.mktemp("bench")) as made:
        yield found(made)


def random_inputs(file: Path, samples: int) -> dict[str, Array]:
    """Seeded values over the whole range of integers, standard normal ones for floats."""
    draw, main = np.random.default_rng(7), graph.read(file)[0]
    made = {}
    for index in main.inputs:
        tensor = main.tensors[index]
        shape, dtype = (samples, *tensor.shape), np.dtype(tensor.dtype)
        whole = dtype.kind in "iu"
        values = (
            draw.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, endpoint=True)
            if whole
            else draw.normal(size=shape)
        )
        made[tensor.name] = values.astype(dtype)
    return made


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


@pytest.mark.study
@pytest.mark.shared
@pytest.mark.parametrize("name", INT8)
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


@pytest.mark.study
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


@pytest.mark.study
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


@pytest.mark.study
@pytest.mark.shared
def test_kernels_that_are_wrong_on_the_core_named_max_are_caught(device: Device, shared: Path, tmp_path: Path) -> None:
    file = shared / "models" / "mlperf_tiny" / "kws_ref_model_float32.tflite"
    wrong = msgspec.structs.replace(device, config=DeviceConfig(kind="emulated", cpu="max"))  # which no user can
    seen = verified(file, wrong, runs_on(wrong, tmp_path), tmp_path, samples=1)
    assert seen.verdict == "fail"
    assert seen.sqnr_db is not None
    assert seen.sqnr_db < 20  # 1.9 dB seen
    assert seen.first_difference.startswith("operator ")


@pytest.mark.parametrize("mode", ["time", "idle", "operators"])
def test_it_never_reports_a_time(mode: Mode, device: Device, tmp_path: Path, network: Path) -> None:
    np.savez(tmp_path / "given.npz", x=np.zeros((1, 1, 4), np.float32))
    stand = Emulated().open(device, network, tmp_path / "given.npz", Run(mode=mode), runner.place_name(2))
    with pytest.raises(Unsupported, match="Times under emulation mean nothing"):
        Emulated().run(device, stand, Run(mode=mode), tmp_path)
    Emulated().close(device, Stand(place=runner.place_name(2), model="", inputs=""))  # as after a failure in `open`
    assert not Path(stand.place).exists()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that need not run."""
    file = tmp_path_factory.mktemp("network") / "network.tflite"
    file.write_bytes(b"\0\0\0\0TFL3 damaged")
    return file


def test_a_file_that_litert_refuses_there_is_no_bug_here(device: Device, network: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"cannot load|ended with code"):
        runs_on(device, tmp_path)(network, {"x": np.zeros((1, 4), np.float32)})


@pytest.mark.shared
def test_a_run_ends_when_whoever_started_it_is_killed(device: Device, tmp_path: Path, shared: Path) -> None:
    file = shared / "models" / "mlperf_tiny" / "pretrainedResnet.tflite"
    np.savez(tmp_path / "given.npz", allow_pickle=False, **random_inputs(file, 5000))
    stand = Emulated().open(device, file, tmp_path / "given.npz", Run(mode="outputs"), runner.place_name(4))
    code = (
        "import sys, msgspec; from pathlib import Path\n"
        "from edgekit.devices.emulated import Emulated; from edgekit.nouns.profile import Device, Run, Stand\n"
        "device, stand = msgspec.json.decode(sys.argv[1], type=tuple[Device, Stand])\n"
        "Emulated().run(device, stand, Run(mode='outputs'), Path(sys.argv[2]))\n"
    )
    given = msgspec.json.encode((device, stand)).decode()
    other = subprocess.Popen([sys.executable, "-c", code, given, str(tmp_path)])
    while not working_in(stand.place):
        assert other.poll() is None
        time.sleep(0.1)
    other.kill()
    other.wait()
    end = time.monotonic() + 60
    while working_in(stand.place):
        assert time.monotonic() < end
        time.sleep(0.1)
    Emulated().close(device, stand)
    assert not Path(stand.place).exists()


def working_in(place: str) -> list[str]:
    """Emulators whose command line names a folder."""
    every = Path("/proc").glob("[0-9]*/cmdline")
    return [str(path) for path in every if path.exists() and _reads(path).startswith("qemu") and place in _reads(path)]


def _reads(path: Path) -> str:
    try:
        return Path(path.read_bytes().decode("utf8", "replace").split("\0")[0]).name + path.read_bytes().decode(
            "utf8", "replace"
        )
    except OSError:
        return ""


def test_a_core_that_qemu_does_not_know_is_a_problem_in_words(device: Device) -> None:
    (found,) = Emulated().find({"odd": DeviceConfig(kind="emulated", cpu="z80")})
    assert not found.usable
    assert found.problems == (
        "Python does not run there: qemu-aarch64-static: unable to find CPU model 'z80' "
        "fix: name a core that qemu-aarch64-static -cpu help lists, such as cortex-a76",
    )


@pytest.mark.parametrize("core", ["max", "max,sme=off"])
def test_the_core_named_max_is_refused(core: str, device: Device) -> None:
    named = DeviceConfig(kind="emulated", cpu=core)
    (found,) = Emulated().find({"odd": named})
    assert not found.usable
    (problem,) = found.problems
    assert problem.startswith("max is no real core")
    assert problem.endswith("fix: name a core that a phone or board has, such as cortex-a76")
    with pytest.raises(InputError, match="no real core"):
        Emulated().set_up(named)


def test_it_says_what_it_is(device: Device) -> None:
    assert (device.cpu, device.abi, device.runs, device.times) == ("cortex-a76", "aarch64", (".tflite",), False)
    assert device.runtimes == {"ai-edge-litert": "2.1.2"}
    assert [output.code for output in Emulated().execute(device, ("true", "uname"))] == [127, 127]
    assert Emulated().state(device).governor is None


def test_a_second_set_up_is_free(device: Device) -> None:
    assert device.config is not None
    before = root.read(system_folder())
    assert Emulated().set_up(device.config)[1:] == ("ai-edge-litert 2.1.2",)
    assert root.read(system_folder()) == before
    assert before is not None
    assert before.packages["python3.11-minimal"].startswith("3.11.2-")


def test_only_tflite_files_run_there(device: Device, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"runs \.tflite files, not \.xml"):
        Emulated().open(device, tmp_path / "model.xml", tmp_path / "given.npz", Run(), runner.place_name(5))


@pytest.mark.shared
def test_a_run_that_takes_too_long_is_ended(
    device: Device, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.runner.limit_s", lambda _: 0.2)
    with pytest.raises(DeviceError, match=r"took longer than 0\.2 s"):
        runs_on(device, tmp_path)(shared / "models" / "mlperf_tiny" / "kws_ref_model.tflite", {})
    assert runner.place_name(1) not in places()


def test_before_it_is_set_up_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    if root.emulator() is None:
        pytest.skip("no qemu")
    (found,) = Emulated().find({ID: DeviceConfig(kind="emulated")})
    assert (found.usable, found.times) == (False, False)
    assert found.problems == ("The arm64 system is not set up. fix: edgekit devices add arm64-emulated",)
    with pytest.raises(MissingTool, match="not set up"):
        Emulated().state(found)
