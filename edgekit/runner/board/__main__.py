"""The command line of the packed file (see the package)."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from .machine import look
from .refusal import Refusal
from .sensing import sense


def follow() -> None:
    """End this process when standard input ends: whoever started it is gone, or no longer wants it."""
    while os.read(0, 4096):
        pass
    os._exit(3)


def main() -> None:
    """See the package's text."""
    if sys.argv[1:] == ["look"]:
        print(json.dumps(look()))
    elif sys.argv[1] == "sense":
        sense(Path(sys.argv[2]))
    else:
        folder = Path(sys.argv[1])
        if sys.argv[2:] == ["follow"]:
            threading.Thread(target=follow, daemon=True).start()
        try:
            from .block import carry_out  # needs numpy, which a bare board may lack

            answer = carry_out(json.loads((folder / "order.json").read_text(encoding="utf8")))
        except Refusal as refusal:
            answer = {"error": refusal.plain}
        except ImportError as error:
            fix = f"{sys.executable} -m pip install {error.name or 'numpy'}"
            answer = {"error": Refusal("MissingTool", f"A library is missing here: {error}.", fix).plain}
        (folder / "answer.json").write_text(json.dumps(answer), encoding="utf8")


if __name__ == "__main__":
    main()
