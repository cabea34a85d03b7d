"""Devices, profiles and comparisons as screens."""

from collections import defaultdict
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from edgekit.nouns.profile import (
    Comparison,
    Device,
    DeviceVerification,
    Energy,
    Estimate,
    Latency,
    OperatorTime,
    Profile,
    State,
)
from edgekit.nouns.results import Measured
from edgekit.nouns.sensing import Availability
from edgekit.report.screens import plain_table, size

BAR = 24
"""Cells of the longest operator's bar."""

NO_METER = "No meter can be used on this device"
"""How the reason begins if there is none (`edgekit.measure.energy.choose`)."""

OPERATORS = 15
"""Operators that are shown one by one; the rest is one line."""


UNITS = ((1000.0, 1e-3, "s"), (0.1, 1.0, "ms"), (0.0, 1000.0, "µs"))
"""From which latency in ms on, by what to multiply it, and the unit's name."""


def milliseconds(value: float, like: float | None = None) -> str:
    """A latency given in ms with three significant digits, in the unit that fits it, or that fits another one."""
    factor, unit = _unit(value if like is None else like)
    return f"{_digits(value * factor)} {unit}"


def _unit(value: float) -> tuple[float, str]:
    """By what to multiply milliseconds, and the name of the unit that fits such a latency."""
    return next((factor, unit) for least, factor, unit in UNITS if value >= least)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure(found: Estimate, like: float | None = None) -> str:
    """A latency with its interval, in the unit that fits it, or that fits another one; or why there is none."""
    if found.value is None:
        return found.reason or "unknown"
    value, (factor, unit) = found.value, _unit(found.value if like is None else like)
    low, high = ("" if end is None else _digits(end * factor) for end in (found.low, found.high))
    interval = f" ({low} – {high})" if low and high else f" (≥ {low})" if low else f" (≤ {high})" if high else ""
    return f"{_digits(value * factor)} {unit}{interval}"


def profiles(measured: Iterable[Measured]) -> RenderableType:
    """The table that ends a measurement, a column for each file, and below it what needs attention."""
    rows = list(measured)
    table = plain_table("", *(row.profile.artifact for row in rows))
    medians = [row.profile.latency.median_ms.value for row in rows if row.profile.latency is not None]
    quickest = min((value for value in medians if value is not None), default=1.0)  # all are told in its unit
    figures = [_figures(row.profile, quickest) for row in rows]
    for name in figures[0] if figures else ():
        table.add_row(Text(name, style="bold"), *(column[name] for column in figures))
    return Group(table, *(part for row in rows for part in _remarks(row)))


def _figures(profile: Profile, like: float) -> dict[str, str]:
    """Every figure of the table, by its name."""
    latency, memory = profile.latency, profile.memory
    names = ("init", "first", "median", "p90", "p99")
    times = dict.fromkeys(names, "unavailable") if latency is None else _times(latency, like)
    steady = "" if memory.steady_bytes is None else f", {size(memory.steady_bytes)} steady"
    loaded = "" if memory.loaded_bytes is None else f", {size(memory.loaded_bytes)} of it loading"
    arena = "" if memory.arena_bytes is None else f", arena {size(memory.arena_bytes)}"
    used = "unavailable" if memory.peak_bytes is None else f"{size(memory.peak_bytes)}{steady}{loaded}{arena}"
    return times | {"memory": used, "energy": _energy(profile.energy)}


def _times(latency: Latency, like: float) -> dict[str, str]:
    found = {
        "init": latency.init_ms,
        "first": latency.first_ms,
        "median": latency.median_ms,
        "p90": latency.p90_ms,
        "p99": latency.p99_ms,
    }
    return {name: figure(one, like) for name, one in found.items()}


def _energy(energy: Energy | None) -> str:
    if energy is None:
        return "unavailable"
    best = energy.best_mj
    if best.value is None:
        return "unavailable"
    factor, unit = (1.0, "mJ") if best.value >= 0.1 else (1000.0, "µJ")
    low, high = (None if end is None else _digits(end * factor) for end in (best.low, best.high))
    interval = "" if low is None or high is None else f" ({low} – {high})"
    return f"{_digits(best.value * factor)} {unit} {energy.kind}{interval}, {energy.provenance}"


def _remarks(row: Measured) -> Iterable[RenderableType]:
    profile = row.profile
    yield Text()
    yield Text(profile.artifact, style="bold")
    yield _remark(_conditions(profile))
    if profile.verification is not None:
        yield Padding(verification(profile.verification), (0, 0, 0, 2))
    if profile.delegation is not None and profile.delegation.share != "all":
        yield _remark(f"{profile.delegation.delegate} took {profile.delegation.share}: {profile.delegation.words}")
    if profile.energy is not None:
        yield _remark(f"energy: {_energy_terms(profile.energy)}")
    for reason in _missing_limits(profile.latency):
        yield _remark(reason)
    for flag in profile.flags:
        yield _remark(flag, "yellow")
    for what, reason in profile.unavailable.items():
        yield _remark(_unavailable(profile, what, reason))
    if profile.operators:
        yield operators(profile.operators)


