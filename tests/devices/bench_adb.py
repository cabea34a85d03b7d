"""A bench with one phone on it, for every test that needs a device which adb reaches."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgekit.profiles import DeviceConfig
from tests.devices.adb import standin
from tests.devices.benches import Bench

NAME = "bench-phone"


@contextlib.contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """A stand-in for a phone with a benchmark_model that runs files with this host's LiteRT."""
    home, root = folder / "adb-home", folder / "phone"
    home.mkdir()
    root.mkdir()
    with standin.server(home), standin.phone(root) as phone:
        place = phone.root / "data/local/tmp"

        def left() -> set[str]:
            return {str(path.relative_to(place)) for path in place.rglob("*")}

        yield Bench(id=NAME, left=left, configured={NAME: DeviceConfig(kind="adb", host="127.0.0.1", port=phone.port)})
