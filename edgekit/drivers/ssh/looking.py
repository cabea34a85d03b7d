"""What a board is and what it can run, seen by the packed runner without leaving a file there."""

import json
from shlex import quote

import msgspec

from edgekit import runner
from edgekit.drivers.ssh.advice import Facts, no_python, old_python
from edgekit.drivers.ssh.connection import Board
from edgekit.nouns.profile import Device

OLD = "this is Python "
"""How a too old Python's last words begin."""

LOOK = f"""
import os, sys
sys.version_info >= (3, 9) or sys.exit("{OLD}" + sys.version.split()[0])
import importlib.util, json, platform, runpy, sysconfig
program = os.memfd_create("edgekit_runner")
with open(program, "wb", closefd=False) as file:
    file.write(sys.stdin.buffer.read(int(sys.argv[1])))
marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
print(json.dumps({{
    "version": sys.version_info[:2],
    "machine": platform.machine(),
    "glibc": [int(part) for part in (platform.libc_ver()[1] or "0.0").split(".")[:2]],
    "managed": sys.prefix == sys.base_prefix and os.path.exists(marker),
    "numpy": importlib.util.find_spec("numpy") is not None,
}}))
sys.argv[1:] = ["look"]
runpy.run_path("/proc/self/fd/%d" % program, run_name="__main__")
"""
"""Keeps the runner in memory, so that a full or read-only board can be looked at; old Pythons parse it too."""

DELEGATE = """
import ctypes, sys
ctypes.CDLL(sys.argv[1]).tflite_plugin_create_delegate
"""
"""A delegate's library has to have this function (``experimental_external_delegate`` in TFLite)."""


class BoardSeen(msgspec.Struct, frozen=True):
    """What was seen: the runner's words, and what decides which wheels fit."""

    runner: runner.MachineSeen
    facts: Facts

    def of(self, device: Device) -> Device:
        """A device with what was seen there; that numpy is missing is for `find` to say, with the line that helps."""
        own = self.runner if self.facts.numpy else msgspec.structs.replace(self.runner, problems=())
        return runner.described(device, own)


async def look(board: Board) -> BoardSeen:
    """Look at a board.

    Raises:
        DeviceError: it does not answer.
        MissingTool: it has no Python, or one that is too old.
    """
    program = runner.program()
    said = await board.script(LOOK, words=str(len(program)), given=program, doing="looking at what it can run")
    if said.code in {126, 127}:
        raise no_python(board)
    words = said.stderr.strip().rpartition("\n")[2]
    if words.startswith(OLD):
        raise old_python(board, words.removeprefix(OLD))
    *_, facts, last = ["", "", *said.stdout.strip().splitlines()]
    try:
        return BoardSeen(runner.seen(last.encode(), board.place), msgspec.convert(json.loads(facts), Facts))
    except ValueError as error:
        raise board.refused("starting Python", RuntimeError(words or f"exit code {said.code}")) from error


async def delegate_problem(board: Board, library: str) -> str:
    """Why a delegate's library cannot be loaded on a board; empty if it can.

    Raises:
        DeviceError: the board does not answer.
    """
    said = await board.script(DELEGATE, words=quote(library), flags="-S", doing="looking for the delegate's library")
    if said.code == 0:
        return ""
    return f"{library} cannot be loaded there: {said.stderr.strip().rpartition(': ')[2] or f'exit code {said.code}'}"