def _remark(text: str, style: str = "") -> RenderableType:
    """A line below a file's name; if it is wrapped it stays indented."""
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _missing_limits(latency: Latency | None) -> Iterable[str]:
    """Why a figure has no interval, or an open one."""
    if latency is not None:
        for name in ("median", "p90", "p99"):
            found: Estimate = getattr(latency, f"{name}_ms")
            if found.value is not None and found.reason:
                yield f"{name}: {found.reason}"


def _unavailable(profile: Profile, what: str, reason: str) -> str:
    """What could not be had, and why; of nine meters the device's own page tells."""
    if what == "energy" and reason.startswith(NO_METER):
        reason = f"{NO_METER}; edgekit devices check {profile.device.id} tells why"
        if profile.energy is not None:
            return f"energy not measured: {reason}"
    return f"{what} unavailable: {reason}"


def _energy_terms(energy: Energy) -> str:
    """What a figure of energy rests on."""
    gross = energy.gross_mj
    words = [
        f"by {energy.meter}" + (f" ({', '.join(energy.rails)})" if energy.rails else ""),
        f"gross {gross.value:.3g} mJ" if gross.value is not None else gross.reason,
        f"{energy.average_power_w:.3g} W while running" if energy.average_power_w is not None else "",
        f"{energy.idle_power_w:.3g} W idle" if energy.idle_power_w is not None else "",
        energy.net_mj.reason if energy.net_mj.value is None else "",
        *energy.notes,
    ]
    return "; ".join(word for word in words if word)


def _conditions(profile: Profile) -> str:
    device, latency = profile.device, profile.latency
    runs = "" if latency is None else f"{latency.runs:,} runs in {latency.blocks} blocks, {latency.seconds:.3g} s; "
    known = [word for word in (device.title if device.title != device.id else "", device.cpu) if word]
    where = "this host" if device.id == "local" else device.id
    where += f" ({', '.join(word for word in known if word != where)})"
    return f"{runs}{how(profile)}, on {where}"


def how(profile: Profile) -> str:
    """By how many threads, which delegate, runtime and protocol it was measured."""
    threads = f"{profile.run.threads} thread" + ("s" if profile.run.threads > 1 else "")
    delegate = f", {profile.run.delegate}" if profile.artifact.endswith(".tflite") else ""
    return f"{threads}{delegate}, {profile.runtime or 'no runtime'}, {profile.protocol.name}"


def verification(found: DeviceVerification, name: str = "") -> Text:
    """Whether a device computes what this host computes."""
    name = f"{name} " if name else ""
    if found.verdict == "pass":
        agrees = "bit for bit" if found.identical else f"{found.sqnr_db:.1f} dB"
        return Text(f"{name}verified on {_computer(found)}: {agrees} on {found.samples} samples", style="green")
    sqnr = "" if found.sqnr_db is None else f", {found.sqnr_db:.1f} dB"
    where = f": {found.first_difference}" if found.first_difference else ""
    return Text(f"{name}differs on {_computer(found)}{sqnr}{where}", style="red")


def _computer(found: DeviceVerification) -> str:
    """What computed: whose kernels, on which core, and that it is played where it is."""
    core = ", ".join(word for word in (found.cpu, "emulated" if found.kind == "emulated" else "") if word)
    return f"{f'{found.kernels} kernels of ' if found.kernels else ''}{found.device}{f' ({core})' if core else ''}"


def operators(times: tuple[OperatorTime, ...]) -> RenderableType:
    """Operators by time, the longest first, with a bar for each."""
    total = sum(row.mean_ms for row in times) or 1.0
    ranked = sorted(times, key=lambda row: -row.mean_ms)
    longest = ranked[0].mean_ms or 1.0
    table = plain_table("  time", "share", "", "operator")
    for row in ranked[:OPERATORS]:
        bar = Text("█" * round(BAR * row.mean_ms / longest), style="blue")
        what = row.name if row.kind in row.name else f"{row.kind} {row.name}"
        table.add_row(f"  {milliseconds(row.mean_ms, longest)}", f"{row.mean_ms / total:.1%}", bar, what)
    rest = sum(row.mean_ms for row in ranked[OPERATORS:])
    if len(ranked) > OPERATORS:
        more = f"{len(ranked) - OPERATORS} more"
        table.add_row(f"  {milliseconds(rest, longest)}", f"{rest / total:.1%}", "", more)
    kinds: dict[str, float] = defaultdict(float)
    for row in times:
        kinds[row.kind] += row.mean_ms
    by_kind = ", ".join(f"{kind} {spent / total:.0%}" for kind, spent in sorted(kinds.items(), key=lambda k: -k[1])[:4])
    head = f"operators, in a run of their own, which takes time itself, to 1 µs: {by_kind}"
    return Group(_remark(head), table)


