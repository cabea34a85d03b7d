"""What needs no board: the clock's offset, and which pip line fits which Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.drivers.ssh import advice, clock
from edgekit.drivers.ssh.connection import Board
from edgekit.drivers.ssh.trust import ssh_command
from edgekit.nouns.profile import DeviceConfig

SECONDS = st.floats(0, 1)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(SECONDS, SECONDS, SECONDS), min_size=1, max_size=20))
def test_the_true_offset_lies_in_the_interval(true: float, steps: list[tuple[float, float, float]]) -> None:
    now, readings = 1000.0, []
    for pause, there, back in steps:
        before = now + pause
        board = before + there - true
        now = before + there + back
        readings.append((before, board, now))
    found = clock.offset(readings)
    rounding = 1e-9  # of seconds since start, as floats
    assert abs(found.offset_s - true) <= found.error_s + rounding
    shortest = min(after - before for before, _, after in readings)
    assert found.error_s <= shortest / 2 + rounding


@given(st.floats(-1e6, 1e6), SECONDS, st.floats(-0.1, 0.1), SECONDS)
def test_drift_between_two_estimates_is_part_of_the_error(
    first: float, first_error: float, drift: float, last_error: float
) -> None:
    found = clock.joined(clock.Offset(first, first_error), clock.Offset(first + drift, last_error))
    for moment in (0.0, 0.25, 1.0):
        assert abs(first + drift * moment - found.offset_s) <= found.error_s + 1e-6


def facts(version: tuple[int, int], machine: str, glibc: tuple[int, int] = (2, 36)) -> advice.Facts:
    return advice.Facts(version=version, machine=machine, glibc=glibc, managed=False, numpy=True)


@pytest.mark.parametrize(
    ("suffix", "there", "wanted"),
    [
        (".tflite", facts((3, 12), "x86_64"), "ai-edge-litert numpy"),
        (".tflite", facts((3, 11), "aarch64"), "ai-edge-litert numpy"),
        (".tflite", facts((3, 11), "aarch64", (2, 31)), advice.OLD),  # Debian 11
        (".tflite", facts((3, 9), "x86_64"), advice.OLD),
        (".tflite", facts((3, 11), "armv7l"), advice.OLD),
        (".tflite", facts((3, 13), "armv7l"), "ai-edge-litert numpy"),
        (".xml", facts((3, 9), "aarch64"), "openvino numpy"),
        (".onnx", facts((3, 12), "x86_64"), "onnxruntime numpy"),
    ],
)
def test_the_packages_fit_the_board(suffix: str, there: advice.Facts, wanted: str) -> None:
    assert advice.packages(suffix, there) == wanted


def test_the_line_can_be_typed_as_it_is() -> None:
    board = Board("pi", DeviceConfig(kind="ssh", host="pi.local", user="pi", port=2222, key="/keys/pi key"))
    assert ssh_command(board.config) == "ssh -p 2222 -i '/keys/pi key' pi@pi.local"
    plain = advice.command(board, advice.OLD, facts((3, 9), "armv7l"))
    assert plain.endswith("""pi@pi.local "python3 -m pip install 'tflite-runtime==2.14.0' 'numpy<2'\"""")


def test_a_distributions_python_gets_a_virtual_environment() -> None:
    """PEP 668: pip refuses to install into it."""
    board = Board("pi", DeviceConfig(kind="ssh", host="pi.local"))
    there = advice.Facts(version=(3, 11), machine="aarch64", glibc=(2, 36), managed=True, numpy=False)
    error = advice.missing(board, ".tflite", there)
    assert error.problem == "numpy is not installed there."
    assert error.fix == (
        "ssh pi.local 'python3 -m venv ~/edgekit && ~/edgekit/bin/pip install ai-edge-litert numpy', "
        'and python = "~/edgekit/bin/python" in [devices.pi]'
    )
