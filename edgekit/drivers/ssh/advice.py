"""Which command makes a board able to run files: pip's line for the Python that it has."""

from shlex import quote

import msgspec

from edgekit.drivers.ssh.connection import Board
from edgekit.drivers.ssh.trust import ssh_command
from edgekit.errors import MissingTool

OLD = "'tflite-runtime==2.14.0' 'numpy<2'"
"""The last release for an older Python or C library; its wheels are for Python 3.9 to 3.11 (PyPI)."""

PACKAGES = {".tflite": "ai-edge-litert numpy", ".xml": "openvino numpy", ".onnx": "onnxruntime numpy"}
"""Suffix → what pip is to install for such files."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What decides which wheels fit a board.

    ``glibc`` is (0, 0) under another C library. ``managed``: the distribution keeps pip out of this
    Python (PEP 668). ``numpy``: it is installed.
    """

    version: tuple[int, int]
    machine: str
    glibc: tuple[int, int]
    managed: bool
    numpy: bool


def packages(suffix: str, facts: Facts) -> str:
    """What pip is to install so that files of a suffix run.

    ai-edge-litert has wheels for x86-64 and aarch64, there for glibc 2.34 and later, and Python 3.10
    and later (PyPI); older boards take tflite-runtime.
    """
    modern = facts.version >= (3, 10) and (
        facts.machine == "x86_64" or (facts.machine == "aarch64" and facts.glibc >= (2, 34))
    )
    if suffix == ".tflite" and not modern and facts.version <= (3, 11):
        return OLD
    return PACKAGES[suffix]


def command(board: Board, wanted: str, facts: Facts) -> str:
    """The line that installs packages on a board; if pip is kept out, into a virtual environment."""
    if facts.managed:
        line = f"{board.python} -m venv ~/edgekit && ~/edgekit/bin/pip install {wanted}"
        then = f', and python = "~/edgekit/bin/python" in [devices.{board.name}]'
    else:
        line, then = f"{board.python} -m pip install {wanted}", ""
    return f"{ssh_command(board.config)} {_once(line)}{then}"


def missing(board: Board, suffix: str, facts: Facts) -> MissingTool:
    """The complaint that a board cannot run files of a suffix, with the line for its own Python."""
    return MissingTool(
        f"No runtime there runs {suffix} files." if facts.numpy else "numpy is not installed there.",
        place=board.place,
        fix=command(board, packages(suffix, facts), facts),
    )


def no_python(board: Board) -> MissingTool:
    """The complaint that the configured interpreter is not there."""
    return _python(board, f"There is no {board.config.python} there.")


def old_python(board: Board, version: str) -> MissingTool:
    """The complaint that the configured interpreter is too old."""
    return _python(board, f"{board.config.python} there is Python {version}; 3.9 or later is needed.")


def _python(board: Board, problem: str) -> MissingTool:
    return MissingTool(
        problem,
        place=board.place,
        fix=f"name another one as python in [devices.{board.name}], or install one: "
        f"{ssh_command(board.config)} -t sudo apt-get install python3 python3-venv",
    )


def _once(line: str) -> str:
    """A line as one word for ssh, readable if it holds single quotes already."""
    return f'"{line}"' if "'" in line and not set('"$`\\!') & set(line) else quote(line)
