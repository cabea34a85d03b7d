"""Coral's Edge TPU: the compile-ready int8 file, the compiled one, and where each operator runs."""

import platform
from pathlib import Path
from typing import ClassVar

from edgekit.backends import Backend
from edgekit.backends.edgetpu import compiled, compiler, dense, log
from edgekit.backends.edgetpu.forecast import CPU, EDGE_TPU, ONE_SUBGRAPH, Forecast, forecast
from edgekit.errors import InputError, MissingTool, Unsupported
from edgekit.host.compilers import EDGETPU_INSTALL, EDGETPU_PROGRAM
from edgekit.nouns.building import Built, Job, Placement
from edgekit.nouns.model import Precision, Signature
from edgekit.waist import graph, run
from edgekit.waist.rows import write_rows
from edgekit.waist.tensors import arrays, each_to_file, each_to_source

TIMEOUT_S = 600
"""Seconds for the compiler, unless the target's ``timeout_s`` says otherwise; its own limit is 180."""

GRACE_S = 60.0
"""Seconds after the compiler's own limit until it is killed: a container has to start, too."""


class EdgeTPUBackend(Backend):
    """Compiles the full-integer file of the base backend for the Edge TPU.

    ``job.settings``: ``require_compiled`` (no compiler is an error, not a note),
    ``search_delegate`` (let the compiler look for a place to cut) and ``timeout_s``.
    """

    precisions: ClassVar[tuple[Precision, ...]] = ("int8",)

    def build(self, job: Job, file: str, out: Path) -> Built:
        """Write ``out/file``, ready for the compiler, and ``*_edgetpu.tflite`` if there is one.

        Raises:
            InputError: float32 inputs and outputs were asked for.
            MissingTool: there is no compiler and ``require_compiled`` is set.
            Unsupported: another precision than int8 was asked for, or the compiler failed.
        """
        _check(job)
        words = compiler.command()
        if words is None and job.settings.get("require_compiled"):
            raise MissingTool("edgetpu_compiler is not installed.", place="--require-compiled", fix=EDGETPU_INSTALL)
        target = out / file
        base = Path(str(job.waist))
        if compiled.is_compiled(base):
            raise Unsupported(
                f"{Path(job.source).name} is compiled for the Edge TPU already.",
                place=job.source,
                fix="name the file that it was compiled from; profile measures this one as it is",
            )
        notes = _prepare(base, target)
        expected = forecast(target)
        if words is None:
            return Built(
                files=(file,),
                signature=job.signature,
                placements=expected.placements,
                notes=(*notes, *expected.notes),
                unavailable={"compiled": _missing()},
            )
        made = _compile(words, job, target)
        name = f"{target.stem}_edgetpu.tflite"
        (out / name).write_bytes(made.content)
        placements = _placements(target, out / name, made.report, expected)
        return Built(
            files=(file, name),
            signature=job.signature,
            placements=placements,
            notes=(*notes, *_summary(placements, made.report)),
            tools={EDGETPU_PROGRAM: made.report.version or "unknown"},
        )

    def run(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path) -> None:
        """Run the compile-ready file on this host; see `Backend.run`.

        Raises:
            Unsupported: the file is compiled, and needs the device.
        """
        if compiled.is_compiled(artifact):
            raise Unsupported(
                f"{artifact.name} needs an Edge TPU to run.",
                place=str(artifact),
                fix=f"run {artifact.name.replace('_edgetpu', '')} instead: the same integers, on any CPU",
            )
        given = each_to_file(signature, arrays(inputs))
        write_rows(outputs, each_to_source(signature, run.each(artifact, given, threads=run.host_threads())))


def _check(job: Job) -> None:
    if job.precision != "int8":
        raise Unsupported(
            f"The Edge TPU computes in int8, not in {job.precision}.",
            place=f"precision = {job.precision}",
            fix="leave --precision out, or choose int8",
        )
    if job.io == "float32":
        raise InputError(
            "The Edge TPU's inputs and outputs are int8 or uint8, not float32.",
            place="io = float32",
            fix="choose --io int8 or --io uint8; the manifest holds scale and zero point",
        )


def _prepare(base: Path, target: Path) -> tuple[str, ...]:
    """Write the compile-ready file; say what was changed."""
    model = graph.load(base)
    layers = dense.per_tensor(model)
    target.write_bytes(graph.pack(model) if layers else base.read_bytes())
    if not layers:
        return ()
    return (f"Dense layers given one weight scale instead of one per channel, as the Edge TPU needs: {layers}.",)


def _missing() -> str:
    here = "" if (platform.system(), platform.machine()) == ("Linux", "x86_64") else " (it needs x86-64 Linux)"
    return f"edgetpu_compiler is not installed{here}; {EDGETPU_INSTALL}"


def _compile(words: tuple[str, ...], job: Job, target: Path) -> compiler.Compiled:
    timeout_s = int(str(job.settings.get("timeout_s", TIMEOUT_S)))
    flags = compiler.options(search_delegate=bool(job.settings.get("search_delegate", False)), timeout_s=timeout_s)
    return compiler.compile_file(words, target.read_bytes(), stem=target.stem, flags=flags, limit_s=timeout_s + GRACE_S)


def _placements(source: Path, result: Path, report: log.Report, expected: Forecast) -> tuple[Placement, ...]:
    """Where each operator runs by the compiled file, and the log's status for its kind.

    The log counts by kind and status; if a kind has several, the forecast says whether the
    operator itself is the obstacle.
    """
    left = compiled.leftovers(graph.read(source)[0], graph.read(result)[0])
    return tuple(_placement(guess, left, report) for guess in expected.placements)


def _placement(guess: Placement, left: frozenset[int], report: log.Report) -> Placement:
    if guess.index not in left:
        runs_on, status = EDGE_TPU, log.MAPPED
    else:
        kind = guess.operator.split(":")[0]
        said = [row.status for row in report.statuses if row.operator == kind and row.status != log.MAPPED]
        follows = guess.status.startswith(ONE_SUBGRAPH)
        likely = [status for status in said if (status == ONE_SUBGRAPH) == follows] or said
        runs_on, status = CPU, " or ".join(likely)
    return Placement(index=guess.index, operator=guess.operator, name=guess.name, runs_on=runs_on, status=status)


def _summary(placements: tuple[Placement, ...], report: log.Report) -> tuple[str, ...]:
    mapped = sum(placement.runs_on == EDGE_TPU for placement in placements)
    first = next((placement for placement in placements if placement.runs_on == CPU), None)
    notes = [f"Compiled: {mapped} of {len(placements)} operators run on the Edge TPU."]
    if first is not None:
        notes.append(
            f"The first on the CPU is operator {first.index}, {first.operator} ({first.name}): {first.status}."
        )
    if (report.on_edge_tpu or mapped) != mapped:
        notes.append(f"The compiler's own count is {report.on_edge_tpu}; operators were matched by name.")
    return (*notes, *report.memory)
