"""A bench with one board over SSH: a real OpenSSH server on loopback, with this Python as the board's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.drivers.benches import Bench
from tests.drivers.ssh.server import served


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """The board is named ``board``; its home and its temporary folder are watched."""
    with served(folder) as server:
        config = server.board("board")
        yield Bench(id="board", configured={"board": config}, left=lambda: set(server.tree(config)))
