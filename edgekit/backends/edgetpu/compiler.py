"""Finding and running ``edgetpu_compiler``: on this host, in a container, or on another machine.

The compiler is a closed program for x86-64 Linux, in Google's Debian repository only.
``EDGEKIT_EDGETPU_COMPILER`` says where it is:

* the path of the program, or
* a command with placeholders, run without a shell: ``{folder}`` is a temporary folder on this host
  that holds the model and takes what the compiler writes, ``{file}`` the model's name in it,
  ``{options}`` edgekit's options for the compiler. For example::

      docker run --rm -v {folder}:/w coral edgetpu_compiler {options} -o /w /w/{file}
      sh -c 'scp {folder}/{file} pc: && ssh pc edgetpu_compiler {options} {file} && scp pc:*_edgetpu.* {folder}'

Without the variable, the program is looked up on ``PATH``.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekit.backends.edgetpu import log
from edgekit.errors import MissingTool, Unsupported
from edgekit.host.compilers import EDGETPU_INSTALL as INSTALL
from edgekit.host.compilers import EDGETPU_PROGRAM as PROGRAM
from edgekit.host.compilers import EDGETPU_VARIABLE as VARIABLE


@dataclass(frozen=True)
class Compiled:
    """What a run of the compiler gave."""

    content: bytes
    report: log.Report


def command() -> tuple[str, ...] | None:
    """The compiler's command: one word for a program, several with placeholders; None if there is none.

    Raises:
        MissingTool: the variable names something that is not there, or a command without ``{file}``.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        found = shutil.which(PROGRAM)
        return None if found is None else (found,)
    if "{file}" in named:
        try:
            return tuple(shlex.split(named))
        except ValueError as error:
            raise _misnamed(f"is no command: {error}", named) from error
    found = shutil.which(named)
    if found is None:
        raise _misnamed("is no program that can be run, and no command with {folder} and {file}", named)
    return (found,)


def _misnamed(why: str, named: str) -> MissingTool:
    return MissingTool(
        f"{VARIABLE} {why}.",
        place=f"{VARIABLE}={named}",
        fix=f"give the path of {PROGRAM}, or a command such as: docker run --rm -v {{folder}}:/w IMAGE "
        f"{PROGRAM} {{options}} -o /w /w/{{file}}",
    )


def options(*, search_delegate: bool, timeout_s: int) -> tuple[str, ...]:
    """edgekit's options: the table of operators on the screen, a time limit, and a search for a place to cut.

    ``-d -k 5`` makes the compiler try again with fewer operators if it fails on the whole
    (https://coral.ai/docs/edgetpu/compiler/).
    """  # noqa: D403 (the product's name is lower case)
    search = ("-d", "-k", "5") if search_delegate else ()
    return ("-s", "-t", str(timeout_s), *search)


def compile_file(
    words: tuple[str, ...], content: bytes, *, stem: str, flags: tuple[str, ...], limit_s: float
) -> Compiled:
    """Compile a model.

    Args:
        words: `command`'s answer.
        content: the compile-ready TFLite file.
        stem: the model's file name without ending.
        flags: `options`.
        limit_s: seconds after which everything that was started is killed.

    Raises:
        MissingTool: the command cannot be run.
        Unsupported: the compiler failed or took too long; its own words decide the remedy.
    """
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as name:
        folder = Path(name)
        file = folder / f"{stem}.tflite"
        file.write_bytes(content)
        said, code = _run(_filled(words, file, flags), limit_s)
        written = folder / f"{stem}_edgetpu.log"
        said += "\n" + (written.read_text("utf8", "replace") if written.is_file() else "")
        result = folder / f"{stem}_edgetpu.tflite"
        if code in {126, 127}:  # what shells, docker and ssh answer if there is no such program
            raise MissingTool(f"{shlex.join(words)} cannot be run: {_last(said)}", place=VARIABLE, fix=INSTALL)
        if code or not result.is_file():
            found = log.failure(said)
            place = f"{PROGRAM} {log.parse(said).version or ''}".rstrip()
            raise Unsupported(f"{found.problem}.", place=place, fix=found.fix)
        return Compiled(result.read_bytes(), log.parse(said))


def _filled(words: tuple[str, ...], file: Path, flags: tuple[str, ...]) -> list[str]:
    if len(words) == 1:
        return [*words, *flags, "-o", str(file.parent), str(file)]
    filled: list[str] = []
    for word in words:
        if word == "{options}":
            filled.extend(flags)
        else:
            replaced = word.replace("{folder}", str(file.parent)).replace("{file}", file.name)
            filled.append(replaced.replace("{options}", shlex.join(flags)))
    return filled


def _run(arguments: list[str], limit_s: float) -> tuple[str, int]:
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise MissingTool(f"{arguments[0]} cannot be run: {error.strerror}.", place=VARIABLE, fix=INSTALL) from error
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)  # the compiler works in a child of its own
        process.communicate()
        raise Unsupported(
            f"edgetpu_compiler did not finish within {limit_s:g} s.",
            place=shlex.join(arguments),
            fix="raise timeout_s in the target's settings, or make the model smaller",
        ) from error
    return said.decode("utf8", "replace"), process.returncode


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["it said nothing"])[-1]
