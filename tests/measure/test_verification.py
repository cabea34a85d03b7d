"""Who is said to have computed."""

import platform
import sys

import pytest

from edgekit.measure.verification import kernels
from edgekit.nouns.profile import Delegate, Device
from edgekit.runner.board import machine


@pytest.mark.parametrize(
    ("abi", "delegate", "named"),
    [
        ("aarch64", "xnnpack", "arm64"),
        ("arm64", "xnnpack", "arm64"),  # macOS
        ("arm64-v8a", "none", "arm64"),
        ("armeabi-v7a", "xnnpack", "armv7"),
        ("x86_64", "xnnpack", "x86-64"),
        ("riscv64", "xnnpack", "riscv64"),
        ("arm64-v8a", "gpu", None),
        ("arm64-v8a", "nnapi", None),
        ("aarch64", "edgetpu", None),
        (None, "none", None),  # a microcontroller does not tell
    ],
)
def test_kernels_are_named_where_the_processor_computes(abi: str | None, delegate: Delegate, named: str | None) -> None:
    assert kernels(Device(id="d", kind="k", title="t", abi=abi), delegate) == named


def test_a_32_bit_system_on_a_64_bit_kernel_is_no_arm64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert machine.abi() == "aarch64"
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert machine.abi() == "armv7l"
