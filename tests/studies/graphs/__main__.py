"""Graph optimization on the shared models: operators, latency and int8 before and after.

Usage: python -m tests.studies.graphs [PART OF A MODEL'S NAME] [--only TABLE] [--again] [--page]

Each row stands in tests/studies/graphs/outcomes.jsonl, which is committed, and is not measured a second time but with
--again; docs/reference/graph-optimization.md is written from all of them, with --page from those alone that are there.
Exits with 1 if a rewritten file is slower than the one that it was made from (`edgekit.rewrites.timing.SLOWER`).
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

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
from tests.studies.accuracy.trial import revision, today
from tests.studies.coverage.cases import Case, found, inputs
from tests.studies.graphs import peers

PAGE = ROOT / "docs/reference/graph-optimization.md"

OUTCOMES = Path(__file__).with_name("outcomes.jsonl")

HEAD = """# Graph optimization, measured

Written by `python -m tests.studies.graphs`; do not edit. What is rewritten and why: [Graph
optimization](../explanation/graph-optimization.md). The peer is onnx2tf for ONNX, and TFLiteConverter for Keras and SavedModels
(– if LiteRT does not load what it makes). Latencies are CPU time of LiteRT on one thread, medians of runs that took turns;
a ratio below 1 means that the rewritten file is faster. The last column is the commit of edgekit that a row was measured with.
Models without a row have nothing to rewrite and no peer, or are not read.
"""

FOLDERS = ("phone", "mlperf_tiny", "keras", "onnx", "tflite", "reported")

QUANTIZED = (
    "FastestDet", "ppocrv4_cls", "deeploy_cct_2_32_32_128_op20", "mask_add_100_works", "yolo_concat", "mel_frontend",
)  # fmt: skip
"""Models that are built in int8 with and without, by their stems; samples are drawn, as for the coverage page.

Weights are rounded to nearest: fitting them to noise would hide what the rewrites do."""


class Row(msgspec.Struct, kw_only=True):
    """A row of a table, by its cells; without any there is nothing to tell of the model."""

    table: str
    name: str
    target: str = ""
    cells: list[str] = []
    slower: bool = False
    commit: str = ""
    date: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it another row."""
        return self.table, self.name, self.target


def compared(before: float, after: float) -> tuple[str, bool]:
    """How many times as long a file takes, and whether it is slower."""
    return f"{after / before:.2f}", after > SLOWER * before


def float_row(session: Session, case: Case, scratch: Path) -> Row:
    """A model and its waist, and what becomes of it for LiteRT in floats."""
    row = Row(table="floats", name=case.name)
    network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
    subject = conversion.subject(session, network, ())
    answer = None if subject.waist is None else optimization.ask(session, subject.waist, chosen("litert"), timed=True)
    if subject.waist is None or answer is None:
        return row
    told, peer = answer.result, peers.operators(case.path, scratch)
    counts = [str(told.before), str(told.after), peer]
    if told.file is None:
        row.cells = [*counts, "", "", "", "", ""] if peer else []
        return row
    before, after = medians_ms(subject.waist.folder / subject.waist.result.file, answer.folder / told.file)
    took, (ratio, row.slower) = answer.steps[-1].seconds or 0.0, compared(before, after)
    notes = "; ".join(note.removeprefix("rewritten: ") for note in told.notes)
    row.cells = [*counts, f"{before:.3f}", f"{after:.3f}", ratio, f"{took:.2f}", notes]
    return row


