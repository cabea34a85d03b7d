"""The integer files of one form of a network: every way to choose ranges, what stays float, and the best of them.

Every way to choose ranges is tried on the first of the `ENGINES`, the best of them on the second if the first comes
out poorly or leaves operators float. Some operators stay float whatever comes out; if the signal is still lost, a
`search` by measurement finds the stretch of the network that loses it.

Whichever file leaves fewer operators float wins, unless its outputs are clearly worse; among equals the one that comes
closer to the float outputs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgekit.backends.tflite import effort, engines, range_search, search
from edgekit.backends.tflite.engines import ENGINES, FAILURES
from edgekit.backends.tflite.judge import Candidate, Judge, best, worth_keeping
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.backends.tflite.ranges import METHODS, Range, choose, saturated
from edgekit.backends.tflite.ready import Ready, parts, scales, steep
from edgekit.backends.tflite.ready.aliases import Aliases
from edgekit.errors import EndlessError, Unsupported, first_line
from edgekit.host import events
from edgekit.nouns.building import Tried
from edgekit.nouns.quantization import Settings
from edgekit.waist import exact, graph, movement, named, offsets
from edgekit.waist.exact import GUARDED, Wiring

POOR_DB = 15.0
"""Below this SQNR the first quantizer's file may be wrong rather than coarse."""

GUARDS = "they guard a divisor, a root or a logarithm"
"""Why such operators stay float."""

ASKED_FOR = "named by float_operators"
"""Why the operators stay float that a user, or the search for accuracy, names."""

FIRST = next(iter(ENGINES))
"""The engine that is asked first."""

KINDS_TRIED = 6
"""How many kinds of operators are tried as the one whose integer form makes LiteRT die."""

REFUSED = re.compile(r"Node number \d+ \((\w+)\)")
"""How LiteRT names an operator that it cannot prepare or run."""

BETTER_DB = 1.0
"""What a rewriting that costs an operator has to gain."""


@dataclass(frozen=True)
class Quantized:
    """The file that is kept, with what it takes to finish it: its aliased outputs and its integer inputs.

    ``form`` is the setting of equalization that makes the form of the network that it has. ``notes`` say what was left
    out because the network is large, ``tried`` what it was chosen from. ``methods`` are the ways to choose ranges that
    were tried, with SQNR in dB on the scored samples, weights rounded to the nearest level.
    """

    candidate: Candidate
    aliases: Aliases
    integers: dict[str, str]
    notes: tuple[str, ...] = ()
    form: str = "off"
    tried: tuple[Tried, ...] = ()
    methods: Mapping[str, float] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """Those that make its form, with its ranges, again."""
        return {"ranges": self.candidate.method, "equalization": self.form}


