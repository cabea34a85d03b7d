"""The command line of the packed file (see the package)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .machine import look
from .refusal import Refusal
from .sensing import sense


def main() -> None:
    """See the package's text."""
    if sys.argv[1:] == ["look"]:
        print(json.dumps(look()))
    elif sys.argv[1] == "sense":
        sense(Path(sys.argv[2]))
    else:
        folder = Path(sys.argv[1])
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
