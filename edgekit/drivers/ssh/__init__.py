"""Linux boards over SSH: the runner is copied there, blocks run there, files come back.

Boards cannot be discovered; each is a table ``[devices.ID]`` of kind ``ssh``. A place is a folder in
the login's home. A block's process holds the connection's pipe as its standard input and ends when
that does, so that nothing goes on computing on a board that nobody listens to.
"""

import asyncio
import secrets
from pathlib import Path
from shlex import quote

import msgspec

from edgekit import runner
from edgekit.drivers import Driver
from edgekit.drivers.ssh.advice import missing
from edgekit.drivers.ssh.clock import Offset, clock_of, joined
from edgekit.drivers.ssh.connection import Board, wait
from edgekit.drivers.ssh.looking import BoardSeen, delegate_problem, look
from edgekit.drivers.ssh.transfer import fetch, prepare, removed, upload
from edgekit.drivers.ssh.trust import target
from edgekit.errors import DeviceError, EdgekitError, InputError, MissingTool, Unsupported
from edgekit.nouns.profile import Block, Delegate, Deployment, Device, DeviceConfig, Output, Run, State

LIBRARY = "libedgetpu.so.1"
"""The Edge TPU's delegate, as its package installs it."""

SUFFIXES = (".tflite", ".xml", ".onnx")
"""What a board may be able to run."""

ALONE = (
    'cd {folder} && exec env PYTHONUSERBASE="${{PYTHONUSERBASE:-$HOME/.local}}" HOME={folder} TMPDIR={folder} {command}'
)
"""Runs a block with its own folder as its home: OpenVINO, for one, leaves files in the user's."""

FIND_S = 20.0
"""After how many seconds a board that answers, but slowly, is given up."""


class Ssh(Driver):
    """Boards that run Linux, an SSH server with file transfer, and Python 3.9 or later with numpy."""

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """Every configured board, looked at concurrently."""

        async def concurrently() -> list[Device]:
            return await asyncio.gather(*(_found(name, config) for name, config in configured.items()))

        return tuple(wait(concurrently()))

    def state(self, device: Device) -> State:
        """The board's state; starts Python there."""
        return wait(look(Board.of(device))).runner.state

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:
        """Each line in ``sh``; code 124 for one that does not end."""

        async def one_by_one() -> list[Output]:
            board = Board.of(device)
            return [await board.command(line, doing=f"running: {line}") for line in lines]

        return tuple(wait(one_by_one()))

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:
        """Copy the runner, the artifact with its companions and the inputs into a new folder in the home."""
        return wait(_open(Board.of(device), artifact, inputs, run, place))

    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """One process there, between two readings of its clock."""
        return wait(_run(Board.of(device), deployment, run, out))

    def close(self, device: Device, deployment: Deployment) -> None:
        """Remove the folder; nothing else was changed."""
        wait(removed(Board.of(device), deployment.place))


async def _found(name: str, config: DeviceConfig) -> Device:
    device = Device(id=name, kind="ssh", title=target(config) if config.host else name, config=config)
    try:
        async with asyncio.timeout(FIND_S):
            board = Board(name, config)
            try:
                seen = await look(board)
            except MissingTool as error:
                return await _without_python(board, device, error)
            return await _described(board, seen, seen.of(device))
    except TimeoutError:
        problem = f"it does not answer within {FIND_S:.0f} s; fix: check its load and network"
    except EdgekitError as error:
        problem = _words(error)
    return msgspec.structs.replace(device, usable=False, problems=(problem,))


async def _without_python(board: Board, device: Device, error: MissingTool) -> Device:
    """A board that answers, but has no Python to be looked at with."""
    said = await board.command("uname -sr; uname -m", doing="asking for its system")
    system, _, machine = said.stdout.strip().rpartition("\n")
    return msgspec.structs.replace(device, os=system, abi=machine, usable=False, problems=(_words(error),))


