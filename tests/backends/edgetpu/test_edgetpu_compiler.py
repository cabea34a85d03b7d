import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.backends.edgetpu import compiler
from edgekit.errors import MissingTool, Unsupported
from edgekit.host.compilers import EDGETPU_VARIABLE

FLAGS = compiler.options(search_delegate=False, timeout_s=30)


def compile_with(words: tuple[str, ...] | None, limit_s: float = 60) -> compiler.Compiled:
    assert words is not None
    return compiler.compile_file(words, b"model", stem="model_int8", flags=FLAGS, limit_s=limit_s)


def test_no_compiler_is_no_command(no_compiler: None) -> None:
    assert compiler.command() is None


def test_the_program_on_the_path(stand_in: Any, logs: Path, tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.write_bytes(b"compiled")
    record = stand_in(logs / "yolov5s.log", result)
    made = compile_with(compiler.command())
    assert made.content == b"compiled"
    assert made.report.on_edge_tpu == 289
    words = record.read_text().splitlines()
    assert words[:4] == ["-s", "-t", "30", "-o"]
    assert words[-1].endswith("/model_int8.tflite")
    assert not Path(words[-1]).exists()  # the temporary folder is gone


def test_the_search_for_a_place_to_cut_is_an_option() -> None:
    assert compiler.options(search_delegate=True, timeout_s=5) == ("-s", "-t", "5", "-d", "-k", "5")


def test_the_variable_names_a_program(
    stand_in: Any, logs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(logs / "yolov5s.log", logs / "yolov5s.log")
    program = tmp_path / "bin" / "edgetpu_compiler"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv(EDGETPU_VARIABLE, str(program))
    assert compiler.command() == (str(program),)
    assert compile_with(compiler.command()).report.version == "16.0.384591198"


def test_the_variable_is_a_command(stand_in: Any, logs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = stand_in(logs / "yolov5s.log", logs / "yolov5s.log")
    program = tmp_path / "bin" / "edgetpu_compiler"
    monkeypatch.setenv(EDGETPU_VARIABLE, f"{program} {{options}} -o {{folder}} {{folder}}/{{file}}")
    assert compile_with(compiler.command()).report.on_cpu == 5
    assert record.read_text().splitlines()[:4] == ["-s", "-t", "30", "-o"]


def test_a_command_may_be_a_shell_script_for_another_host(
    stand_in: Any, logs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(logs / "yolov5s.log", logs / "yolov5s.log")
    program = shlex.quote(str(tmp_path / "bin" / "edgetpu_compiler"))
    monkeypatch.setenv(EDGETPU_VARIABLE, f"sh -c 'cd {{folder}} && {program} {{options}} -o . {{file}}'")
    assert compile_with(compiler.command()).report.on_edge_tpu == 289


@pytest.mark.parametrize("value", ["/nowhere/edgetpu_compiler", "no-such-program", "docker run 'broken {file}"])
def test_a_wrong_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EDGETPU_VARIABLE, value)
    with pytest.raises(MissingTool) as caught:
        compiler.command()
    assert value in caught.value.place
    assert "docker run" in caught.value.fix


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(MissingTool, match="cannot be run"):
        compile_with(("/nowhere/docker", "{folder}", "{file}"))


def test_a_command_that_finds_no_program_inside(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="not found"):
        compile_with(("sh", "-c", "no-such-compiler {file}"))


@pytest.mark.parametrize("name", ["internal_error", "new_version", "large_activations"])
def test_a_failure_has_a_remedy(stand_in: Any, logs: Path, name: str) -> None:
    stand_in(logs / f"{name}.log", code=1)
    with pytest.raises(Unsupported) as caught:
        compile_with(compiler.command())
    assert caught.value.fix
    assert "edgetpu_compiler 1" in caught.value.place  # its version


def test_a_compiler_that_says_nothing_is_named_alone(stand_in: Any, tmp_path: Path) -> None:
    (tmp_path / "silent.log").touch()
    stand_in(tmp_path / "silent.log", code=1)
    with pytest.raises(Unsupported, match="it said nothing") as caught:
        compile_with(compiler.command())
    assert str(caught.value).splitlines()[1] == "  at: edgetpu_compiler"


def test_success_without_a_file_is_a_failure(stand_in: Any, logs: Path) -> None:
    stand_in(logs / "internal_error.log", code=0)
    with pytest.raises(Unsupported, match="internal error"):
        compile_with(compiler.command())


def test_an_endless_compiler_is_killed_with_its_children(stand_in: Any, logs: Path) -> None:
    stand_in(logs / "yolov5s.log", sleep=60)
    start = time.monotonic()
    with pytest.raises(Unsupported, match=r"did not finish within 0\.5 s") as caught:
        compile_with(compiler.command(), limit_s=0.5)
    assert "timeout_s" in caught.value.fix
    assert time.monotonic() - start < 30


def test_words_that_are_no_utf8_do_not_matter(tmp_path: Path) -> None:
    script = "import sys; sys.stdout.buffer.write(b'\\xff Internal compiler error'); sys.exit(1)"
    with pytest.raises(Unsupported, match="internal error"):
        compile_with((sys.executable, "-c", script, "{folder}/{file}"))
