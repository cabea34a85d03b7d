"""What phones and their tools print, read: recordings with known figures, and anything at all without a crash."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.drivers.adb import conditions, delegation, operators, parsing, result, sensing
from edgekit.drivers.adb.settings import planned
from edgekit.errors import Unsupported
from edgekit.nouns.profile import Distribution, Memory
from edgekit.nouns.sensing import Probe
from tests.drivers.adb import benchmark_model
from tests.drivers.adb.standin import RECORDINGS

MIB = 1 << 20
WORDS = st.sampled_from(
    [
        "count=", "first=", "curr=", "avg=", "Inference timings in us: Init: ", "1e", ".", "=", ",", "\t", "[node type]",
        "[Name]", "node type, avg_ms, name", operators.REGULAR, "Temperature{mValue=", "mType=0, mName=A}", "\x1e1 2 0 0\n",
        "Current temperatures from HAL:", "Thermal Status: ", "  level: ", "Replacing 1 out of 2 node(s) with delegate (",
        "Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ ",
        conditions.MARK, "\n", " ", "9" * 30, "-1", "nan", "1e999", "9" * 5000, "²", "level: inf\n", "Init footprint: ", "Inference (avg): 1 ms (2 runs)",
    ]
)  # fmt: skip
ANYTHING = st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=3), st.integers().map(str))).map("".join))


def recording(name: str) -> str:
    return (RECORDINGS / name).read_text(encoding="utf8")


def test_a_build_of_2022_gives_no_percentiles() -> None:
    read = parsing.printed(recording("classic_2022_riscv.txt"))
    assert read.latency == Distribution(
        runs=50, mean_ms=2950.34, min_ms=2727.568, max_ms=3189.954, median_ms=None, std_ms=109.798, p95_ms=None
    )
    assert (read.init_ms, read.first_ms, read.warm_up_runs) == (17.187, 3512.391, 1)
    assert read.memory == Memory(loaded_bytes=round(4.21094 * MIB), peak_bytes=round(46.0859 * MIB))


def test_a_build_of_2025_gives_percentiles() -> None:
    read = parsing.printed(recording("classic_2025_two_delegates.txt"))
    assert read.latency == Distribution(
        runs=50, mean_ms=309.35, min_ms=305.938, max_ms=333.03, median_ms=307.968, std_ms=4.411, p95_ms=315.711
    )
    assert (read.init_ms, read.first_ms, read.warm_up_runs) == (5664.363, 328.14, 2)


def test_older_words_for_memory_are_read() -> None:
    read = parsing.printed(recording("classic_2020_rpi.txt"))
    assert read.memory == Memory(loaded_bytes=0, peak_bytes=round(12.8672 * MIB))
    assert read.warm_up_runs == 15


def test_litert_own_block_is_read() -> None:
    read = parsing.printed(recording("litert_2025.txt"))
    assert read.latency == Distribution(runs=425, mean_ms=2.36, min_ms=2.21, max_ms=4.87, std_ms=0.19)
    assert (read.init_ms, read.first_ms, read.warm_up_runs) == (10.31, 6.02, 207)
    assert read.memory == Memory(loaded_bytes=round(12.5 * MIB), peak_bytes=round(20.25 * MIB))


def test_runs_of_equal_length_are_written_shorter() -> None:
    text = "count=3 curr=7\ncount=40 curr=25(all same)\n"
    assert parsing.printed(text).latency == Distribution(runs=40, mean_ms=0.025, min_ms=0.025, max_ms=0.025)


def test_what_was_cut_off_is_no_figure() -> None:
    assert parsing.printed("INFO: count=1 curr=3\nINFO: Running benchmark for").latency is None
    assert parsing.printed("") == parsing.Printed()


def test_flags_that_a_build_does_not_know() -> None:
    text = "WARN: Unconsumed cmdline flags: --output_filepath=/a b --result_file_path=/c\n"
    assert parsing.unknown_flags(text) == {"output_filepath", "result_file_path"}


def test_the_last_error_is_the_complaint() -> None:
    text = "INFO: a\nERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\n\n"
    assert parsing.complaint(text) == "ERROR: Benchmarking failed."
    assert parsing.complaint("\n") == "it printed nothing"


@given(
    st.lists(st.integers(1, 10**7), min_size=2, max_size=50), st.lists(st.integers(1, 10**7), min_size=1, max_size=9)
)
def test_lines_are_read_as_they_were_written(taken: list[int], warm: list[int]) -> None:
    text = f"INFO: {benchmark_model.line(list(map(float, warm)))}\n\nINFO: {benchmark_model.line(list(map(float, taken)))}\n"
    read = parsing.printed(text)
    assert read.warm_up_runs == len(warm)
    assert read.latency.runs == len(taken)
    assert read.latency.min_ms == min(taken) / 1000
    assert read.latency.max_ms == max(taken) / 1000
    assert read.latency.mean_ms == pytest.approx(sum(taken) / len(taken) / 1000, rel=1e-5)  # six digits are written


RESULT = benchmark_model.result([2000.0, 4000.0, 3000.0], [9000.0, 5000.0], 12000.0, (1024, 300))


def test_a_result_is_read() -> None:
    read = result.read(RESULT)
    assert read.latency == Distribution(
        runs=3, mean_ms=3.0, min_ms=2.0, max_ms=4.0, median_ms=3.0, std_ms=pytest.approx(0.81649658), p95_ms=4.0
    )
    assert (read.init_ms, read.first_ms, read.warm_up_runs) == (12.0, 9.0, 2)
    assert read.memory == Memory(loaded_bytes=MIB, peak_bytes=300 * 1024)


def test_a_result_is_what_protobuf_makes_of_it() -> None:
    """The same message, written by protobuf itself from a description made here."""
    descriptors = pytest.importorskip("google.protobuf.descriptor_pb2")
    pool = pytest.importorskip("google.protobuf.descriptor_pool").DescriptorPool()
    factory = pytest.importorskip("google.protobuf.message_factory")
    file = descriptors.FileDescriptorProto(name="r.proto", package="r", syntax="proto2")
    kinds = {"float": 2, "int64": 3, "int32": 5}
    messages = {
        "Latency": ["float"] * 10,
        "Memory": ["int64", "int64", "float"],
        "Misc": ["float", "int32", "int32", "float"],
    }
    for name, fields in messages.items():
        made = file.message_type.add(name=name)
        for i, kind in enumerate(fields, 1):
            made.field.add(name=f"f{i}", number=i, type=kinds[kind], label=1)
    whole = file.message_type.add(name="Result")
    whole.field.add(name="name", number=1, type=9, label=1)
    for i, name in enumerate(messages, 2):
        whole.field.add(name=name.lower(), number=i, type=11, type_name=f".r.{name}", label=1)
    pool.Add(file)
    message = factory.GetMessageClass(pool.FindMessageTypeByName("r.Result"))()
    message.name = "xnnpack"
    for i in range(1, 11):
        setattr(message.latency, f"f{i}", i / 2)
    message.memory.f1, message.memory.f2, message.memory.f3 = -1, 70000, 1.5
    message.misc.f2, message.misc.f3 = 425, 207
    read = result.read(message.SerializeToString())
    assert read.latency == Distribution(
        runs=425, mean_ms=0.5, min_ms=1.0, max_ms=1.5, std_ms=2.0, median_ms=2.5, p95_ms=3.5
    )
    assert (read.init_ms, read.first_ms, read.warm_up_runs) == (4.0, 4.5, 207)
    assert read.memory == Memory(loaded_bytes=None, peak_bytes=70000 * 1024)


@given(st.integers(0, len(RESULT) - 1))
def test_a_result_that_was_cut_off_is_none(size: int) -> None:
    read = result.read(RESULT[:size])
    assert read is None or read.latency is not None


def test_a_result_that_is_no_number_is_none() -> None:
    mean = benchmark_model.message({1: math.inf})
    assert result.read(bytes([2 << 3 | 2, len(mean)]) + mean) is None


@given(st.binary())
def test_any_bytes_are_a_result_or_none(content: bytes) -> None:
    result.read(content)


@given(st.binary(), st.integers(0, len(RESULT)))
def test_a_damaged_result_is_a_result_or_none(junk: bytes, at: int) -> None:
    result.read(RESULT[:at] + junk + RESULT[at:])


@given(st.lists(st.tuples(st.integers(1, 15), st.one_of(st.integers(0, 2**63), st.floats(width=32, allow_nan=False)))))
def test_fields_are_read_as_they_were_written(wanted: list[tuple[int, int | float]]) -> None:
    content = b""
    for number, value in wanted:
        if isinstance(value, float):
            content += bytes([number << 3 | 5]) + struct.pack("<f", value)
        else:
            content += bytes([number << 3]) + benchmark_model.varint(value)
    assert list(result.fields(content)) == wanted


def test_the_table_of_an_old_build() -> None:
    rows = operators.times(recording("classic_2022_riscv.txt"))
    assert [row.kind for row in rows] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "AVERAGE_POOL_2D",
        "SQUEEZE",
        "SOFTMAX",
    ]
    assert rows[1].mean_ms == 49.87
    assert rows[1].name == "[MobilenetV1/MobilenetV1/Conv2d_1_depthwise/Relu6]:1"
    assert {row.runs_on for row in rows} == {"CPU"}


def test_a_table_with_other_columns_and_commas_in_its_cells() -> None:
    rows = operators.times(recording("operators_2024_xnnpack.txt"))
    assert [(row.kind, row.mean_ms, row.calls) for row in rows] == [
        ("QUANTIZE", 0.203, 1),
        ("Convolution (NHWC, QC8) IGEMM", 0.407, 1),
        ("Convolution (NHWC, QC8) DWConv", 0.051, 13),
        ("TfLiteNnapiDelegate", 11.422, 1),
    ]
    assert rows[2].name == "Delegate/Convolution (NHWC, QC8) DWConv:1"
    assert rows[3].name == "[MobilenetV2/expanded_conv_16/project/add_fold, aspp0/Relu]:71"
    assert [row.runs_on for row in rows] == ["CPU", "delegate", "delegate", "NNAPI delegate"]


def test_a_table_as_csv() -> None:
    rows = operators.times(recording("operators_2021.csv"))
    assert [(row.kind, row.mean_ms) for row in rows] == [
        ("CONV_2D", 0.0930388),
        ("ELU", 0.0300884),
        ("AVERAGE_POOL_2D", 0.0272269),
    ]
    assert rows[0].name == "[sequential_11/conv2d_33/Conv2D]:0"


def test_two_delegates_are_told_apart() -> None:
    text = recording("classic_2025_two_delegates.txt")
    gpu, nnapi = delegation.seen("gpu", text), delegation.seen("nnapi", text)
    assert (gpu.share, gpu.partitions) == ("all", 1)
    assert (nnapi.share, nnapi.partitions) == ("none", None)
    assert delegation.seen("xnnpack", text) is None
    delegation.require_full("gpu", gpu, place="phone")
    with pytest.raises(Unsupported, match="its time would be the CPU's"):
        delegation.require_full("nnapi", nnapi, place="phone")
    with pytest.raises(Unsupported, match="does not tell"):
        delegation.require_full("xnnpack", None, place="phone")


def test_a_claim_that_was_withdrawn_does_not_count() -> None:
    text = (
        "VERBOSE: Replacing 31 out of 31 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions.\n"
        "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
    )
    assert delegation.seen("nnapi", text).share == "none"


def test_a_part_is_told_in_nodes() -> None:
    text = "VERBOSE: Replacing 54 out of 559 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.\n"
    found = delegation.seen("gpu", text)
    assert (found.share, found.partitions) == ("part", 3)
    with pytest.raises(Unsupported, match="54 out of 559"):
        delegation.require_full("gpu", found, place="phone")
    text += "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels.\n"
    assert delegation.seen("gpu", text).partitions == 2


@pytest.mark.parametrize(
    "line", ["ERROR: Failed to apply GPU delegate.", "WARN: GPU acceleration is unsupported on this platform."]
)
def test_a_delegate_that_is_not_had(line: str) -> None:
    assert delegation.seen("gpu", line).share == "none"
    assert delegation.seen("nnapi", line) is None


THERMAL = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=65.0, mType=0, mName=MID, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=62.500004, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=61.0, mType=0, mName=CPU1, mStatus=0}
	Temperature{mValue=-5.7E3, mType=-1, mName=virtual, mStatus=0}
	Temperature{mValue=31.25, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=5, mName=tpu_cooling}
Temperature static thresholds from HAL:
	Temperature{mValue=99.0, mType=0, mName=LATER, mStatus=0}
"""


