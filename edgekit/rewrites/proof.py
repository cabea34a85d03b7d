"""The proof of a replacement: both sides, each a network of its own, on probes.

Probes are what a value inside of a network may be: zeros, a constant, ordinary and extreme numbers, of both signs.
Equal is what differs by no more than the rounding of float32 does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.waist import cutting, graph, run
from edgekit.waist.tensors import Array, sqnr_db

EQUAL_DB = 120.0
"""What both sides must agree to: a float32 has 24 bits, 144 dB, of which sums lose some."""

RESCALED_DB = 100.0
"""The same of weights that were multiplied: in sums that cancel their roundings stand out by some 10 to 20 dB."""

EXTREME = 1e4
"""The largest probe; its square is finite in float16 as well as in float32."""

MOST_ELEMENTS = 1 << 24
"""Of what goes into a replacement and comes out: 64 MiB in float32, of which both sides hold several copies."""

Values = Mapping[int, Array]


def holds(main: MainGraph, replacement: Replacement, seed: int = 0) -> bool:
    """Whether both sides of a replacement give the same on every probe."""
    inputs, outputs = border(main, replacement)
    if not outputs:
        return True
    if sum(prod(main.shape(tensor)) for tensor in (*inputs, *outputs)) > MOST_ELEMENTS:
        return False
    wanted = {tensor: replacement.same.get(tensor, tensor) for tensor in outputs}
    with TemporaryDirectory() as folder:
        try:
            old = Excerpt(main, replacement.old, inputs, outputs, Path(folder) / "old.tflite")
            new = Excerpt(main, replacement.new, inputs, wanted.values(), Path(folder) / "new.tflite")
            return all(
                alike(
                    before[tensor],
                    after[wanted[tensor]],
                    RESCALED_DB if replacement.rescaled else EQUAL_DB,
                    where_finite=replacement.where_finite,
                )
                for probe in probes({tensor: (main.shape(tensor), main.dtype(tensor)) for tensor in inputs}, seed)
                for before, after in [(old.run(probe), new.run(probe))]
                for tensor in outputs
            )
        except Unsupported:
            return False


def border(main: MainGraph, replacement: Replacement) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The activations that go into a replacement, and what of its old side is read outside of it."""
    old, new = replacement.old, replacement.new
    made = {tensor for node in (*old, *new) for tensor in node.outputs}
    read = (tensor for node in (*old, *new) for tensor in (*node.inputs, *replacement.same.values()))
    inputs = dict.fromkeys(t for t in read if t >= 0 and t not in made and not main.is_constant(t))
    outputs = dict.fromkeys(
        tensor
        for node in old
        for tensor in node.outputs
        if tensor in main.outputs or any(reader not in old for reader in main.readers(tensor))
    )
    return tuple(inputs), tuple(outputs)


def alike(before: Array, after: Array, least_db: float = EQUAL_DB, *, where_finite: bool = False) -> bool:
    """Whether two arrays differ by no more than rounding; if asked for, only ``where`` the first is ``finite``."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if where_finite and before.dtype.kind == "f":
        finite = np.isfinite(before)
        before, after = before[finite], after[finite]
    return np.array_equal(before, after) or (before.dtype.kind == "f" and sqnr_db(before, after) >= least_db)


def probes(
    tensors: Mapping[int, tuple[tuple[int, ...], str]], seed: int, below: Mapping[int, int] | None = None
) -> Iterator[dict[int, Array]]:
    """Values for tensors of given shapes and dtypes: zeros, a constant, ordinary, and extreme numbers.

    Integers are 0 or 1, which most indices may be, unless ``below`` says what they must stay below.
    """
    random = np.random.default_rng(seed)
    kinds: tuple[Callable[[tuple[int, ...]], Any], ...] = (
        np.zeros,
        lambda shape: np.full(shape, -0.37),
        lambda shape: random.normal(size=shape),
        lambda shape: np.exp(random.uniform(-9, np.log(EXTREME), shape)) * random.choice([-1.0, 1.0], shape),
    )
    for number, kind in enumerate(kinds):
        made: dict[int, Array] = {}
        for tensor, (shape, dtype) in tensors.items():
            if dtype.startswith("float"):
                made[tensor] = np.asarray(kind(shape)).astype(dtype)
            else:
                most = 1 if number == 0 else (below or {}).get(tensor, 2)
                made[tensor] = random.integers(0, most, shape).astype(dtype)
        yield made


class Excerpt:
    """Operators of a network that stand alone; constants are shared with it.

    Args:
        main: the graph whose tensors they use.
        nodes: the operators, in an order in which they can run.
        inputs: activations that they are given.
        outputs: tensors to be told; an input or a constant is told as it is.
        path: where the file goes.

    Raises:
        Unsupported: LiteRT cannot load it.
    """

    def __init__(
        self, main: MainGraph, nodes: tuple[Node, ...], inputs: Iterable[int], outputs: Iterable[int], path: Path
    ) -> None:
        made = {tensor for node in nodes for tensor in node.outputs}
        self._path, self._outputs = path, tuple(tensor for tensor in outputs if tensor in made)
        self._constants = {t: held for t in outputs if (held := main.constant(t)) is not None}
        if nodes:
            read = {tensor for node in nodes for tensor in node.inputs}
            self._inputs = tuple(tensor for tensor in inputs if tensor in read)
            trees = (node.tree for node in nodes)
            model, self._places = cutting.apart(main.model, trees, self._inputs, self._outputs)
            path.write_bytes(graph.pack(model))
            self._interpreter = run.interpreter(path)

    def run(self, values: Values) -> dict[int, Array]:
        """The outputs for values of the inputs, by tensor.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        found = {**values, **self._constants}
        if not self._outputs:
            return found
        for tensor in self._inputs:
            self._interpreter.set_tensor(self._places[tensor], values[tensor])
        run.invoke(self._interpreter, self._path)
        return found | {tensor: self._interpreter.get_tensor(self._places[tensor]) for tensor in self._outputs}
