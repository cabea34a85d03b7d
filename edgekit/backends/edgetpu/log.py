"""What ``edgetpu_compiler`` prints: its version, a status for each kind of operator, its failures.

The compiler is closed; its words are known from the logs in https://github.com/google-coral/edgetpu/issues
(thread numbers beside them).
"""

import re

from edgekit.nouns.base import Noun

MAPPED = "Mapped to Edge TPU"
"""The status of operators that run on the Edge TPU."""


class Status(Noun, frozen=True, kw_only=True):
    """One line of the operation table."""

    operator: str
    count: int
    status: str


class Report(Noun, frozen=True, kw_only=True):
    """A compiler's log as data; what a log does not hold is None or empty.

    ``memory`` holds the lines about on-chip and off-chip memory, as printed.
    """

    version: str | None = None
    subgraphs: int | None = None
    on_edge_tpu: int | None = None
    on_cpu: int | None = None
    statuses: tuple[Status, ...] = ()
    memory: tuple[str, ...] = ()


def parse(text: str) -> Report:
    """Read a log: the screen of ``edgetpu_compiler -s``, its ``*_edgetpu.log``, or both together."""
    lines = [line.strip() for line in text.splitlines()]
    rows = dict.fromkeys(match.groups() for line in lines if (match := _ROW.match(line)))
    return Report(
        version=_first(r"Edge TPU Compiler version (\S+)", text),
        subgraphs=_number(r"Number of Edge TPU subgraphs: (\d+)", text),
        on_edge_tpu=_number(r"Number of operations that will run on Edge TPU: (\d+)", text),
        on_cpu=_number(r"Number of operations that will run on CPU: (\d+)", text),
        statuses=tuple(Status(operator=name, count=int(count), status=status) for name, count, status in rows),
        memory=tuple(dict.fromkeys(line for line in lines if line.startswith(("On-chip memory", "Off-chip memory")))),
    )


_ROW = re.compile(r"([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*)$")
"""``CONV_2D   2   Mapped to Edge TPU``; prose of the log starts with a capital, but never continues in capitals."""


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return None if match is None else match[1]


def _number(pattern: str, text: str) -> int | None:
    found = _first(pattern, text)
    return None if found is None else int(found)


class Failure(Noun, frozen=True, kw_only=True):
    """A failed compilation in words a user can act on."""

    problem: str
    fix: str


FAILURES: tuple[tuple[str, str, str], ...] = (
    (
        r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'",  # 631, 845, 879
        "edgetpu_compiler does not know version {1} of the operator {0}",
        "replace {0} in the model by operators of https://coral.ai/docs/edgetpu/models-intro/#supported-operations",
    ),
    (
        r"dynamic-sized tensors",
        "edgetpu_compiler refuses tensors whose size is not fixed",
        "fix the shapes with --shape NAME=…",
    ),
    (
        r"large activation tensors",  # 508, 512, 653, 671
        "the activations do not fit the Edge TPU's memory",
        "use a smaller input or fewer channels, or cut the model into parts",
    ),
    (
        r"[Mm]odel not quantized|not fully quantized",
        "edgetpu_compiler says that the model is not quantized",
        "remove operators that stay float",
    ),
    (
        r"Internal compiler error",  # 47, 49, 148, 157, 189, 211: often size, sometimes passes at the next attempt
        "edgetpu_compiler stopped with an internal error",
        "run again (it is not deterministic), try a smaller input, or cut the model before its last operators",
    ),
    (
        r"timed out|[Tt]imeout period exceeded|did not complete within",
        "edgetpu_compiler gave up after its own time limit",
        "raise timeout_s in the target's settings, or make the model smaller",
    ),
    (
        r"Model could not be parsed|Invalid model",
        "edgetpu_compiler cannot read the model",
        "check that the compiler is version 16.0: edgetpu_compiler --version",
    ),
)
"""Patterns in a log, the problem and the remedy; the first that matches is told."""


def failure(text: str) -> Failure:
    """What a failed compiler's log means."""
    for pattern, problem, fix in FAILURES:
        match = re.search(pattern, text)
        if match is not None:
            return Failure(problem=problem.format(*match.groups()), fix=fix.format(*match.groups()))
    said = [line.strip() for line in text.splitlines() if line.strip() and "Edge TPU Compiler version" not in line]
    return Failure(
        problem=f"edgetpu_compiler failed: {' '.join(said[-3:])[:300] or 'it said nothing'}",
        fix="run it by hand on the compile-ready file and look for its words at github.com/google-coral/edgetpu/issues",
    )
