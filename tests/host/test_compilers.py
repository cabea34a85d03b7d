"""Compilers outside Python are found where they are, and told from those that are not."""

import os
import sys
from pathlib import Path

import pytest

from edgekit.host import compilers
from edgekit.verbs.doctor import doctor


def test_a_named_command_wins_over_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "edgetpu_compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
    assert compilers.edgetpu() == str(program)
    monkeypatch.setenv("EDGEKIT_EDGETPU_COMPILER", "ssh host edgetpu_compiler {file}")
    assert compilers.edgetpu() == "ssh host edgetpu_compiler {file}"


def test_another_program_in_its_place_is_another_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "edgetpu_compiler"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("EDGEKIT_EDGETPU_COMPILER", str(program))
    before = compilers.installed()
    assert compilers.installed() == before
    program.write_text("#!/bin/sh\nexit 1\n")
    assert compilers.installed() != before
    monkeypatch.setenv("EDGEKIT_EDGETPU_COMPILER", "ssh host {file}")
    assert compilers.installed()["edgetpu"] == "ssh host {file}"


def test_without_any_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
    monkeypatch.setattr(compilers, "NPU_LIBRARIES", ("libnothing.so",))
    assert compilers.installed() == {"edgetpu": "", "openvino": ""}
    parts = {part.name: part for part in doctor().parts}
    for name in ("edgetpu_compiler", "openvino npu compiler"):
        assert not parts[name].works
        assert parts[name].fix
    assert parts["edgetpu_compiler"].fix == compilers.EDGETPU_INSTALL
    assert "sudo apt-get install edgetpu-compiler" in parts["edgetpu_compiler"].fix


def test_the_npu_library_beside_the_plugins_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "openvino" / "libs" / compilers.NPU_LIBRARIES[0]
    library.parent.mkdir(parents=True)
    library.touch()
    (tmp_path / "openvino" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert compilers.npu() == str(library)


def test_doctor_says_what_works() -> None:
    health = doctor()
    kinds = {part.kind for part in health.parts}
    assert kinds == {"source", "target", "tool", "device", "guard"}
    assert {part.name for part in health.parts if part.kind == "source"} == {
        "keras",
        "hdf5",
        "savedmodel",
        "onnx",
        "tflite",
    }
    assert all(part.works or part.fix for part in health.parts)
    assert health.tools["numpy"]