async def _described(board: Board, seen: BoardSeen, device: Device) -> Device:
    """A board that was looked at, with its delegates and what is wrong with it."""
    problems = list(device.problems)
    delegates: tuple[Delegate, ...] = ("xnnpack", "none") if ".tflite" in device.runs else ()
    usable = seen.facts.numpy and bool(device.runs)
    if not usable:
        problems.insert(0, _words(missing(board, ".tflite", seen.facts)))  # the one that keeps it from being used
    elif delegates:
        if not (problem := await delegate_problem(board, board.config.delegate_library or LIBRARY)):
            delegates = ("xnnpack", "edgetpu", "none")
        elif board.config.delegate_library:
            problems.append(f"{problem}; fix: install it there, or correct delegate_library in [devices.{board.name}]")
    return msgspec.structs.replace(device, delegates=delegates, usable=usable, problems=tuple(problems))


def _words(error: EdgekitError) -> str:
    return f"{error.problem.removesuffix('.')}; fix: {error.fix}"


async def _open(board: Board, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:
    if artifact.suffix not in SUFFIXES:
        raise Unsupported(
            f"A board runs {', '.join(SUFFIXES)} files, not {artifact.suffix or 'this'}.",
            place=str(artifact),
            fix="name one of the files that edgekit build made",
        )
    for file in (artifact, inputs):
        if not file.is_file():
            raise InputError("There is no such file.", place=str(file), fix="correct its path")
    seen = await look(board)
    if not seen.facts.numpy or artifact.suffix not in runner.runs(seen.runner.runtimes):
        raise missing(board, artifact.suffix, seen.facts)
    library = await _delegate(board, run)
    files: dict[str, Path | bytes] = {runner.PROGRAM: runner.program(), "inputs.npz": inputs}
    files |= {f"model/{name}": path for name, path in runner.companions(artifact).items()}
    folder = await upload(board, place, files)
    return Deployment(
        place=folder, model=f"{folder}/model/{artifact.name}", inputs=f"{folder}/inputs.npz", library=library
    )


async def _delegate(board: Board, run: Run) -> str | None:
    """The delegate's library there, if the run uses one.

    Raises:
        Unsupported: boards have no such delegate.
        MissingTool: its library is not there.
    """
    if run.delegate in {"xnnpack", "none"}:
        return None
    if run.delegate != "edgetpu":
        raise Unsupported(
            f"The delegate {run.delegate} is for phones.",
            place=board.place,
            fix="choose --delegate xnnpack, edgetpu or none",
        )
    library = board.config.delegate_library or LIBRARY
    if problem := await delegate_problem(board, library):
        raise MissingTool(
            f"{problem}.",
            place=board.place,
            fix="install the Edge TPU runtime there (package libedgetpu1-std), "
            f"or name the library's path as delegate_library in [devices.{board.name}]",
        )
    return library


async def _run(board: Board, deployment: Deployment, run: Run, out: Path) -> Block:
    folder = f"{deployment.place}/block-{secrets.token_hex(4)}"
    async with board.files("preparing a block") as files:
        await prepare(board, files, folder, runner.order(deployment, run, folder))
        if run.mode in {"time", "idle"}:
            async with clock_of(board) as there:
                first = await there.read()
                said = await _process(board, deployment, run, folder)
                shift = joined(first, await there.read())
        else:
            said, shift = await _process(board, deployment, run, folder), Offset(0.0, 0.0)  # no moment of it matters
        answer = await fetch(files, folder, out)
    name = deployment.model.rpartition("/")[2]
    words = said.stdout + said.stderr
    block = runner.block(answer, code=said.code, place=f"{name} on {board.place}", last_words=words)
    return msgspec.structs.replace(block, host_offset_s=shift.offset_s, host_offset_error_s=shift.error_s)


async def _process(board: Board, deployment: Deployment, run: Run, folder: str) -> Output:
    """The block's process, from its start to its end."""
    command = f"{board.python} {quote(f'{deployment.place}/{runner.PROGRAM}')} {quote(folder)} follow"
    limit_s = runner.limit_s(run)
    line = ALONE.format(folder=quote(folder), command=command)
    said = await board.command(line, doing="running a block", limit_s=limit_s)
    if said.code == 124:
        raise DeviceError(
            f"A block took longer than {limit_s:.0f} s.",
            place=board.place,
            fix="measure a smaller file, or shorter blocks",
        )
    return said
