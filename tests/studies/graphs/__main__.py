"""Graph optimization on the shared models: operators, latency and int8 before and after.

Usage: python -m tests.studies.graphs [--only PART] [--page]

Shows the tables as they grow. With --page they are written to docs/reference/graph-optimization.md. Exits with 1 if a
rewritten file is slower than the one that it was made from (`edgekit.rewrites.timing.SLOWER`).
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.config import Project
from edgekit.engine.session import Session, Silent, opened
from edgekit.errors import EdgekitError
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.quantization import Quantization
from edgekit.rewrites import chosen
from edgekit.rewrites.timing import SLOWER, medians_ms
from edgekit.steps import conversion, optimization, reading
from edgekit.verbs.build import build
from edgekit.waist.tensors import write_npz
from tests.shared_folder import ROOT, shared_folder
from tests.studies.coverage.cases import Case, found, inputs
from tests.studies.graphs import peers

PAGE = ROOT / "docs/reference/graph-optimization.md"

HEAD = """# Graph optimization, measured

Written by `python -m tests.studies.graphs --page`; do not edit. What is rewritten and why: [Graph
optimization](../explanation/graph-optimization.md). The peer is onnx2tf for ONNX, and TFLiteConverter for Keras and SavedModels
(– if LiteRT does not load what it makes). Latencies are CPU time of LiteRT on one thread, medians of runs that took turns;
a ratio below 1 means that the rewritten file is faster.
"""

FOLDERS = ("phone", "mlperf_tiny", "keras", "onnx", "tflite", "reported")

QUANTIZED = (
    "FastestDet", "ppocrv4_cls", "deeploy_cct_2_32_32_128_op20", "mask_add_100_works", "yolo_concat", "mel_frontend",
)  # fmt: skip
"""Models that are built in int8 with and without, by their stems; samples are drawn, as for the coverage page.

Weights are rounded to nearest: fitting them to noise would hide what the rewrites do."""


slower: list[str] = []
"""Files that take longer than before."""


def ratio_of(name: str, before: float, after: float) -> str:
    """How many times as long a file takes; one that is slower is noted."""
    if after > SLOWER * before:
        slower.append(name)
    return f"{after / before:.2f}"


def float_row(session: Session, case: Case, scratch: Path) -> str | None:
    """A model and its waist, and what becomes of it for LiteRT in floats; None if nothing is to be told of it."""
    network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
    subject = conversion.subject(session, network, ())
    if subject.waist is None:
        return None
    answer = optimization.ask(session, subject.waist, chosen("litert"), timed=True)
    if answer is None:
        return None
    told, peer = answer.result, peers.operators(case.path, scratch)
    counts = f"| {case.name} | {told.before} | {told.after} | {peer} "
    if told.file is None:
        return f"{counts}| | | | | |" if peer else None
    before, after = medians_ms(subject.waist.folder / subject.waist.result.file, answer.folder / told.file)
    took = answer.steps[-1].seconds or 0.0
    return (
        f"{counts}| {before:.3f} | {after:.3f} | {ratio_of(case.name, before, after)} "
        f"| {took:.2f} | {'; '.join(note.removeprefix('rewritten: ') for note in told.notes)} |"
    )


def quantized_row(session: Session, case: Case, target: str, folder: Path) -> str:
    """int8 of a model with and without the rewrites: operators, SQNR, latency, and what an Edge TPU takes."""
    network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
    calibration = str(write_npz(folder / "samples.npz", inputs(case, network.model.signature)))
    cells: list[str] = []
    files: list[Path] = []
    for optimized in (False, True):
        project = Project(
            targets=(target,), precision="int8", calibration=calibration, output_folder=str(folder / f"{target}{optimized}"),
            shapes=case.shapes, optimize_graph=optimized, quantization=Quantization(weights="nearest"), allow_loss=True,
        )  # fmt: skip
        (result,) = build(session, project, case.path)
        if result.manifest is None:
            cells.append(f"no file: {result.error}".replace("\n", " ")[:90])
            continue
        file = result.manifest.artifacts[0]
        cells.append(told(file))
        files.append(folder / f"{target}{optimized}" / file.file)
    ratio = ""
    if len(files) == 2 and target != "edgetpu":
        before, after = medians_ms(*files)
        ratio = ratio_of(f"{case.name} in int8", before, after)
    return f"| {case.name} | {target} | {' | '.join(cells)} | {ratio} |"


def told(file: ArtifactFile) -> str:
    """Operators of a file, its SQNR, and how many of them its accelerator takes."""
    mapped = sum(placement.runs_on == "Edge TPU" for placement in file.placements)
    of = f", {mapped} mapped" if file.backend == "edgetpu" else ""
    sqnr = "" if file.verification is None else f", {file.verification.sqnr_db:.1f} dB"
    return f"{len(file.placements)} operators{of}{sqnr}"


def float_table(session: Session, cases: list[Case], scratch: Path) -> Iterator[str]:
    """The table of waists, line by line."""
    yield "| model | operators | after | peer | ms | after | ratio | s | what was rewritten |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for case in cases:
        try:
            row = float_row(session, case, scratch)
        except EdgekitError:
            continue
        if row is not None:
            yield row


def quantized_table(session: Session, cases: list[Case], scratch: Path) -> Iterator[str]:
    """The table of int8 files, line by line."""
    yield "| model | target | without | with | latency ratio |"
    yield "| --- | --- | --- | --- | ---: |"
    for case in cases:
        if case.path.stem in QUANTIZED:
            for target in ("android", "edgetpu"):
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    yield quantized_row(session, case, target, Path(folder))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("floats", "int8"))
    parser.add_argument("--page", action="store_true")
    chosen_ = parser.parse_args()
    cases = list(found(shared_folder(), FOLDERS))
    parts = {"floats": ("## The float file", float_table), "int8": ("## int8 files", quantized_table)}
    text = HEAD
    with opened(Silent()) as session, tempfile.TemporaryDirectory() as scratch:
        for name, (title, table) in parts.items():
            if chosen_.only not in {None, name}:
                continue
            text += f"\n{title}\n\n"
            for line in table(session, cases, Path(scratch)):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                text += f"{line}\n"
    if chosen_.page:
        PAGE.write_text(text, encoding="utf8")
    sys.exit(f"slower than before: {', '.join(slower)}" if slower else 0)


if __name__ == "__main__":
    main()
