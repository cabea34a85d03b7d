"""How often does a gate close on files that are as fast, and how often does it find a slowdown of 5 %?

Usage: python -m tests.gates                     simulated, and on blocks that were recorded; two minutes
       python -m tests.gates --decisions 200     fewer decisions a row
       python -m tests.gates --record 6          measure a file in 6 sessions of its own first, and keep the blocks
       python -m tests.gates --real 40           decide on real files with real blocks; hours on a quiet machine

Each decision is a whole gate: a baseline is saved from one session, a new folder has a profile of another, and
`edgekit gate` judges them and measures again what it suspects. Writes its sections of docs/explanation/measurement.md.
Ends with 1 if the gate with the baseline's files at hand closes on more than 1 % of equal files in a simulated row.
"""

import argparse
import json
import logging
import statistics
import sys
import tempfile
from pathlib import Path
from unittest import mock

from edgekit.verbs.gate import Gated, gate, save
from tests.measure.gated_folders import artifact, folder, manifest, profile
from tests.studies.gates import real
from tests.studies.gates.simulated import World, simulated
from tests.studies.measurement import page
from tests.studies.measurement.aa import shown

RECORDED = Path(__file__).with_name("recorded.json")
"""Medians of real blocks by session, each relative to its session's median; ``--record`` writes them."""

SLOWER = 1.05
"""The slowdown that is planted."""

MUCH_SLOWER = 1.15
"""One that figures alone can show."""

LIMIT = 0.01
"""More false alarms than this are a failure."""

WORLDS = ((0.01, 0.0), (0.02, 0.0), (0.02, 0.02), (0.04, 0.02), (0.08, 0.02), (0.17, 0.05))
"""Standard deviations between processes and between sessions; the last is the machine that measurement.md begins with."""


def closed(world: World, place: Path, *, files: bool) -> bool:
    """One decision: whether the gate closes on the latency of a new file."""
    (old,), (new,) = world.session(1.0), world.session(world.slowdown)
    was, now = artifact(b"old"), artifact(b"new")
    before = folder(place / "old", manifest(was, profiles=[profile(was, old)]), b"old")
    after = folder(place / "new", manifest(now, profiles=[profile(now, new)]), b"new")
    save([before], place / "base.json", files=files)
    with simulated(world):
        found = gate(mock.MagicMock(), Gated([after], baseline=place / "base.json", find=world.find))
    return not found.passes


def row(world: World, decisions: int, *, files: bool) -> tuple[int, float]:
    """How many of some decisions close, and how many pairs, or further blocks, a decision takes."""
    count, before = 0, len(world.blocks)
    with tempfile.TemporaryDirectory() as place:
        for _ in range(decisions):
            count += closed(world, Path(place), files=files)
    return count, sum(world.blocks[before:]) / decisions


def table(decisions: int) -> tuple[str, float]:
    """Every world in Markdown, and the most false alarms with the baseline's files at hand, simulated."""
    sessions = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    worlds = [(f"{process:.0%}", f"{session:.0%}", [], process, session) for process, session in WORLDS]
    spread = sessions.get("session_sd", 0.0)
    if sessions:
        process = f"recorded: {sessions['process_sd']:.1%}"
        worlds.append((process, f"{spread:.1%}", sessions["sessions"], 0.0, spread))
    lines = [
        "| processes, sessions differ by (sd) | baseline's files at hand: false alarms | 5 % found | pairs run "
        "| figures alone: false alarms | 5 % found | 15 % found |",
        "| --- | --- | --- | ---: | --- | --- | --- |",
    ]
    worst = 0.0
    for process, session, recorded, process_sd, session_sd in worlds:
        cells = []
        for files in (True, False):
            found = []
            for slowdown in (1.0, SLOWER) if files else (1.0, SLOWER, MUCH_SLOWER):
                world = World(process_sd, session_sd, slowdown, seed=len(lines), recorded=recorded)
                found.append(row(world, decisions, files=files))
            cells += [shown(count, decisions) for count, _ in found]
            if files:
                cells.append(f"{statistics.mean(blocks for _, blocks in found):.0f}")
                worst = max(worst, found[0][0] / decisions)
        lines.append(f"| {process}, {session} | {' | '.join(cells)} |")
        sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines), worst


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.gates")
    parser.add_argument("--decisions", type=int, default=1000)
    parser.add_argument("--record", type=int, default=0, metavar="SESSIONS")
    parser.add_argument("--real", type=int, default=0, metavar="DECISIONS")
    given = parser.parse_args()
    logging.disable()
    if given.record:
        RECORDED.write_text(json.dumps(real.recorded(given.record), indent=1) + "\n")
    if given.real:
        page.write("gates, real", real.section(given.real))
        return
    found, worst = table(given.decisions)
    page.write("gates", f"`python -m tests.gates --decisions {given.decisions}`: decisions a cell.\n\n{found}")
    sys.exit(int(worst > LIMIT + 2 * (LIMIT / given.decisions) ** 0.5))


if __name__ == "__main__":
    main()
