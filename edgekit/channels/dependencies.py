"""Which channels of a network can only go together: cells followed through all operators.

The idea of a graph of dependencies is DepGraph's (Fang et al., "DepGraph: Towards any structural pruning", CVPR 2023);
here index sets of axes are followed, not layers.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.channels.cells import Axes, Cells, Ids
from edgekit.channels.rules import ROWS
from edgekit.channels.site import Contraction, NotFollowedError, Place, Site
from edgekit.rewrites import optimizer
from edgekit.trainable import shapes
from edgekit.waist import copies, graph
from edgekit.waist.tensors import Array

Use = tuple[int, int]
"""A constant as an operator reads it: the operator's index, and the slot."""


@dataclass(frozen=True)
class Family:
    """Channels that stand in the same places, of which any can go.

    Attributes:
        name: of the tensor in which they begin.
        channels: what stands for each of them, in their order.
        places: axes of constants along which they lie, and how many indices each channel has there.
        origins: those among the places that make them.
        contractions: where they end.
    """

    name: str
    channels: tuple[int, ...]
    places: Mapping[Place, int]
    origins: tuple[Place, ...]
    contractions: tuple[Contraction, ...]

    @property
    def key(self) -> Hashable:
        """What tells it from others, in files of the same network with fewer channels, too."""
        return self.name, tuple(sorted(self.places))

    @property
    def width(self) -> int:
        """Indices that one channel has in the layer that makes it: 64 for an attention head of 64."""
        return self.places[self.origins[0]]


@dataclass(frozen=True)
class Dependencies:
    """A network's channels.

    Attributes:
        tree: the schema's object tree, with the shapes that LiteRT finds; whoever changes it copies it before.
        graph: its main graph.
        tensors: by index the channels along each axis of an activation; -1 where a cell stays.
        constants: the same of a constant, as an operator reads it.
        families: what can go.
        contractions: all of them.
        notes: which layers stay whole, and why.
        size: channels are numbers below it.
    """

    tree: Any
    graph: graph.Graph
    tensors: Mapping[int, Axes]
    constants: Mapping[Use, Axes]
    families: tuple[Family, ...]
    contractions: tuple[Contraction, ...]
    notes: tuple[str, ...]
    size: int

    def operand(self, use: Use) -> int:
        """The tensor that an operator reads in a slot."""
        operator, slot = use
        return self.graph.operators[operator].inputs[slot]

    def values(self, use: Use) -> Array:
        """What a constant holds."""
        found = graph.constant(self.tree, 0, self.operand(use))
        assert found is not None, "it is among the constants"
        return found

    def readers(self, tensor: int) -> tuple[Use, ...]:
        """Where a tensor is read."""
        operators = self.graph.operators
        return tuple((op.index, slot) for op in operators for slot, read in enumerate(op.inputs) if read == tensor)


def find(path: Path) -> Dependencies:
    """The channels of a TFLite file.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
        Unsupported: LiteRT cannot run it.
    """
    return of(prepared(path))


def prepared(path: Path) -> Any:
    """A file's object tree with the shapes that LiteRT finds, and what is computed of constants alone as a constant.

    Weights of equal content lie in one buffer, as those of both halves of a siamese network that a converter wrote
    twice: cut each in its own way they would be two weights, and the file larger than before.
    """
    with TemporaryDirectory() as folder:
        made = Path(folder) / "folded.tflite"
        optimizer.write(path, ("constants",), made)
        taken = made if made.exists() else path
        tree = graph.load(taken)
        shapes.settle(tree, taken)
    copies.share(tree)
    for tensor in tree.subgraphs[0].tensors:
        tensor.shapeSignature = None
    return tree


def of(tree: Any) -> Dependencies:
    """The channels of a `prepared` tree."""
    return _Finder(tree).found()