def test_only_temperatures_read_now_count() -> None:
    read = conditions.temperatures(THERMAL)
    assert read == {
        "CPU0": (0, 62.500004),
        "CPU1": (0, 61.0),
        "virtual": (-1, -5700.0),
        "VIRTUAL-SKIN": (3, 31.25),
    }
    assert conditions.hottest_c(read) == 62.500004
    assert conditions.hottest_c({"VIRTUAL-SKIN": (3, 31.25), "battery": (2, 60.0)}) == 31.25
    assert conditions.throttled(THERMAL) == ("thermal status 1 (light)",)
    assert conditions.throttled("Thermal Status: 0") == ()
    assert conditions.throttled("Can't find service: thermalservice") is None


def test_a_batterys_log_of_events_is_not_its_state() -> None:
    text = (
        "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  status: 2\n  level: 75\n"
        "  scale: 100\n  temperature: 357\n[EventLogBuffer]\n08-11 18:34:14.721  Sending: level:72, temperature:345\n"
    )
    assert conditions.battery(text) == conditions.BatteryReading(75.0, True, 35.7, False)


def test_a_full_battery_on_the_cable_still_charges() -> None:
    assert conditions.battery("  USB powered: true\n  status: 5\n  level: 100\n").charging is True
    assert conditions.battery("  USB powered: false\n  status: 3\n  level: 40\n  scale: 50\n").percent == 80.0
    assert conditions.battery("Can't find service: battery").charging is None


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("Display Power: state=OFF\n  mWakefulness=Awake", False),
        ("mWakefulness=Dozing", False),
        ("mWakefulness=Awake", True),
        ("", None),
    ],
)
def test_the_screen(text: str, on: bool | None) -> None:
    assert conditions.screen_on(text) is on


