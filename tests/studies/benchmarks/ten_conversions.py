"""Convert ONNX models in one session, from reading to the checked waist: python -m tests.studies.benchmarks.ten_conversions."""

import sys
import tempfile
from pathlib import Path

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.nouns.model import SourceOptions
from edgekit.steps import conversion, reading

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as top, Session(Store(Path(top)), Path(top) / "log.txt") as session:
        for path in sys.argv[1:]:
            conversion.to_waist(session, reading.open_network(session, Path(path), SourceOptions()))
