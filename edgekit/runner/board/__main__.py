"""The command line of the packed file (see the package)."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from .machine import look
from .refusal import Refusal


def follow() -> None:
    """End this process when standard input ends: whoever started it is gone, or no longer wants it."""
    while os.read(0, 4096):
        pass
    os._exit(3)


def answered(folder: Path) -> dict[str, Any]:
    """The answer to the order in a folder, or what to raise instead."""
    try:
        from .block import carry_out  # needs numpy, which a bare board may lack

        return carry_out({**json.loads((folder / "order.json").read_text(encoding="utf8")), "out": str(folder)})
    except Refusal as refusal:
        return {"error": refusal.plain}
    except ImportError as error:
        if error.name != "numpy" and not str(error.name).startswith("numpy."):
            raise
        problem = f"numpy is missing here, or does not load: {error}."
        return {"error": Refusal("MissingTool", problem, f"{sys.executable} -m pip install numpy").plain}


def main() -> None:
    """See the package's text."""
    if sys.argv[1:] == ["look"]:
        print(json.dumps(look()))
    elif sys.argv[1] == "sense":
        from .sensing import sense

        sense(Path(sys.argv[2]))
    else:
        if sys.argv[2:] == ["follow"]:
            threading.Thread(target=follow, daemon=True).start()
        folder = Path(sys.argv[1]).resolve()
        aside = folder / "answer.part"
        aside.write_text(json.dumps(answered(folder)), encoding="utf8")
        aside.replace(folder / "answer.json")


if __name__ == "__main__":
    main()
