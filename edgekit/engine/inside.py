"""What runs inside a worker process: leaves are loaded and their methods called. The parent's side is `worker`.

A process that reads models gives up what it can before it reads one (`edgekit.host.sandbox`), since a model may be
a program of a stranger's.
"""

import gc
import sys
from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine import calls, registry
from edgekit.host import sandbox, serving


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
        with serving.remedied(request.place):
            key = request.room, request.leaf
            if key not in self._loaded:
                self._loaded[key] = _load(*key)
            self._find_users_modules(request)
            if not request.method:
                return None
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


def main() -> None:
    """Serve. Arguments: the user's current folder, and the most bytes of memory that this process may have.

    0 bytes mean a trusted worker without a sandbox: it needs the network and whatever else a device is behind.
    """
    users_folder, memory = sys.argv[1], int(sys.argv[2])
    if memory:
        sandbox.enter(Path.cwd(), memory)
    serving.serve(Leaves(users_folder).answer)


if __name__ == "__main__":
    main()