class _Finder:
    """Follows the cells of a tree through its main graph."""

    def __init__(self, tree: Any) -> None:
        self.tree, self.graph, self.cells = tree, graph.describe(tree)[0], Cells()
        self.tensors: dict[int, Axes] = {}
        self.constants: dict[Use, Axes] = {}
        self.origins: list[Place] = []
        self.contractions: list[Contraction] = []
        self.shared: dict[tuple[int, tuple[int, ...]], Axes] = {}

    def found(self) -> Dependencies:
        """Follow every operator once, in the order of execution; which cells stay or go together is settled then."""
        for index in self.graph.inputs:
            shape = self.graph.tensors[index].shape
            self.tensors[index] = tuple(self.cells.fixed(size, "it is an input of the network") for size in shape)
        for operator in self.graph.operators:
            self._follow(operator)
        for index in self.graph.outputs:
            for ids in self.tensors.get(index, ()):
                self.cells.keep(ids, "it is an output of the network")
        self.cells.settle()
        families = tuple(self._families())
        gone = {channel for family in families for channel in family.channels}
        return Dependencies(
            tree=self.tree,
            graph=self.graph,
            tensors={key: self._channels(axes, gone) for key, axes in self.tensors.items()},
            constants={key: self._channels(axes, gone) for key, axes in self.constants.items()},
            families=families,
            contractions=tuple(self.contractions),
            notes=tuple(self._notes()),
            size=self.cells.size,
        )

    def _channels(self, axes: Axes, gone: set[int]) -> Axes:
        rooted = (self.cells.roots(ids) for ids in axes)
        return tuple(np.where(np.isin(ids, list(gone)), ids, -1) for ids in rooted)

    def _follow(self, operator: graph.Operator) -> None:
        """Tie the cells of an operator; if it cannot be followed, what it reads and makes stays whole."""
        values = {
            slot: found
            for slot, index in enumerate(operator.inputs)
            if index >= 0 and (found := graph.constant(self.tree, 0, index)) is not None
        }
        operands = tuple(
            None if index < 0 else self._axes((operator.index, slot), index, values.get(slot))
            for slot, index in enumerate(operator.inputs)
        )
        shapes_made = tuple(self.graph.tensors[index].shape for index in operator.outputs)
        site = Site(operator, self.cells, operands, values, shapes_made)
        try:
            made = self._made(site)
        except NotFollowedError as error:
            why = f"{operator.name} {self._name(operator)} is not followed: {error}"
            for axes in operands:
                site.keep(*(axes or ()), why=why)
            made = [tuple(site.fixed(size, why) for size in shape) for shape in shapes_made]
        else:
            self.origins += site.origins
            self.contractions += site.contractions
        for index, axes in zip(operator.outputs, made, strict=True):
            self.tensors[index] = axes
            for ids in axes:
                if ids.size == 1:
                    self.cells.keep(ids, "there is only one")

    def _made(self, site: Site) -> list[Axes]:
        """What the rule says, if that fits what LiteRT makes."""
        rule = ROWS.get(site.operator.name)
        if rule is None:
            raise NotFollowedError("it has no rule")
        grids = (self.graph.tensors[i] for i in (*site.operator.inputs, *site.operator.outputs) if i >= 0)
        if any(len(tensor.scales) > 1 for tensor in grids):
            raise NotFollowedError("it has a scale for each channel")
        made = list(rule(site))
        if [tuple(ids.size for ids in axes) for axes in made] != list(site.results):
            raise NotFollowedError("its result has another shape than its operands tell")
        return made

    def _axes(self, use: Use, index: int, values: Array | None) -> Axes:
        """The cells of an operand. Constants that share their bytes go on sharing them, if these tell anything."""
        if index in self.tensors:
            return self.tensors[index]
        shape = self.graph.tensors[index].shape
        made = tuple(self.cells.fixed(1, "there is only one") if n == 1 else self.cells.new(n) for n in shape)
        if values is None:
            if graph.is_constant(self.tree, 0, index):
                made = tuple(self.cells.fixed(n, f"its constants are {self.graph.tensors[index].dtype}") for n in shape)
            self.tensors[index] = made
            return made
        self.constants[use] = made
        if values.size and values.min() != values.max():
            other = self.shared.setdefault((self.tree.subgraphs[0].tensors[index].buffer, shape), made)
            for one, ids in zip(made, other, strict=True):
                self.cells.tie(one, ids)
        return made

    def _name(self, operator: graph.Operator) -> str:
        """The first of the names that converters join with semicolons."""
        return self.graph.tensors[operator.outputs[0]].name.split(";")[0] if operator.outputs else ""

    def _at(self, place: Place) -> Ids:
        operator, slot, axis = place
        return self.constants[operator, slot][axis]

    def _families(self) -> Iterator[Family]:
        """Channels that begin in weights and end in weights, grouped by the places where they stand."""
        places: dict[int, dict[Place, int]] = defaultdict(dict)
        for (operator, slot), axes in self.constants.items():
            for axis, ids in enumerate(axes):
                found, counts = np.unique(self.cells.roots(ids), return_counts=True)
                for root, count in zip(found.tolist(), counts.tolist(), strict=True):
                    places[root][operator, slot, axis] = count
        places.pop(-1, None)
        grouped: dict[tuple[tuple[Place, int], ...], list[int]] = defaultdict(list)
        for root in sorted(places):
            grouped[tuple(sorted(places[root].items()))].append(root)
        for stood, channels in grouped.items():
            where = dict(stood)
            origins = tuple(place for place in self.origins if place in where)
            ends = tuple(contraction for contraction in self.contractions if contraction.place in where)
            if origins and ends and len(channels) > 1:
                name = self._name(self.graph.operators[origins[0][0]])
                yield Family(name, tuple(self._in_order(origins[0], channels)), where, origins, ends)

    def _in_order(self, place: Place, channels: list[int]) -> list[int]:
        wanted = set(channels)
        return [root for root in dict.fromkeys(self.cells.roots(self._at(place)).tolist()) if root in wanted]

    def _notes(self) -> Iterator[str]:
        """Layers that stay whole, by the reason."""
        kept: dict[str, list[str]] = defaultdict(list)
        for place in dict.fromkeys(self.origins):
            why = self.cells.why_kept(self._at(place))
            if why:
                kept[why].append(self._name(self.graph.operators[place[0]]))
        for why, names in kept.items():
            yield f"left whole, since {why}: {', '.join(dict.fromkeys(names))}"
