"""One block on a phone: the shell lines of one process of benchmark_model, and what came of it.

Every line that the tool prints is stamped with the phone's clock as it comes, because the tool tells
neither when its timed loop began nor when it ended, and warm-up must not count as energy.
"""

import shlex
from typing import NamedTuple

from edgekit.drivers.adb import delegation, parsing, sensing
from edgekit.drivers.adb.tool import Generation
from edgekit.errors import DeviceError, MissingTool, Unsupported
from edgekit.nouns.profile import Delegate, Distribution, Run
from edgekit.nouns.sensing import Probe

GRACE_S = 120.0
"""How much longer than its limits a block may take: for loading, and for a delegate that compiles."""

CLASSIC: dict[Delegate, tuple[str, ...]] = {
    "xnnpack": ("--use_xnnpack=true",),
    "none": ("--use_xnnpack=false",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true",),
}
"""Flags of the classic tool by delegate."""

LITERT: dict[Delegate, tuple[str, ...]] = {"xnnpack": ("--use_cpu=true",), "gpu": ("--use_gpu=true",)}
"""Flags of LiteRT's own tool; on a CPU it always uses XNNPACK, and it knows no NNAPI."""

LATE_S, LATE_SHARE = 0.5, 0.1
"""A timed loop that took this much longer than its inferences is remarked on."""

EARLY_S, EARLY_SHARE = 0.05, 0.1
"""Stamps that are this much closer together than the inferences between them came out of a buffer."""


class Ended(NamedTuple):
    """How a process ended: clock before and after it, exit code, what it printed, and when."""

    begin_s: float
    end_s: float
    code: int
    text: str
    stamps: tuple[float, ...] = ()


def flags(generation: Generation, run: Run, model: str, result: str) -> list[str]:
    """The tool's flags for a run, inputs and outputs aside.

    Raises:
        Unsupported: this generation has no such delegate.
    """
    known = CLASSIC if generation == "classic" else LITERT
    if run.delegate not in known:
        names = ", ".join(known)
        raise Unsupported(
            f"This benchmark_model has no delegate {run.delegate}.",
            place=f"--delegate {run.delegate}",
            fix=f"choose one of: {names}; or name a classic build with --benchmark-binary",
        )
    single, profiled = run.mode == "outputs", run.mode == "operators"
    runs = 1 if single else max(run.min_runs // 10, 10) if profiled else run.min_runs
    least_s = 0.0 if single or profiled else run.min_s
    made = [
        f"--graph={model}",
        f"--num_threads={run.threads}",
        f"--num_runs={runs}",
        f"--min_secs={least_s:g}",
        f"--max_secs={run.max_s:g}",
        f"--warmup_runs={0 if single else run.warm_up_runs}",
        f"--warmup_min_secs={0 if single or profiled else run.warm_up_s:g}",
        f"--result_file_path={result}",
        *known[run.delegate],
    ]
    if run.require_full_delegation and generation == "litert":  # the classic tool tells how much was delegated
        made += ["--use_cpu=false", "--require_full_delegation=true"]
    return made


def script(place: str, out: str, body: list[str], probe: Probe | None = None) -> str:
    """Shell lines that run ``body`` between two looks at the clock, with a probe beside it."""
    return "\n".join(
        [
            f"cd {shlex.quote(place)} && mkdir -p {out} || exit 90",
            "echo $$ >> processes",
            *sensing.begin(probe, out),
            "read BEGIN x < /proc/uptime",
            *body,
            "read END x < /proc/uptime",
            *sensing.end(probe, out),
            f'echo "$BEGIN $END $(cat {out}/code 2>/dev/null)"',
        ]
    )


def tool_lines(out: str, tool: str, arguments: list[str], cores: tuple[int, ...]) -> list[str]:
    """Shell lines that run the tool, pinned to cores, and stamp every line it prints."""
    mask = sum(1 << core for core in set(cores))
    command = [*(["taskset", f"{mask:x}"] if mask else []), tool, *arguments]
    start = 'echo $$ >> processes; exec "$@"'
    return [
        f"{{ sh -c {shlex.quote(start)} sh {shlex.join(command)}; echo $? > {out}/code; }} 2>&1 | "
        'while IFS= read -r text; do read up x < /proc/uptime; printf \'%s %s\\n\' "$up" "$text"; '
        f"done > {out}/log"
    ]


def ended(said: str, log: str, *, place: str) -> Ended:
    """Read what `script` printed and the stamped lines.

    Raises:
        DeviceError: the phone started anew meanwhile, or the script did not run to its end.
    """
    words = (said.strip().splitlines() or [""])[-1].split()
    try:
        begin_s, end_s = float(words[0]), float(words[1])
        code = int(words[2]) if len(words) > 2 else 0
    except (ValueError, IndexError):
        raise DeviceError(
            f"The block did not run to its end: {(said.strip() or 'the phone said nothing')[-200:]}",
            place=place,
            fix="run it again; look at the free space: adb shell df -h /data",
        ) from None
    if end_s < begin_s:
        raise DeviceError("The phone started anew in the middle of a block.", place=place, fix="run it again")
    stamps, texts = [], []
    for line in log.splitlines():
        up, _, text = line.partition(" ")
        try:
            stamps.append(float(up))
        except ValueError:
            continue
        texts.append(text)
    return Ended(begin_s, end_s, code, "\n".join(texts), tuple(stamps))


def bounds(seen: Ended, latency: Distribution | None) -> tuple[float, float, tuple[str, ...]]:
    """When the timed loop began and ended, and remarks; the whole process if the tool does not show it."""
    texts = seen.text.splitlines()
    begins = [at for at, text in zip(seen.stamps, texts, strict=True) if parsing.LOOP in text]
    ends = [at for at, text in zip(seen.stamps, texts, strict=True) if parsing.counts(text)]
    if latency is None:
        return seen.begin_s, seen.end_s, ()
    whole_s = latency.runs * latency.mean_ms / 1000
    if len(begins) < 2 or len(ends) < 2 or ends[1] - begins[1] < whole_s * (1 - EARLY_SHARE) - EARLY_S:
        begin_s = max(seen.begin_s, seen.end_s - whole_s)
        return begin_s, seen.end_s, ("when the timed loop began is reckoned from its end and its latencies",)
    took_s = ends[1] - begins[1]
    if took_s > whole_s * (1 + LATE_SHARE) + LATE_S:
        words = f"the timed loop took {took_s:.1f} s for {whole_s:.1f} s of inferences: the phone slept or was busy"
        return begins[1], ends[1], (words,)
    return begins[1], ends[1], ()


def check(seen: Ended, run: Run, *, place: str) -> None:
    """See that the tool ran to its end.

    Raises:
        MissingTool: it cannot be started there.
        Unsupported: it refuses the file or the delegate, or died.
    """
    if not seen.code:
        return
    words = parsing.complaint(seen.text)
    if seen.code in {126, 127}:
        raise MissingTool(
            f"benchmark_model cannot be started: {words}",
            place=place,
            fix="give the build for the phone's ABI: --benchmark-binary PATH",
        )
    if delegation.DISALLOWED in seen.text:
        delegation.require_full(run.delegate, delegation.seen(run.delegate, seen.text), place=place)
    death = f"died (signal {seen.code - 128})" if seen.code > 128 else f"failed (exit code {seen.code})"
    raise Unsupported(
        f"benchmark_model {death}: {words}",
        place=place,
        fix="try --delegate none or another precision; if it died, see whether the phone has enough memory",
    )


def limit_s(run: Run) -> float:
    """How long a block may take at most: the tool's warm-up obeys ``max_s`` too."""
    return GRACE_S + (run.idle_s if run.mode == "idle" else 2 * run.max_s + run.warm_up_s)
