"""Places and blocks of processes on this host, for the drivers of devices that live here.

A place is a folder of the cache, so that files can be linked into it. It is known by its name alone: whoever
opens it may be interrupted before its path is told. A block is a process of the packed runner in its place;
a driver says which command starts a Python there.
"""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from edgekit import runner
from edgekit.errors import DeviceError
from edgekit.host import ownership, replacing
from edgekit.host.cachedir import cache_folder
from edgekit.nouns.profile import Block, Deployment, Device, Run

SAID = "said.txt"
"""What a block's process printed, in its folder."""

LOOK_S = 60.0
"""How long a Python may take to start and look around: under emulation, on a busy machine."""

CLOSE_S = 5.0
"""How long a folder may resist being removed: a block's process that is just ending still writes."""


_held: dict[str, int | None] = {}
"""The places that this process opened: what marks each as in use (`edgekit.host.ownership.hold`)."""


def places() -> Path:
    """The folder on this host that holds every place, on the cache's own disk."""
    return cache_folder().absolute() / "places"


def open_place(place: str, artifact: Path, inputs: Path) -> Deployment:
    """Make a place with an artifact, its companions, inputs and the runner; what dead runs left goes first.

    Raises:
        DeviceError: a file is not there, or the disk takes none; nothing stays.
    """
    folder = places() / place
    model = folder / "model" / artifact.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        folder.mkdir()
        _held[place] = ownership.hold(folder)
        (folder / runner.OWNER).write_text(runner.owner(place), encoding="utf8")
        for name, path in runner.companions(artifact).items():
            _bring(path, model.parent / name)
        _bring(inputs, folder / "inputs.npz")
        (folder / runner.PROGRAM).write_bytes(runner.program())
    except OSError as error:
        close_place(Deployment(place=place, model="", inputs=""))
        raise DeviceError(
            f"The files cannot be put in place: {error.strerror}.",
            place=str(error.filename2 or error.filename or folder),
            fix="free some space, or choose another folder with EDGEKIT_CACHE",
        ) from error
    return Deployment(place=str(folder), model=str(model), inputs=str(folder / "inputs.npz"))


def _sweep(place: str) -> None:
    """Remove what killed runs left, and what is called as the new place: only a dead run can have left that too."""
    for old in places().glob(runner.PLACE + "*"):
        if old.name == place:
            shutil.rmtree(old, ignore_errors=True)
            continue
        with ownership.unheld(old) as free:
            if free and _dead(old):
                shutil.rmtree(old, ignore_errors=True)


def _dead(old: Path) -> bool:
    """Whether the run of a place that no process holds has ended; of another container the lock is all that tells."""
    if runner.maker(old.name) is None:
        return True
    written = ""
    with suppress(OSError):  # killed before it was written
        written = (old / runner.OWNER).read_text(encoding="utf8")
    return runner.abandoned(old.name, written)


def _bring(source: Path, place: Path) -> None:
    """Link a file, or copy it if links cannot be had."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.hardlink_to(source.resolve())
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, place)


def place_of(deployment: Deployment) -> Path:
    """The folder of a deployment that is open.

    Raises:
        DeviceError: it is gone.
    """
    folder = Path(deployment.place)
    if not folder.is_dir():
        raise DeviceError(
            "What was put in place for this run is gone.",
            place=deployment.place,
            fix="run it again, without removing files of the cache meanwhile",
        )
    return folder


def close_place(deployment: Deployment) -> None:
    """Remove a place, which its name alone tells; none is no error.

    Raises:
        DeviceError: it cannot be removed.
    """
    folder = places() / Path(deployment.place).name
    assert folder.name.startswith(runner.PLACE), "no folder of edgekit's"
    if (held := _held.pop(folder.name, None)) is not None:
        os.close(held)
    end = time.monotonic() + CLOSE_S
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists() and time.monotonic() > end:
            raise DeviceError(
                "A folder cannot be removed.", place=str(folder), fix=f"remove it by hand: rm -r {folder}"
            )
        time.sleep(0.01 if folder.exists() else 0)


def look(
    python: list[str], device: Device, *, fix: str, environment: dict[str, str] | None = None
) -> runner.MachineSeen:
    """What the runner sees from a Python of this host.

    Args:
        python: the command that starts it.
        device: whose it is, for complaints.
        fix: what to do if it does not start.
        environment: its variables, this process's own if None.

    Raises:
        DeviceError: it does not start, or not in time, or says something else.
    """
    try:
        done = subprocess.run(
            [*python, str(_program()), "look"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOOK_S,
            check=False,
        )
    except OSError as error:
        raise DeviceError(f"{python[0]} does not start: {error.strerror}.", place=device.id, fix=fix) from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{python[-1]} did not start within {LOOK_S:.0f} s.", place=device.id, fix="try it again"
        ) from error
    if done.returncode:
        words = (done.stderr.decode("utf8", "replace").strip().splitlines() or ["it printed nothing"])[-1]
        raise DeviceError(f"Python does not run there: {words[:300]}", place=device.id, fix=fix)
    return runner.seen(done.stdout, device.id)


def _program() -> Path:
    """The runner, in a file of this version; others may just be reading it."""
    file = places() / runner.PROGRAM
    file.parent.mkdir(parents=True, exist_ok=True)
    replacing.write(file, runner.program())
    return file


def run_block(
    python: list[str],
    device: Device,
    deployment: Deployment,
    run: Run,
    out: Path,
    *,
    environment: dict[str, str] | None = None,
) -> Block:
    """Run one block in a process of its own; the files that it names come into ``out``.

    Args:
        python: the command that starts a Python.
        device: whose it is, for complaints.
        deployment: what `open_place` made.
        run: what to run.
        out: folder for files.
        environment: variables of the process, this one's own if None.

    Raises:
        DeviceError: the place is gone, or the process cannot be started or takes longer than it may.
        EdgekitError: what the runner reports, see `edgekit.runner.block`.
    """
    place = place_of(deployment)
    folder = place / "block"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / runner.ORDER).write_bytes(runner.order(deployment, run, str(folder)))
    command = [*python, str(place / runner.PROGRAM), str(folder), "follow"]
    code = _carried_out(command, folder, runner.limit_s(run), environment)
    answer = folder / runner.ANSWER
    block = runner.block(
        answer.read_bytes() if answer.is_file() else b"",
        code=code,
        place=f"{Path(deployment.model).name} on {device.id}",
        last_words=(folder / SAID).read_text(encoding="utf8", errors="replace"),
    )
    for name in runner.FETCHED:
        with suppress(FileNotFoundError):
            shutil.move(folder / name, out / name)
    return block


def _carried_out(command: list[str], folder: Path, limit_s: float, environment: dict[str, str] | None) -> int:
    """Run a block's process to its end; its exit code, negative for a signal.

    It ends with this one, because its standard input does.

    Raises:
        DeviceError: it cannot be started, or takes longer than it may.
    """
    with (folder / SAID).open("wb") as said:
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said
            )
        except OSError as error:
            raise DeviceError(
                f"Python does not start: {error.strerror}.", place=command[0], fix=f"try it: {command[0]} --version"
            ) from error
        with process:
            try:
                return process.wait(limit_s)
            except subprocess.TimeoutExpired as error:
                raise DeviceError(
                    f"A block took longer than {limit_s:g} s.",
                    place=str(folder),
                    fix="measure a smaller file, shorter blocks, or fewer samples",
                ) from error
            finally:
                process.kill()
