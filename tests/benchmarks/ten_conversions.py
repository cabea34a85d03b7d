"""Convert ONNX models in one session, from reading to the checked waist: python -m tests.benchmarks.ten_conversions."""

import sys
import tempfile
from pathlib import Path

from edgekit import steps
from edgekit.session import Session
from edgekit.store import Store
from edgekit.types import SourceOptions

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as top, Session(Store(Path(top)), Path(top) / "log.txt") as session:
        for path in sys.argv[1:]:
            steps.to_waist(session, steps.open_network(session, Path(path), SourceOptions()))
