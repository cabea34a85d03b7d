"""What runs inside a worker process: leaves are loaded and their methods called. The parent's side is `worker`.

A process that reads models gives up what it can before it reads one (`edgekit.host.sandbox`), since a model may be
a program of a stranger's.
"""

import gc
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine import calls, registry
from edgekit.host import deadline, sandbox, serving


class Leaves:
    """The leaves of one process, loaded when they are first asked.

    Args:
        users_folder: where modules that the user names may lie.
    """

    def __init__(self, users_folder: str) -> None:
        self._users_folder = users_folder
        self._loaded: dict[tuple[str, str], Any] = {}

    def answer(self, line: bytes) -> msgspec.Raw | None:
        """Call a leaf's method as an encoded `calls.Request` says.

        Raises:
            EdgekitError: as the leaf raises it, or mended (see `edgekit.host.serving.remedied`).
        """
        request = msgspec.json.decode(line, type=calls.Request)
        deadline.about(request.place)
        with serving.remedied(request.place):
            key = request.room, request.leaf
            if key not in self._loaded:
                self._loaded[key] = _load(*key)
            self._find_users_modules(request)
            if not request.method:
                return None
            with _timed(request):
                found = getattr(self._loaded[key], request.method)(**calls.arguments(request))
            return calls.encoded_result(found, request.place)

    def _find_users_modules(self, request: calls.Request) -> None:
        """Let modules be found in the user's current folder, from the first request on that names one.

        Not before: libraries try to import others that are not installed, and a stranger's folder may hold a file of
        such a name. And last, so that a user's onnx.py or profile.py hides no library.
        """
        options = request.arguments.get("options")
        if isinstance(options, dict) and options.get("custom_objects") and self._users_folder not in sys.path:
            sys.path.append(self._users_folder)


def _load(room: str, name: str) -> Any:
    """A leaf; what its libraries bring stays for good, so the garbage collector need not walk through it."""
    gc.disable()
    try:
        return registry.leaf(room, name)
    finally:
        gc.freeze()
        gc.enable()


SHARES = {"describe": 2.0, "tensors": 2.0, "to_waist": 30.0, "as_it_is": 30.0, "first_divergence": 30.0}
"""Methods of sources → how many times the seconds of an inference (`edgekit.host.deadline`) they may take in all.

Reading a network takes seconds, converting a large one minutes.
"""

BYTES_PER_S = 1 << 20
"""How fast a large file is read at least: it gets more time."""


def _timed(request: calls.Request) -> AbstractContextManager[None]:
    """While open, a source's method must keep to its time; others only run what has limits of its own."""
    share = SHARES.get(request.method) if request.room == "sources" else None
    if share is None:
        return nullcontext()
    path = Path(request.place)
    bytes_ = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    doing = "Converting" if share > 2 else "Reading"
    return deadline.step(f"{doing} {path.name}", request.place, share + bytes_ / BYTES_PER_S / deadline.BASE_S)


def main() -> None:
    """Serve. Arguments: the user's current folder, the bytes of memory and the seconds that this process may take.

    The seconds are those of an inference. A fourth is a folder beside its own in which it may write.
    0 bytes mean a trusted worker without a sandbox: it needs the network and whatever else a device is behind.
    """
    users_folder, memory = sys.argv[1], int(sys.argv[2])
    deadline.allow(float(sys.argv[3]))
    if memory:
        sandbox.enter(Path.cwd(), memory, Path(sys.argv[4]) if len(sys.argv) > 4 else None)
    serving.serve(Leaves(users_folder).answer)


if __name__ == "__main__":
    main()
