"""Files to and from a board, and folders made and removed there."""

from contextlib import suppress
from pathlib import Path
from shlex import quote

import asyncssh

from edgekit import runner
from edgekit.drivers.ssh.connection import Board, Files
from edgekit.drivers.ssh.trust import ssh_command
from edgekit.errors import DeviceError

READ_ONLY = 1
"""``ST_RDONLY`` of ``statvfs`` as SFTP sends it (OpenSSH, PROTOCOL §4.4)."""

REMOVE = "for i in 1 2 3 4 5; do rm -rf -- {0} 2>/dev/null; test -e {0} || exit 0; sleep 1; done; rm -rf -- {0}"
"""A block's process that is just ending may still write; then it takes a moment."""


async def upload(board: Board, place: str, files: dict[str, Path | bytes]) -> str:
    """Make a folder in the home and fill it, after clearing away what dead runs of this host left.

    Args:
        board: where to.
        place: the folder's name.
        files: content by path below the folder.

    Returns:
        The folder's absolute path.

    Raises:
        DeviceError: no connection, no room, or nothing may be written there; nothing stays.
    """
    async with board.files("copying files to it") as transfer:
        client = transfer.client
        home = str(await client.realpath("."))
        await _sweep(board, client, home, place)
        folder = f"{home}/{place}"
        needed = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
        if problem := await _obstacle(board, client, home, needed):
            raise problem
        try:
            await client.mkdir(folder, asyncssh.SFTPAttrs(permissions=0o700))
            for name, file in files.items():
                await client.makedirs(str(Path(folder, name).parent), exist_ok=True)
                await _put(client, file, f"{folder}/{name}")
        except asyncssh.SFTPError as error:
            with suppress(asyncssh.Error, DeviceError):
                problem = await _obstacle(board, client, home, needed)
            await _give_up(board, folder)
            raise problem or _not_writable(board, home, error) from error
        except BaseException:
            await _give_up(board, folder)
            raise
        return folder


async def _put(client: asyncssh.SFTPClient, file: Path | bytes, to: str) -> None:
    if isinstance(file, bytes):
        async with client.open(to, "wb") as target:
            await target.write(file)
    else:
        await client.put(str(file), to)


async def _give_up(board: Board, folder: str) -> None:
    """Remove what was begun; if even that fails, the next run clears it away."""
    with suppress(DeviceError):
        await removed(board, folder)


async def _sweep(board: Board, client: asyncssh.SFTPClient, home: str, place: str) -> None:
    """Remove the places of this host's dead processes, and what is called as the new place."""
    names = map(str, await client.listdir(home))
    dead = [f"{home}/{name}" for name in names if name == place or runner.abandoned(name)]
    if dead:
        await board.command(f"rm -rf -- {' '.join(map(quote, dead))}", doing="clearing away old files")


async def _obstacle(board: Board, client: asyncssh.SFTPClient, home: str, needed: int) -> DeviceError | None:
    """Why so many bytes cannot be put into a folder, as far as the file system tells."""
    try:
        disk = await client.statvfs(home)
    except asyncssh.SFTPOpUnsupported:  # an extension that not every server has
        return None
    free = disk.bavail * disk.frsize
    if disk.flags & READ_ONLY:
        return _not_writable(board, home, RuntimeError("the file system is read-only"))
    if (disk.blocks and free < needed) or (disk.files and not disk.ffree):
        return DeviceError(
            f"There is no room: {needed / 2**20:.1f} MiB are needed, {free / 2**20:.1f} MiB are free.",
            place=f"{board.place}, {home}",
            fix=f"free some space there; see what takes it: {ssh_command(board.config)} du -sh {quote(home)}",
        )
    return None


def _not_writable(board: Board, home: str, error: Exception) -> DeviceError:
    return DeviceError(
        f"Nothing can be written into the home there: {getattr(error, 'reason', '') or error}.",
        place=f"{board.place}, {home}",
        fix="make the home writable (a read-only system: sudo mount -o remount,rw /), or log in as another user",
    )


async def prepare(board: Board, files: Files, folder: str, order: bytes) -> None:
    """Make a folder for a block, with its order.

    Raises:
        DeviceError: the folder above is gone.
    """
    try:
        await files.client.mkdir(folder)
    except asyncssh.SFTPNoSuchFile as error:
        raise DeviceError(
            "What was put there for this run is gone.",
            place=f"{board.place}, {folder}",
            fix="run it again, without removing files there meanwhile",
        ) from error
    await _put(files.client, order, f"{folder}/{runner.ORDER}")


async def fetch(files: Files, folder: str, out: Path) -> bytes:
    """Bring back what a block left, into a folder on this host; its answer, empty if there is none."""
    files.doing = "bringing back what it measured"
    answer = b""
    for name in runner.FETCHED:
        with suppress(asyncssh.SFTPNoSuchFile):
            await files.client.get(f"{folder}/{name}", str(out / name))
    with suppress(asyncssh.SFTPNoSuchFile):
        await files.client.get(f"{folder}/{runner.ANSWER}", str(out / runner.ANSWER))
        answer = (out / runner.ANSWER).read_bytes()
        (out / runner.ANSWER).unlink()
    await files.client.rmtree(folder, ignore_errors=True)  # samples of many blocks may fill a small disk
    return answer


async def removed(board: Board, place: str) -> None:
    """Remove a place; it may be gone already.

    Raises:
        DeviceError: it cannot be removed; it is named.
    """
    if not Path(place).name.startswith(runner.PLACE):
        raise ValueError(f"{place} is no place")  # a bug must not cost a user's files
    by_hand = f"remove it by hand: {ssh_command(board.config)} rm -r {quote(place)}"
    try:
        done = await board.command(REMOVE.format(quote(place)), doing=f"removing {place}")
    except DeviceError as error:
        raise DeviceError(error.problem, place=f"{board.place}, {place}", fix=f"{error.fix}; or {by_hand}") from error
    if done.code:
        raise DeviceError(f"A folder stays there: {done.stderr.strip()}.", place=f"{board.place}, {place}", fix=by_hand)
