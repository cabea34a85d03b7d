"""A file and the float network that it was made from, run operator after operator beside one another.

Each operator of the file runs twice: on the float network's own values, put on the grids of the tensors that it reads
(*alone*), and on what the file's operators before it made (*accumulated*). If a tensor that it reads has no counterpart
in the float network, what the file made of the last ones that have is taken on, so that a stretch which was
rewritten is looked at as one.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.diagnosis import carried, grids
from edgekit.backends.tflite.diagnosis.blame import Blames, Suspect
from edgekit.backends.tflite.diagnosis.helps import Helps
from edgekit.backends.tflite.diagnosis.matching import ALIKE, Pairs, Side
from edgekit.backends.tflite.diagnosis.sensitivity import Tails
from edgekit.errors import EndlessError, Unsupported, first_line
from edgekit.host import events
from edgekit.nouns.diagnosis import OperatorDiagnosis, Unmatched
from edgekit.waist import cutting, graph
from edgekit.waist.causes import apart_db
from edgekit.waist.graph import Operator
from edgekit.waist.stepwise import Stepwise, last_uses
from edgekit.waist.tensors import IDENTICAL_DB, Array, sqnr_db

Floats = NDArray[np.float32]

OTHER_DB = 3.0
"""Below this SQNR alone a tensor of a rewritten stretch holds other values by intent: a mask that is clamped."""

FLAT = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}
"""Operators of a file alone that change no value, so that what follows them is none the less the same."""


class _Made(NamedTuple):
    """A tensor that an operator of the file made alone, and where that started: see `Walk`."""

    operator: Operator
    tensor: int
    got: Array
    origins: frozenset[int]
    through: tuple[str, ...]


class Walk:
    """One walk.

    Args:
        file: what is looked at.
        waist: the float network.
        pairs: of their tensors.
        inputs: of both networks, and what reads of variables find there, ``[N, *shape]`` by tensor index, as each
            stores them.
        tails: finds what an error does to the outputs; None to leave that out.
        helps: for how many of the worst operators to try what would help.
    """

    def __init__(
        self,
        file: Side,
        waist: Side,
        pairs: Pairs,
        inputs: tuple[Mapping[int, Array], Mapping[int, Array]],
        *,
        tails: Tails | None,
        helps: int,
    ) -> None:
        self._file, self._waist, self._pairs, self._tails = file, waist, pairs, tails
        self._runs, self._floats_run = Stepwise(file.model), Stepwise(waist.model)
        self._blames = Blames(file, waist)
        self._helps, self._most = Helps(file, waist, self._blames), helps
        self._levels: list[float] = []
        self._count = len(next(iter(inputs[1].values())))
        self.floats: dict[int, Array] = dict(inputs[1])
        self.own: dict[int, Array] = dict(inputs[0])
        self._exact: dict[int, Array] = dict(inputs[0]) | {
            t: self._stored(t, inputs[1][theirs])
            for t, theirs in pairs.tensors.items()
            if t in inputs[0] and t not in file.graph.inputs and theirs in inputs[1]
        }
        self._given = frozenset(inputs[1])
        self._origins: dict[int, frozenset[int]] = {}
        self._through: dict[int, tuple[str, ...]] = {}
        self._others: set[int] = set()
        self._next = 0
        self.rows: list[OperatorDiagnosis] = []
        self.unmatched: list[Unmatched] = []

    def run(self) -> None:
        """Walk from the inputs to the outputs.

        Raises:
            Unsupported: LiteRT cannot run an operator by itself.
        """
        main, last = self._file.graph, last_uses(self._file.graph)
        for tensor in main.inputs:
            self._input(tensor)
        for operator in main.operators:
            if operator.name in carried.KINDS:
                self._origins |= {t: frozenset({t}) for t in operator.outputs if t in self.own}
                continue
            events.progress(operator.index / len(main.operators), "operator by operator")
            try:
                self._operator(operator)
            except EndlessError:
                raise
            except Unsupported as error:
                raise Unsupported(
                    f"{operator.name}, operator {operator.index}, does not run by itself: {first_line(error)}",
                    place=f"operator {operator.index}",
                    fix="diagnose a file without this operator, or one of another precision",
                ) from error
            for tensor in dict.fromkeys(operator.inputs):
                if last.get(tensor) == operator.index:
                    self.own.pop(tensor, None)
                    self._exact.pop(tensor, None)
            self._release(operator.index, last)

    def _truth(self, tensor: int) -> int | None:
        """The float network's tensor of the same values, if there is one."""
        found = self._pairs.tensors.get(tensor)
        return None if found is None or found in self._others else found

    def _input(self, tensor: int) -> None:
        described, theirs = self._file.graph.tensors[tensor], self._truth(tensor)
        self._origins[tensor] = frozenset({tensor})
        if grids.grid(described) is None or theirs is None:
            return
        suspect = Suspect(Operator(index=-1, name="input", inputs=(), outputs=(tensor,)), tensor, {}, (), theirs, None,
                    self.floats[theirs], self.own[tensor], self.floats[theirs])  # fmt: skip
        self._row(suspect, None, ())

    def _operator(self, operator: Operator) -> None:
        alone = self._made(operator, self._exact)
        same = all(self.own.get(t) is self._exact.get(t) for t in operator.inputs)
        own = alone if same else self._made(operator, self.own)
        origins = frozenset().union(*(self._origins.get(t, frozenset()) for t in operator.inputs))
        through = tuple(dict.fromkeys(kind for t in operator.inputs for kind in self._through.get(t, ())))
        self.own |= own
        for tensor in operator.outputs:
            theirs = self._truth(tensor)
            if theirs is not None:
                self._reach(theirs)
            made = _Made(operator, tensor, alone[tensor], origins, through)
            if theirs is None or not self._compared(made, theirs):
                self._exact[tensor], self._origins[tensor] = alone[tensor], origins
                self._through[tensor] = through if operator.name in graph.BORDER else (*through, operator.name)
                continue
            kept = self._stored(tensor, self.floats[theirs])
            self._exact[tensor] = own[tensor] if np.array_equal(kept, own[tensor]) else kept
            self._origins[tensor] = frozenset({tensor})

    def _made(self, operator: Operator, values: Mapping[int, Array]) -> dict[int, Array]:
        """What an operator of the file makes; of constants the same for each sample."""
        made = self._runs.run(operator, values)
        return {
            t: found if len(found) == self._count else np.repeat(found, self._count, 0) for t, found in made.items()
        }

    def _reach(self, tensor: int) -> None:
        """Let the float network run until a tensor is there."""
        while tensor not in self.floats and self._next < len(self._waist.graph.operators):
            operator = self._waist.graph.operators[self._next]
            self._next += 1
            if operator.name in carried.KINDS:
                continue
            made = self._floats_run.run(operator, self.floats)
            self.floats |= {
                t: found if len(found) == self._count else np.repeat(found, self._count, 0) for t, found in made.items()
            }

    def _release(self, index: int, last: Mapping[int, int]) -> None:
        """Let go of the float network's values that nobody will read again."""
        used = {t: max(last.get(mine, -1), self._makes(mine)) for mine, t in self._pairs.tensors.items()}
        readers = last_uses(self._waist.graph)
        kept = {*self._given, *self._waist.graph.outputs}
        kept |= {self._pairs.tensors.get(origin, -1) for t in self._exact for origin in self._origins.get(t, ())}
        for tensor in [t for t in self.floats if t not in kept]:
            if readers.get(tensor, -1) < self._next and used.get(tensor, -1) <= index:
                del self.floats[tensor]

    def _makes(self, tensor: int) -> int:
        made = self._file.wiring.producer.get(tensor)
        return -1 if made is None else made.index

    def _compared(self, made: _Made, theirs: int) -> bool:
        """Make the row of an operator; whether its result stands for the float network's."""
        operator, truth, got = made.operator, self.floats.get(theirs), made.got
        if truth is None or truth.dtype != np.float32 or got.shape != truth.shape:
            if operator.name not in graph.BORDER:
                self._leave(operator, made.tensor, "its result is no float of one shape in the source")
            return truth is not None and got.shape == truth.shape
        if operator.name == "DEQUANTIZE":
            return True
        other = self._same_kind(operator, made.through)
        level = sqnr_db(truth, self._real(made.tensor, got))
        if operator.name not in graph.BORDER and self._is_other(other, level):
            self._others.add(theirs)
            self._leave(operator, made.tensor, "the file was rewritten here, and holds other values than the source")
            return False
        read = self._read(made.origins) or {}
        part = self._part(theirs, read)
        unrounded = truth
        if part and any(one is not two for one, two in read.values()):
            unrounded = self._blames.result(part, read, theirs, rounded=True, constants={})
        suspect = Suspect(operator, made.tensor, read, part, theirs, other, truth, got, unrounded)
        self._row(suspect, operator.index, made.through)
        return True

    def _stored(self, tensor: int, values: Array) -> Array:
        return grids.on(self._file.graph.tensors[tensor], values)

    def _real(self, tensor: int, values: Array) -> Floats:
        return grids.real(self._file.graph.tensors[tensor], values).astype(np.float32, copy=False)

    def _is_other(self, other: Operator | None, level: float) -> bool:
        """Whether a tensor holds other values by intent."""
        return other is None and level < OTHER_DB

    def _leave(self, operator: Operator, tensor: int, reason: str) -> None:
        name = self._file.graph.tensors[tensor].name
        self.unmatched.append(Unmatched(index=operator.index, operator=operator.name, name=name, reason=reason))

    def _same_kind(self, operator: Operator, through: tuple[str, ...]) -> Operator | None:
        """The float network's operator that does the same with the same constants."""
        other = self._pairs.operator(operator)
        if other is None or other.name != operator.name or not FLAT.issuperset(through):
            return None
        alike = self._pairs.same_constants(operator, other)
        return other if alike is None or alike >= ALIKE else None

    def _read(self, origins: frozenset[int]) -> dict[int, tuple[Array, Array]] | None:
        """The float network's values that an operator goes back to, and what the file's grids leave of them."""
        read: dict[int, tuple[Array, Array]] = {}
        for tensor in sorted(origins):
            theirs, described = self._truth(tensor), self._file.graph.tensors[tensor]
            if theirs is None or (exact := self.floats.get(theirs)) is None:
                return None
            rounded = exact if grids.grid(described) is None else grids.real(described, grids.on(described, exact))
            read[theirs] = exact, rounded
        return read

    def _part(self, made: int, read: Mapping[int, object] | None) -> tuple[Operator, ...]:
        """The float network's operators between what is read and what is made; none if they need something else."""
        if not read or made in read:
            return ()
        operators, reached = cutting.between(self._waist.graph, set(read), [made])
        return tuple(self._waist.graph.operators[k] for k in operators) if reached <= set(read) else ()

    def _row(self, suspect: Suspect, index: int | None, through: tuple[str, ...]) -> None:
        described = self._file.graph.tensors[suspect.tensor]
        got, own = (self._real(suspect.tensor, values) for values in (suspect.got, self.own[suspect.tensor]))
        alone, accumulated = (apart_db(suspect.truth, values) for values in (got, own))
        if alone is None and suspect.operator.name in graph.BORDER:
            return
        outputs = None if self._tails is None else partial(self._at_outputs, self._tails, suspect)
        output = None if outputs is None or alone is None else outputs(got)
        maker = self._waist.wiring.producer.get(suspect.made)
        self.rows.append(
            OperatorDiagnosis(
                index=index,
                place=None if maker is None else maker.index,
                operator=suspect.operator.name,
                name=self._waist.graph.tensors[suspect.made].name,
                tensor=described.name,
                dtype=described.dtype,
                alone_db=alone,
                accumulated_db=accumulated,
                output_db=output,
                through=through,
                blames=() if alone is None else self._blames.of(suspect),
                helps=self._helps.of(suspect, alone, output, outputs)
                if alone is not None and self._is_bad(output, alone)
                else (),
            )
        )

    def _at_outputs(self, tails: Tails, suspect: Suspect, made: Array) -> float | None:
        """SQNR of the outputs if what an operator makes errs as this does, and nothing else does.

        What the levels of its inputs cost is told of those who make these.
        """
        own_error = made.astype(np.float32) - suspect.unrounded.astype(np.float32)
        return tails(self.floats, suspect.made, suspect.truth.astype(np.float32) + own_error)

    def _is_bad(self, output: float | None, alone: float) -> bool:
        """Whether an operator is one of the worst until now, of which helps are told."""
        level = output if output is not None else alone if self._tails is None else IDENTICAL_DB
        self._levels = sorted([*self._levels, level])[: self._most]
        return level in self._levels