def test_records_of_a_probe_come_back_in_the_order_of_time() -> None:
    probe = Probe(meter="x", files=("/sys/a",), commands=("b",))
    text = "\x1e10.00 10.02 0 0\n5\n\x1e10.02 10.04 1 1\nno\n\x1e9.99 9.99 0 0\n4\n\x1e10.05 10.05 0 9\nx\n\x1e10.06"
    read = sensing.samples(probe, text)
    assert [(sample.source, sample.text, sample.error) for sample in read] == [
        ("/sys/a", "4\n", ""),
        ("/sys/a", "5\n", ""),
        ("b", None, "no"),
    ]
    assert read[1].t_s == pytest.approx(10.01)
    assert read[1].took_s == pytest.approx(0.02)


@given(ANYTHING)
def test_anything_that_is_printed_is_read_without_a_crash(text: str) -> None:
    for read in (parsing.printed(text), parsing.printed("count=1 curr=1\n" + text)):
        assert read.latency is None or math.isfinite(read.latency.mean_ms)
    parsing.unknown_flags(text)
    parsing.complaint(text)
    operators.times(operators.REGULAR + "\n" + text)
    delegation.seen("gpu", text)


@given(ANYTHING)
def test_any_state_is_read_without_a_crash(text: str) -> None:
    conditions.state(text)
    planned(text, 34)
    probe = Probe(meter="x", files=("/a",))
    sensing.lines(sensing.samples(probe, text))
