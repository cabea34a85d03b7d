"""A bench with one phone on it: adbd's protocol on loopback, real adb, and LiteRT in benchmark_model's place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.nouns.profile import DeviceConfig
from tests.drivers.adb import standin
from tests.drivers.benches import Bench

NAME = "phone"


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """The phone is configured as ``phone``; all its files and settings are watched."""
    with standin.server(folder / "home"), standin.phone(folder / "root") as phone:
        config = DeviceConfig(kind="adb", host="127.0.0.1", port=phone.port)

        def left() -> set[str]:
            return {f"{name} {content!r}" for name, content in phone.tree().items()}

        yield Bench(id=NAME, configured={NAME: config}, left=left)
