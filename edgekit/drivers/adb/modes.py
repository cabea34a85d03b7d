"""What a block does on a phone, by mode: time, sense while idle, time operators, or show outputs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgekit.drivers.adb import block, delegation, feeding, operators, parsing, result, sensing
from edgekit.drivers.adb.bridge import Phone
from edgekit.errors import DeviceError, Unsupported
from edgekit.nouns.profile import Block, Delegation, Deployment, Memory, Run
from edgekit.waist.tensors import write_npz

GONE = 90
"""Exit code of a block's shell lines if the place is not there (`edgekit.drivers.adb.block.script`)."""


class Room(NamedTuple):
    """Where a block runs: the phone, its stand, what is to be run, the folder for files here, and that there."""

    phone: Phone
    deployment: Deployment
    run: Run
    out: Path
    there: str

    @property
    def classic(self) -> bool:
        """Whether the tool is the classic one, which takes inputs, writes outputs and times operators."""
        return self.deployment.settings["generation"] == "classic"

    def pull(self, name: str) -> bytes:
        """A file of the block's folder.

        Raises:
            DeviceError: there is none, or the phone went away.
        """
        return self.phone.pull(f"{self.deployment.place}/{self.there}/{name}")

    def file(self) -> str:
        """The phone and the model, for complaints."""
        return f"{self.phone.id}:{self.deployment.model}"

    def tool(self) -> str:
        """The phone and the tool, for complaints."""
        return f"{self.phone.id}:{self.deployment.settings['tool']}"


@contextmanager
def room(phone: Phone, deployment: Deployment, run: Run, out: Path) -> Iterator[Room]:
    """A room for one block; its folder on the phone goes once the block is read."""
    name = f"block-{time.monotonic_ns()}"
    yield Room(phone, deployment, run, out, name)
    phone.shell(f"rm -rf {deployment.place}/{name}")


def carry_out(made: Room, started: Block) -> Block:
    """Run the block and fill in what it saw.

    Raises:
        DeviceError: the phone went away.
        Unsupported: the tool cannot load or run the file, or not in this mode, or a delegation is not had.
    """
    return _MODES[made.run.mode](made, started)


def _process(made: Room, sample: int, *more: str) -> block.Ended:
    """Run the tool once if it is timed with the probe beside it, and read its log."""
    deployment, run = made.deployment, made.run
    generation: Any = deployment.settings["generation"]
    flags = block.flags(generation, run, deployment.model, f"{deployment.place}/{made.there}/result.pb")
    if made.classic:
        flags += feeding.arguments(feeding.untext(deployment.settings), deployment.inputs, sample)
    lines = block.tool_lines(made.there, deployment.settings["tool"], [*flags, *more], run.cores)
    said = _shell(made, lines)
    log = made.pull("log").decode(errors="replace")
    seen = block.ended(said, log, place=made.file())
    block.check(seen, run, place=made.file())
    return seen


def _shell(made: Room, lines: list[str]) -> str:
    probe = made.run.probe if made.run.mode in {"time", "idle"} else None
    text = block.script(made.deployment.place, made.there, lines, probe)
    said = made.phone.shell(text, limit_s=block.limit_s(made.run), doing="in the middle of a block")
    if said.code == GONE:
        raise DeviceError(
            "The place on the phone is gone.", place=f"{made.phone.id}:{made.deployment.place}", fix="run it again"
        )
    return said.stdout


def _sensed(made: Room) -> str | None:
    """Fetch what a probe saw and write ``sensed.jsonl``."""
    probe = made.run.probe
    if probe is None or not sensing.sources(probe):
        return None
    text = made.pull(sensing.FILE).decode(errors="replace")
    (made.out / "sensed.jsonl").write_bytes(sensing.lines(sensing.samples(probe, text)))
    return "sensed.jsonl"


