"""This host: a fresh process of this Python for every block."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from edgekit import runner
from edgekit.config import cache_folder
from edgekit.devices import PLACE, Driver
from edgekit.errors import DeviceError, Unsupported
from edgekit.profiles import Block, Device, DeviceConfig, Output, Run, Stand, State
from edgekit.runner.board import machine

LINE_S = 60.0
"""The longest that one shell line may take."""

SAID = "said.txt"
"""What a block's process printed, in its folder."""


def places() -> Path:
    """The folder on this host that holds every place, on the cache's own disk so that files can be linked."""
    return cache_folder() / "places"


class Local(Driver):
    """This host, and other interpreters on it that a table of this kind names by ``python``."""

    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """This host as ``local``, then what is configured."""
        here = Device(id="local", kind="local", title="this host", delegates=("xnnpack", "none"))
        others = [
            Device(
                id=name,
                kind="local",
                title=f"{config.python} on this host",
                delegates=("xnnpack", *(("edgetpu",) if config.delegate_library else ()), "none"),
                config=config,
            )
            for name, config in configured.items()
            if config.kind == "local"
        ]
        return (runner.described(here, msgspec.convert(machine.look(), runner.Seen)), *map(_looked, others))

    def state(self, device: Device) -> State:  # noqa: ARG002  there is one host
        """The host's state, read here and now."""
        return msgspec.convert(machine.state(), State)

    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:  # noqa: ARG002
        """Each line in ``sh``; code 124 for one that takes longer than `LINE_S`, 127 for all without ``sh``."""
        return tuple(map(_execute, lines))

    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Stand:  # noqa: ARG002
        """Link the artifact and its companions into a folder of their own; changes nothing else."""
        if artifact.suffix not in device.runs:
            if any(artifact.suffix in suffixes for suffixes in runner.RUNS.values()):
                raise runner.missing(artifact.suffix, device.id, _python(device))
            raise Unsupported(
                f"This host runs {', '.join(device.runs)} files.", place=str(artifact), fix="name one of those"
            )
        folder = places() / place
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _sweep(folder.parent)
            folder.mkdir()
            for name, path in runner.companions(artifact).items():
                _bring(path, folder / "model" / name)
            _bring(inputs, folder / "inputs.npz")
            (folder / runner.PROGRAM).write_bytes(runner.program())
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DeviceError(
                f"The files cannot be put in place: {error.strerror}.",
                place=str(error.filename2 or error.filename or folder),
                fix="free some space, or choose another folder with EDGEKIT_CACHE",
            ) from error
        return Stand(
            place=str(folder),
            model=str(folder / "model" / artifact.name),
            inputs=str(folder / "inputs.npz"),
            library=device.config.delegate_library if device.config else None,
        )

    def run(self, device: Device, stand: Stand, run: Run, out: Path) -> Block:
        """One process; it ends with this one, because its standard input does."""
        folder = Path(stand.place) / "block"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
        except OSError as error:
            raise DeviceError(
                "What was put in place for this run is gone.",
                place=stand.place,
                fix="run it again, without removing files of the cache meanwhile",
            ) from error
        (folder / runner.ORDER).write_bytes(runner.order(stand, run, str(folder)))
        code = _carry_out([_python(device), str(Path(stand.place) / runner.PROGRAM), str(folder), "follow"], run)
        answer = folder / runner.ANSWER
        block = runner.block(
            answer.read_bytes() if answer.is_file() else b"",
            code=code,
            place=f"{Path(stand.model).name} on {device.id}",
            last_words=(folder / SAID).read_text(encoding="utf8", errors="replace"),
        )
        for name in runner.FETCHED:
            with suppress(FileNotFoundError):
                shutil.move(folder / name, out / name)
        return block

    def close(self, device: Device, stand: Stand) -> None:  # noqa: ARG002
        """Remove the folder; a block's process that is just ending gets a moment for it."""
        folder = Path(stand.place)
        assert folder.name.startswith(PLACE), "no folder of edgekit's"
        end = time.monotonic() + 5
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists() and time.monotonic() > end:
                raise DeviceError(
                    "A folder cannot be removed.", place=str(folder), fix=f"remove it by hand: rm -r {folder}"
                )
            time.sleep(0.01 if folder.exists() else 0)


def _python(device: Device) -> str:
    """The interpreter for a device: this one, unless its table names another."""
    named = device.config.python if device.config else "python3"
    return sys.executable if named == "python3" else named


def _looked(device: Device) -> Device:
    """A configured device as the runner sees it from that interpreter."""
    program = places() / runner.PROGRAM
    program.parent.mkdir(parents=True, exist_ok=True)
    aside = program.with_suffix(f".{os.getpid()}")
    aside.write_bytes(runner.program())
    aside.replace(program)  # others may just be reading it
    try:
        done = subprocess.run(
            [_python(device), str(program), "look"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return runner.described(device, runner.seen(done.stdout, device.id))
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"{_python(device)} does not start: {error}"
    except DeviceError as error:
        problem = error.problem
    return msgspec.structs.replace(device, usable=False, problems=(*device.problems, problem))


def _execute(line: str) -> Output:
    try:
        done = subprocess.run(
            ["sh", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LINE_S,
            check=False,
        )
    except FileNotFoundError:
        return Output(code=127, stdout="", stderr="there is no sh here")
    except subprocess.TimeoutExpired:
        return Output(code=124, stdout="", stderr=f"it takes longer than {LINE_S:.0f} s")
    return Output(
        code=done.returncode, stdout=done.stdout.decode("utf8", "replace"), stderr=done.stderr.decode("utf8", "replace")
    )


def _sweep(folder: Path) -> None:
    """Remove what killed runs left."""
    for old in folder.iterdir():
        if runner.abandoned(old.name):
            shutil.rmtree(old, ignore_errors=True)


def _bring(source: Path, place: Path) -> None:
    """Link a file, or copy it where links cannot be had."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.hardlink_to(source.resolve())
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, place)


def _carry_out(command: list[str], run: Run) -> int:
    """Run a block's process to its end; its exit code, negative for a signal.

    Raises:
        DeviceError: it cannot be started, or takes longer than it may.
    """
    folder = Path(command[2])
    limit_s = runner.limit_s(run)
    with (folder / SAID).open("wb") as said:
        try:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=said, stderr=said)
        except OSError as error:
            raise DeviceError(
                f"Python does not start: {error.strerror}.", place=command[0], fix=f"try it: {command[0]} --version"
            ) from error
        with process:
            try:
                return process.wait(limit_s)
            except subprocess.TimeoutExpired as error:
                raise DeviceError(
                    f"A block took longer than {limit_s:.0f} s.",
                    place=str(folder),
                    fix="measure a smaller file, or shorter blocks",
                ) from error
            finally:
                process.kill()