class Attempts:
    """The candidates of one network."""

    def __init__(self, made: Ready, judge: Judge, settings: QuantizationSettings, most: int) -> None:
        self._ready, self._judge, self._settings, self._most = made, judge, settings, most
        self._graph = graph.read(made.path)[0]
        self._wiring = Wiring(self._graph)
        self._saturated = saturated(self._graph, made.seen.activations)
        self._chosen: dict[str, dict[int, Range]] = {}
        self._made: list[Candidate] = []
        self._tried = 0
        self._refused: list[str] = []
        self._left_out: list[str] = []
        self._methods: dict[str, float] = {}

    @property
    def settings(self) -> QuantizationSettings:
        """How the network is quantized."""
        return self._settings

    @property
    def full_integer(self) -> bool:
        """Whether operators that quantizers know are never to be left float."""
        return self._settings.full_integer

    def again(self, made: Ready, method: str = "") -> "Attempts":
        """The same for another form of the network; with one method if that is known to serve best."""
        settings = replace(self._settings, method=method) if method else self._settings
        return Attempts(made, self._judge, settings, effort.FEWEST_CANDIDATES if method else self._most)

    def run(self, folder: Path) -> Quantized:
        """Try plans and keep the best file."""
        plan = self._first()
        self._every_method(plan)
        if not self._made and not self._settings.full_integer:
            self._without_a_kind(plan)
        for other in self._others(plan, folder):
            self._once(other)
        if self._made and self._best().signal_db < POOR_DB and self._searchable():
            if self._tried + search.most(len(self._graph.operators)) <= self._most:
                self._search(plan)
            else:
                self._left_out.append("where it loses its signal was not searched for")
        if not self._made:
            raise Unsupported(
                f"No quantizer makes an integer file that LiteRT runs ({'; '.join(dict.fromkeys(self._refused))}).",
                place=self._ready.path.name,
                fix="choose float16 or dynamic-int8, or rewrite the operators named",
            )
        notes = (f"a large network: {', '.join(dict.fromkeys(self._left_out))}",) if self._left_out else ()
        found = self._best()
        return Quantized(found, self._ready.aliases, self._ready.integers, notes, methods=self._methods)

    def _best(self) -> Candidate:
        return best(self._made, whole=self._settings.full_integer)

    def _ranges(self, method: str) -> dict[int, Range]:
        if method not in self._chosen:
            seen = self._ready.seen.activations
            self._chosen[method] = choose(self._graph, seen, method, self._ready.fixed, self._saturated)
        return self._chosen[method]

    def _first(self) -> QuantizationPlan:
        """The network as it is, with what stays float whatever comes out."""
        model = graph.load(self._ready.path)
        whole = self._settings.full_integer
        joined = parts.joins(model, self._wiring, self._ranges("minmax"), whole=whole)
        shifted = frozenset[int]() if whole else parts.shifts(model, self._wiring, self._ranges("minmax"))
        made, read = (frozenset[int](), frozenset[int]()) if whole else self._far()
        self._judge.parts = self._parts(model, joined)
        self._judge.far = frozenset(self._graph.tensors[tensor].name for tensor in made)
        sets = {
            "whole numbers are computed from them": exact.index_arithmetic(self._wiring),
            GUARDS: exact.guarded(self._wiring, GUARDED - {"SQRT"} if whole else GUARDED),
            "they join outputs of different ranges": joined,
            "what they add is far larger than what changes": shifted - joined,
            offsets.MAKERS: offsets.makers(self._wiring, made) - shifted - joined,
            offsets.READERS: offsets.readers(self._wiring, read),
            "integers of 16 bits give a sum the range of what it sums": self._sums(),
            "they clamp a mask": self._ready.floats,
            ASKED_FOR: named.makers(self._graph, self._settings.floats),
        }
        plan = QuantizationPlan(self._ready.path, self._ranges)
        for reason, operators in sets.items():
            plan = plan.keeping(self._graph, operators, reason)
        choices = map(plan.chosen, self._asked() if self._searchable() else ())
        return plan.keeping(self._graph, steep.layers(model, self._graph, choices), steep.STEEP)

    def _sums(self) -> frozenset[int]:
        """Sums of 16 bits: quantizers give them their operand's scale, which cuts them off."""
        wide = self._settings.activations == "int16" and not self._settings.full_integer
        return frozenset(operator.index for operator in self._graph.operators if wide and operator.name == "SUM")

    def _far(self) -> tuple[frozenset[int], frozenset[int]]:
        """Outputs and inputs whose steps would be coarser than what changes."""
        tensors, samples = self._graph.tensors, self._ready.inputs
        last = 65535 if self._settings.activations == "int16" else 255
        seen = self._ready.seen.outputs if any(map(movement.moves, samples.values())) else {}
        made = {t: seen[tensors[t].name] for t in self._graph.outputs if tensors[t].name in seen}
        given = {t: samples[tensors[t].name] for t in self._graph.inputs if tensors[t].name in samples}
        return offsets.outputs(self._wiring, made, last), offsets.inputs(self._wiring, given, last)

    def _parts(self, model: object, joined: frozenset[int]) -> dict[str, parts.Parts]:
        main = self._graph
        found = {main.tensors[o].name: parts.join_parts(model, self._wiring, o, joined) for o in main.outputs}
        return {name: parts for name, parts in found.items() if parts is not None}

    def _every_method(self, plan: QuantizationPlan) -> None:
        """All ways to choose ranges on the first engine, then the best, if it is in doubt, on the others."""
        for engine in ENGINES:
            methods = self._asked()
            if self._made:
                found = self._best()
                methods = (found.method,) if found.floats or found.signal_db < POOR_DB else ()
            for method in methods:
                made = self._try(plan, engine, method) or self._retry(plan, engine, method)
                if made is None:
                    break  # what an engine refuses with one choice of ranges it refuses with all
                self._methods[method] = max(made.sqnr_db, self._methods.get(method, made.sqnr_db))

    def _asked(self) -> tuple[str, ...]:
        if self._settings.method not in {"auto", range_search.SEARCHED}:
            return (self._settings.method,)
        return ("minmax",) if self._settings.activations == "int16" else tuple(METHODS)

    def _retry(self, plan: QuantizationPlan, engine: str, method: str) -> Candidate | None:
        """Once more with those operators float that LiteRT's kernel refused, if it names them."""
        named = REFUSED.search(self._refused[-1]) if self._refused else None
        operators = {o.index for o in self._graph.operators if named and o.name == named[1]} - plan.kept
        if not operators or self._settings.full_integer:
            return None
        return self._try(plan.keeping(self._graph, operators, "LiteRT's integer kernel refuses it"), engine, method)

    def _without_a_kind(self, plan: QuantizationPlan) -> None:
        """No file runs, and nobody says why (a kernel that aborts): one kind stays float, or all but layers."""
        counted = Counter(operator.name for operator in self._graph.operators)
        kinds = [{kind} for kind, _ in counted.most_common(KINDS_TRIED)]
        for names in (*kinds, set(counted) - exact.LAYERS):
            operators = {operator.index for operator in self._graph.operators if operator.name in names} - plan.kept
            if operators and self._try(
                plan.keeping(self._graph, operators, "LiteRT dies of their integer form"), FIRST, "minmax"
            ):
                return

    def _try(self, plan: QuantizationPlan, engine: str, method: str) -> Candidate | None:
        settings = self._settings
        if self._made and self._tried >= self._most:
            self._left_out.append(f"only {self._tried} candidates were tried")
            return None
        self._tried += 1
        events.progress(None, f"candidate {self._tried}: {engine}, ranges {method}")
        try:
            content = engines.quantized(engine, plan, method, settings)
            made = self._judge(content, engine, method, plan)
        except EndlessError:  # so would be the next
            raise
        except FAILURES as error:
            self._refused.append(f"{engine}: {first_line(error)}")
            return None
        self._made = worth_keeping([*self._made, made])  # a large file in memory is enough
        return made

    def _others(self, plan: QuantizationPlan, folder: Path) -> list[QuantizationPlan]:
        """Variations that are worth a try: roots float as well, and joins on one scale."""
        plans = []
        roots = exact.guarded(self._wiring, GUARDED | {"RSQRT"}) - plan.kept
        if roots and not self._settings.full_integer:
            plans.append(plan.keeping(self._graph, roots, GUARDS))
        model = graph.load(plan.path)
        evened = scales.even_out(model, self._ranges("minmax"))
        if evened is not None:
            path = folder / "even.tflite"
            path.write_bytes(graph.pack(model))
            plans.append(_evened(plan, path, self._graph, model))
        return plans

    def _once(self, plan: QuantizationPlan) -> None:
        """A variation, in the way that served best until now."""
        found = self._best() if self._made else None
        made = self._try(plan, found.engine if found else FIRST, found.method if found else "minmax")
        if made is not None and found is not None and made.signal_db < found.signal_db + BETTER_DB:
            self._made = [found]

    def _searchable(self) -> bool:
        return not self._settings.full_integer and self._settings.activations == "int8"

    def _search(self, plan: QuantizationPlan) -> None:
        found = self._best()

        def score(stretch: range) -> float:
            made = self._try(replace(plan, kept=plan.kept | set(stretch)), found.engine, found.method)
            return -np.inf if made is None else made.signal_db

        stretch = search.stretch(len(self._graph.operators), score)
        layers = [operator.index for operator in self._graph.operators if operator.name in exact.LAYERS]
        self._made = [found]
        # More than half of the layers is no such place: noise that all share alike falls by 3 dB if half are float.
        if stretch is None or 2 * len([index for index in layers if index in stretch]) > len(layers):
            return
        reason = _lost(found)
        final = self._try(plan.keeping(self._graph, set(stretch) - plan.kept, reason), found.engine, found.method)
        self._made = [found] if final is None else [final]


def _lost(found: Candidate) -> str:
    """Why a stretch of a network stays float, from what a file without it has left."""
    if found.signal_db < found.sqnr_db and found.varying_db is not None:
        return f"integers there leave {found.varying_db:.1f} dB of what changes between the calibration samples"
    return f"integers there leave {found.sqnr_db:.1f} dB of the calibration samples' signal"


def at_their_places(operators: Iterable[int], before: graph.Graph, after: graph.Graph) -> frozenset[int]:
    """Operators of a graph that has changed, known by what they make."""
    outputs = {made for index in operators for made in before.operators[index].outputs}
    return frozenset(operator.index for operator in after.operators if outputs.intersection(operator.outputs))


def _evened(plan: QuantizationPlan, path: Path, before: graph.Graph, model: object) -> QuantizationPlan:
    """The plan for a file whose joins are on one scale: the same operators stay float, at their new places."""
    places = at_their_places(plan.kept, before, graph.describe(model)[0])

    def ranges(method: str) -> dict[int, Range]:
        """Ranges with those of the parts on their new scale."""
        again = graph.load(plan.path)
        return scales.even_out(again, plan.ranges(method)) or {}

    return QuantizationPlan(path, ranges, places, plan.reasons)
