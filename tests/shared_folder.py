"""Where commands of the tests find the shared models and data."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def shared_folder() -> Path:
    """The folder named by ``EDGEKIT_SHARED``, by default ``../shared``; ends the command where it is missing."""
    folder = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        sys.exit(f"There is no folder {folder} with the shared models and data; name it with EDGEKIT_SHARED.")
    return folder
