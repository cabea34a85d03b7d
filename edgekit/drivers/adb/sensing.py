"""Samples of a probe on a phone: a loop in its own shell, on its own clock, and how they are read here.

A phone has no Python. Its shell appends one record a reading to a file in the place: the byte 1E, the clock
before and after, the exit code and the source's number, then the text. ``/proc/uptime`` is the clock: it
goes on while the phone sleeps, in steps of 10 ms. No meter of a phone streams.
"""

import shlex

import msgspec

from edgekit.nouns.sensing import Probe, Sample

CLOCK_STEP_S = 0.01
"""The step of ``/proc/uptime``."""

RECORD = "\x1e"

ROUNDS_S = 7200.0
"""The sampling loop ends after this time by itself, should nobody end it."""

FILE = "sensed"
"""What a block's folder holds of a probe, in a phone's own form."""


def begin(probe: Probe | None, out: str) -> list[str]:
    """Shell lines that take the first samples and start the loop; ``out`` is the block's folder there."""
    if probe is None:
        return []
    files = [f"cat {shlex.quote(file)}" for file in probe.files]
    commands = [*files, *(f"sh -c {shlex.quote(command)}" for command in probe.commands)]
    lines = ["sample() {", *(_reading(command, i, out) for i, command in enumerate(commands)), ":", "}", "sample"]
    if probe.interval_s is not None and commands:
        rounds = int(ROUNDS_S / max(probe.interval_s, 0.001))
        alive = f"[ -e {out}/go ] && [ $n -lt {rounds} ]"
        loop = f"n=0; while {alive}; do sleep {probe.interval_s:g}; sample; n=$((n+1)); done"
        lines += [f": > {out}/go", f"( {loop} ) & SAMPLER=$!", "echo $SAMPLER >> processes"]
    return lines


def end(probe: Probe | None, out: str) -> list[str]:
    """Shell lines that end the loop and take the last samples."""
    if probe is None:
        return []
    lines = []
    if probe.interval_s is not None and sources(probe):
        lines.append(f"rm -f {out}/go; wait $SAMPLER")
    return [*lines, "sample"]


def sources(probe: Probe) -> tuple[str, ...]:
    """What is read one by one, in the order of its numbers in the records."""
    return (*probe.files, *probe.commands)


def _reading(command: str, number: int, out: str) -> str:
    return (
        f"read a x < /proc/uptime; t=$({command} 2>{out}/error); c=$?; read b x < /proc/uptime; "
        f"[ $c = 0 ] || t=$(cat {out}/error); "
        f'printf \'\\036%s %s %s {number}\\n%s\\n\' "$a" "$b" $c "$t" >> {out}/{FILE}'
    )


def samples(probe: Probe, text: str) -> list[Sample]:
    """Read a phone's records, in the order of time; one that was cut off is left out."""
    names = sources(probe)
    found = []
    for record in text.split(RECORD)[1:]:
        head, newline, body = record.partition("\n")
        words = head.split()
        try:
            before, after, code, number = float(words[0]), float(words[1]), int(words[2]), int(words[3])
            source = names[number]
        except (ValueError, IndexError):
            continue
        if newline:
            found.append(_sample(before, after, source, code, body.removesuffix("\n")))
    return sorted(found, key=lambda sample: sample.t_s)


def _sample(before: float, after: float, source: str, code: int, text: str) -> Sample:
    at, took = (before + after) / 2, after - before
    if code:
        return Sample(t_s=at, took_s=took, source=source, error=text.strip() or f"exit {code}")
    return Sample(t_s=at, took_s=took, source=source, text=text + "\n")


def lines(read: list[Sample]) -> bytes:
    """Samples as the content of ``sensed.jsonl``."""
    return b"".join(msgspec.json.encode(sample) + b"\n" for sample in read)