def comparison(found: Comparison, a: str, b: str, device: str) -> RenderableType:
    """The verdict on A against B, with the ratio and its interval."""
    style = {"faster": "green", "slower": "red"}.get(found.verdict, "yellow")
    if found.verdict == "no difference shown":
        verdict = f"no difference shown between {a} and {b} on {device}"
    else:
        verdict = f"{a} is {found.verdict} than {b} on {device}"
    interval = "" if found.low is None or found.high is None else f", 95 % interval {found.low:.3f} – {found.high:.3f}"
    value = "unknown" if found.ratio is None else f"{found.ratio:.3f}"
    ratio = f"time of {a} / time of {b}: {value}{interval}, {found.pairs} pairs of blocks"
    lines: list[RenderableType] = [Text(), Text(verdict, style=style), _remark(ratio)]
    if found.low is None or "pair" in found.reason:  # else it repeats the interval
        lines.append(_remark(found.reason))
    if found.energy is not None:
        lines.append(_remark(f"energy of {a} / energy of {b}: {_ratio(found.energy)}"))
    return Group(*lines)


def _ratio(found: Estimate) -> str:
    if found.value is None:
        return f"unavailable: {found.reason}"
    interval = "" if found.low is None or found.high is None else f", 95 % interval {found.low:.3f} – {found.high:.3f}"
    return f"{found.value:.3f}{interval}" + (f" ({found.reason})" if found.reason else "")


def devices(found: Iterable[tuple[Device, dict[str, Availability]]]) -> RenderableType:
    """A line for each device, and below it what is wrong and which meters it offers."""
    table = plain_table("device", "what", "system", "runs", "meters")
    remarks: list[RenderableType] = []
    for device, offers in found:
        usable = Text(device.id, style="green" if device.usable else "yellow")
        here = [name for name, offer in offers.items() if offer.probe is not None]
        runs = ", ".join(device.runs) if device.usable else "not usable"
        table.add_row(usable, device.title, _system(device), runs, ", ".join(here) or ("none" if device.usable else ""))
        remarks += [Text(f"{device.id}: {problem}", style="yellow") for problem in device.problems]
    return Group(table, *remarks)


def _system(device: Device) -> str:
    parts = [device.cpu, device.abi, device.os, f"{device.cores} cores" if device.cores else None]
    return ", ".join(part for part in parts if part)


def device(found: Device, offers: dict[str, Availability]) -> RenderableType:
    """Everything about one device: what it runs, its state, and every meter with its reason."""
    facts = plain_table("", "")
    facts.show_header = False
    if _system(found):
        facts.add_row("system", _system(found))
        facts.add_row("runtimes", ", ".join(f"{name} {version}" for name, version in found.runtimes.items()) or "none")
        facts.add_row("runs", ", ".join(found.runs) or "nothing")
        facts.add_row("delegates", ", ".join(found.delegates) or "none")
    if found.state is not None:
        facts.add_row("state", state(found.state))
    parts: list[RenderableType] = [Text(f"{found.id}: {found.title}", style="bold"), facts]
    if offers:
        table = plain_table("meter", "works", "remark")
        for name, offer in offers.items():
            works = Text("yes", style="green") if offer.probe is not None else Text("no", style="yellow")
            table.add_row(name, works, offer.reason + (f"\nfix: {offer.fix}" if offer.fix else ""))
        parts += [Text(), table]
    return Group(*parts, *(Text(problem, style="yellow") for problem in found.problems))


def state(found: State) -> str:
    """What is known of a state, in words."""
    words = [
        found.governor and f"governor {found.governor}",
        found.frequencies_khz and f"{max(found.frequencies_khz) / 1e6:.2f} GHz",
        found.temperature_c is not None and f"{found.temperature_c:.0f} °C",
        found.throttled and f"throttled: {', '.join(found.throttled)}",
        found.has_throttled and f"has throttled since its start: {', '.join(found.has_throttled)}",
        found.battery_percent is not None and f"battery {found.battery_percent:.0f} %",
        found.charging and "charging",
        found.screen_on is not None and f"screen {'on' if found.screen_on else 'off'}",
        found.load is not None and f"load {found.load:.2f}",
    ]
    return ", ".join(word for word in words if word) or "not known"