def quantized_row(session: Session, case: Case, target: str, folder: Path) -> Row:
    """int8 of a model with and without the rewrites: operators, SQNR, latency, and what an Edge TPU takes."""
    network = reading.open_network(session, case.path, SourceOptions(shapes=case.shapes))
    calibration = str(write_npz(folder / "samples.npz", inputs(case, network.model.signature)))
    row, files = Row(table="int8", name=case.name, target=target), list[Path]()
    for optimized in (False, True):
        project = Project(
            targets=(target,), precision="int8", calibration=calibration, output_folder=str(folder / f"{target}{optimized}"),
            shapes=case.shapes, optimize_graph=optimized, quantization=Quantization(weights="nearest"), allow_loss=True,
        )  # fmt: skip
        (result,) = build(session, project, case.path)
        if result.manifest is None:
            row.cells.append(f"no file: {result.error}".replace("\n", " ")[:90])
            continue
        file = result.manifest.artifacts[0]
        row.cells.append(told(file))
        files.append(folder / f"{target}{optimized}" / file.file)
    ratio = ""
    if len(files) == 2 and target != "edgetpu":
        ratio, row.slower = compared(*medians_ms(*files))
    row.cells.append(ratio)
    return row


def told(file: ArtifactFile) -> str:
    """Operators of a file, its SQNR, and how many of them its accelerator takes."""
    mapped = sum(placement.runs_on == "Edge TPU" for placement in file.placements)
    of = f", {mapped} mapped" if file.backend == "edgetpu" else ""
    sqnr = "" if file.verification is None else f", {file.verification.sqnr_db:.1f} dB"
    return f"{len(file.placements)} operators{of}{sqnr}"


HEADS = {
    "floats": (
        "## The float file\n\n| model | operators | after | peer | ms | after | ratio | s | what was rewritten | at |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"
    ),
    "int8": (
        "## int8 files\n\n| model | target | without | with | latency ratio | at |\n| --- | --- | --- | --- | ---: | --- |"
    ),
}
"""The tables, by name."""


def known() -> dict[tuple[str, str, str], Row]:
    """The rows that are there."""
    lines = OUTCOMES.read_bytes().splitlines() if OUTCOMES.exists() else []
    return {row.key: row for row in (msgspec.json.decode(line, type=Row) for line in lines)}


def keep(row: Row) -> None:
    """Add a row, in place of one that was there."""
    row.commit, row.date = revision(), today()
    rows = sorted((known() | {row.key: row}).items())
    OUTCOMES.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for _, one in rows))


def wanted(cases: list[Case], table: str | None) -> Iterator[tuple[Row, Callable[[Session, Path], Row]]]:
    """Rows to come, still empty, each with what measures it."""
    for case in cases:
        if table in {None, "floats"}:
            yield (
                Row(table="floats", name=case.name),
                lambda session, scratch, case=case: float_row(session, case, scratch),
            )
        for target in ("android", "edgetpu") if table in {None, "int8"} and case.path.stem in QUANTIZED else ():
            yield (
                Row(table="int8", name=case.name, target=target),
                lambda session, scratch, case=case, target=target: quantized_row(session, case, target, scratch),
            )


def page(cases: list[Case]) -> str:
    """The page, in Markdown; it names the cases that are not measured yet."""
    text, rows = HEAD, known().values()
    left = dict.fromkeys(empty.name for empty, _ in wanted(cases, None) if empty.key not in known())
    text += f"\nNot measured yet: {', '.join(left)}.\n" if left else ""
    for table, head in HEADS.items():
        lines = (
            " | ".join([row.name, *([row.target] if row.target else []), *row.cells, row.commit])
            for row in rows
            if row.table == table and row.cells
        )
        text += "\n".join(["", head, *(f"| {line} |" for line in lines), ""])
    return text


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--only", choices=tuple(HEADS))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    cases = list(found(shared_folder(), FOLDERS))
    chosen_cases = [case for case in cases if given.part in case.name and not given.page]
    slower = []
    with opened(Silent()) as session:
        for empty, measure in wanted(chosen_cases, given.only):
            if empty.key in known() and not given.again:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    row = measure(session, Path(scratch))
                except EdgekitError:
                    row = empty
            keep(row)
            sys.stdout.write(f"{' | '.join([*row.key, *row.cells])}\n")
            sys.stdout.flush()
            slower += [" ".join(row.key)] if row.slower else []
    PAGE.write_text(page(cases), encoding="utf8")
    sys.exit(f"slower than before: {', '.join(slower)}" if slower else 0)


if __name__ == "__main__":
    main()