def _numbers(made: Room, text: str) -> parsing.Printed:
    """The result that the tool wrote, completed by what it printed; an older build only prints."""
    said = parsing.printed(text)
    if "result_file_path" in parsing.unknown_flags(text):
        return said
    with suppress(DeviceError):  # a build that takes the flag and writes nothing
        read = result.read(made.pull("result.pb"))
        if read is not None and read.latency is not None:
            runs = read.latency.runs or (said.latency.runs if said.latency else 0)
            return read._replace(
                latency=msgspec.structs.replace(read.latency, runs=runs) if runs else said.latency,
                memory=said.memory if read.memory == Memory() else read.memory,
                warm_up_runs=read.warm_up_runs or said.warm_up_runs,
            )
    return said


def _delegation(made: Room, seen: block.Ended) -> Delegation | None:
    """What a delegate took, and the insistence on all of it; LiteRT's own tool insists by itself."""
    took = delegation.seen(made.run.delegate, seen.text)
    if made.run.require_full_delegation and (made.classic or took is not None):
        delegation.require_full(made.run.delegate, took, place=made.file())
    return took


def _time(made: Room, started: Block) -> Block:
    seen = _process(made, 0)
    read = _numbers(made, seen.text)
    if read.latency is None:
        raise Unsupported(
            f"benchmark_model printed no latency: {parsing.complaint(seen.text)}",
            place=made.tool(),
            fix="give another build of it: --benchmark-binary PATH",
        )
    took = _delegation(made, seen)
    begin_s, end_s, notes = block.bounds(seen, read.latency)
    return msgspec.structs.replace(
        started,
        begin_s=begin_s,
        end_s=end_s,
        init_ms=read.init_ms,
        first_ms=read.first_ms,
        warm_up_runs=read.warm_up_runs,
        latency=read.latency,
        memory=read.memory,
        delegation=took,
        sensed=_sensed(made),
        notes=started.notes + notes,
    )


def _idle(made: Room, started: Block) -> Block:
    said = _shell(made, [f"sleep {made.run.idle_s:g}"])
    seen = block.ended(said, "", place=made.phone.id)
    return msgspec.structs.replace(started, begin_s=seen.begin_s, end_s=seen.end_s, sensed=_sensed(made))


def _operators(made: Room, started: Block) -> Block:
    file = f"{made.deployment.place}/{made.there}/operators.csv"
    seen = _process(made, 0, "--enable_op_profiling=true", f"--profiling_output_csv_file={file}")
    table = ""
    with suppress(DeviceError):  # a build without the flag shows the table on the screen instead
        table = made.pull("operators.csv").decode(errors="replace")
    rows = operators.times(table) or operators.times(seen.text)
    if not rows:
        raise Unsupported(
            "This benchmark_model times no operators.",
            place=made.tool(),
            fix="leave out --ops, or name a classic build: --benchmark-binary download",
        )
    took = _delegation(made, seen)
    return msgspec.structs.replace(started, begin_s=seen.begin_s, end_s=seen.end_s, operators=rows, delegation=took)


def _outputs(made: Room, started: Block) -> Block:
    of = feeding.untext(made.deployment.settings)
    if not made.classic or not feeding.arguments(of, "", 0):
        raise _no_outputs(made, "it cannot be given inputs")
    rows, seen = [], None
    for i in range(int(made.deployment.settings["samples"])):
        seen = _process(made, i, f"--output_filepath={made.deployment.place}/{made.there}/{i}.bin")
        if "output_filepath" in parsing.unknown_flags(seen.text):
            raise _no_outputs(made, "it does not know --output_filepath")
        rows.append(feeding.cut(of, made.pull(f"{i}.bin"), place=made.file()))
    if seen is None:
        return started
    arrays = {tensor.name: np.stack([row[j] for row in rows]) for j, tensor in enumerate(of.outputs)}
    write_npz(made.out / "outputs.npz", arrays)
    return msgspec.structs.replace(
        started, begin_s=seen.begin_s, end_s=seen.end_s, outputs="outputs.npz", delegation=_delegation(made, seen)
    )


def _no_outputs(made: Room, reason: str) -> Unsupported:
    return Unsupported(
        f"This benchmark_model cannot show what the network computes: {reason}.",
        place=made.tool(),
        fix="name a newer classic build: --benchmark-binary download, or --benchmark-binary PATH",
    )


_MODES = {"time": _time, "idle": _idle, "operators": _operators, "outputs": _outputs}
