"""What the three loaders make: a network that can be called, and its shapes once they are fixed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported, first_line
from edgekit.host import deadline
from edgekit.sources import bound, bound_results
from edgekit.sources.keras import effort, optimization
from edgekit.sources.keras.definitions import nodes
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class Port:
    """An input as the file has it: None in ``shape`` is an open dimension, None for all of it an unknown rank."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class KerasNetwork:
    """A loaded network.

    ``call`` takes tensors in the order of ``inputs`` and gives a flat list in the order of
    ``outputs``. ``model`` is the Keras model, None for a plain SavedModel. ``integer_limit`` is
    the largest index that every integer input may hold without leaving an embedding's table.
    ``policies`` are those of 16 or 64 bits that the file names and that were read as float32; ``as_saved``
    then loads the network with them.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    call: Callable[..., list[Any]]
    variables: tuple[Any, ...]
    producer: str
    model: Any = None
    notes: tuple[str, ...] = ()
    integer_limit: int = 1
    policies: tuple[str, ...] = ()
    as_saved: "Callable[[], KerasNetwork] | None" = None


@dataclass(frozen=True)
class Fixed:
    """A network traced for fixed shapes: ``function`` is a concrete function with a dict of outputs."""

    network: KerasNetwork
    shapes: tuple[tuple[int, ...], ...]
    function: Any
    output_shapes: tuple[tuple[int, ...], ...]
    output_dtypes: tuple[str, ...]

    @cached_property
    def rounds(self) -> bool:
        """Whether the network rounds its activations to grids of its own (`optimization.rounds_activations`)."""
        return optimization.rounds_activations(self.function)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The source's names, in order."""
        return tuple(port.name for port in self.network.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The source's names, in order; numbered if the source has none."""
        known, count = self.network.outputs, len(self.output_shapes)
        return known if len(known) == count else tuple(f"output_{i}" for i in range(count))

    def run(self, inputs: list[Array]) -> list[Array]:
        """One inference, from the state that the file holds. Arrays are in the order of the network's inputs."""
        return self.run_in_order([inputs])[0]

    def run_in_order(self, samples: list[list[Array]]) -> list[list[Array]]:
        """Inference after inference, as an app does; a stateful network carries its state along."""
        return list(self.each_in_order(samples))

    def each_in_order(self, samples: Iterable[list[Array]]) -> Iterator[list[Array]]:
        """The same, one result after another: all may not fit into memory."""
        with restored_state(self.function):
            for inputs in samples:
                with deadline.inference(lambda: effort.of(self.function)):
                    result = self.function(*[tf.constant(array) for array in inputs])
                    made = [result[key].numpy() for key in sorted(result)]
                yield made


def fix(network: KerasNetwork, wanted: dict[str, tuple[int, ...]], path: Path) -> Fixed:
    """Fix every dimension and trace the network once.

    Raises:
        InputError: an open dimension has no size, or a size does not fit.
    """
    shapes = fixed_shapes(network.inputs, wanted, path)
    bound(((port.name, shape) for port, shape in zip(network.inputs, shapes, strict=True)), path)
    specs = [
        tf.TensorSpec(shape, port.dtype, name=f"input_{i}")
        for i, (shape, port) in enumerate(zip(shapes, network.inputs, strict=True))
    ]
    try:
        function = traced(network, specs)
    except FAILURES as error:
        shown = ", ".join(f"{port.name} {list(shape)}" for port, shape in zip(network.inputs, shapes, strict=True))
        raise InputError(
            f"{path.name} cannot be called with {shown}: {first_line(error)}",
            place=str(path),
            fix="give the shapes that it was trained on with --shape NAME=1,…",
        ) from error
    bound_results(_results(function.graph), path)
    outputs = [function.structured_outputs[key] for key in sorted(function.structured_outputs)]
    made = Fixed(network, shapes, function, (), tuple(np.dtype(spec.dtype.as_numpy_dtype).name for spec in outputs))
    if all(spec.shape.is_fully_defined() for spec in outputs):
        known = tuple(tuple(spec.shape.as_list()) for spec in outputs)
        bound(((f"output {i}", size) for i, size in enumerate(known)), path)
    else:  # a SavedModel's function forgets them; one inference tells
        try:
            known = tuple(array.shape for array in made.run(sample(made)))
        except FAILURES as error:
            raise Unsupported(
                f"{path.name} cannot be run: {first_line(error)}", place=str(path), fix="see the operator named"
            ) from error
    return Fixed(network, shapes, function, known, made.output_dtypes)


def _results(traced_graph: Any) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """Kind, name, shape and bytes of an element of what each operator of a traced graph makes, if that is fixed."""
    for operator in traced_graph.get_operations():
        for tensor in operator.outputs:
            if tensor.shape.is_fully_defined() and tensor.dtype.is_numpy_compatible:
                yield operator.type, operator.name, tuple(tensor.shape.as_list()), tensor.dtype.size


def traced(network: KerasNetwork, specs: list[Any]) -> Any:
    """The network as a concrete function of ``specs``; its outputs are a dict whose sorted keys keep their order."""

    def call(*tensors: Any) -> dict[str, Any]:
        """The outputs by keys that sort in their order."""
        return {f"output_{i:04d}": tensor for i, tensor in enumerate(network.call(*tensors))}

    return tf.function(call, autograph=False).get_concrete_function(*specs)


@contextmanager
def restored_state(function: Any) -> Iterator[None]:
    """Undo what calls write into the network's own variables (the state of a stateful layer)."""
    kept = [(variable, variable.numpy()) for variable in function.variables] if writes_state(function) else []
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def writes_state(function: Any) -> bool:
    """Whether a call changes variables of the network."""
    return any(node.op.startswith("Assign") for node in nodes(function.graph.as_graph_def()))


def sample(fixed: Fixed, seed: int = 0) -> list[Array]:
    """One random sample: floats uniform in 0..1, integers within every embedding's table."""
    random = np.random.default_rng(seed)
    made: list[Array] = []
    for port, shape in zip(fixed.network.inputs, fixed.shapes, strict=True):
        dtype = np.dtype(port.dtype)
        if dtype.kind in "fc":
            made.append(random.random(shape).astype(dtype))
        elif dtype.kind == "b":
            made.append(random.random(shape) < 0.5)
        else:
            made.append(random.integers(0, fixed.network.integer_limit, shape, endpoint=True).astype(dtype))
    return made


def fixed_shapes(
    ports: tuple[Port, ...], wanted: dict[str, tuple[int, ...]], path: Path
) -> tuple[tuple[int, ...], ...]:
    """Every input's shape: batch 1, and what ``--shape`` says.

    Raises:
        InputError: a name is unknown, a rank or a fixed size contradicts, or a dimension stays open.
    """
    names = [port.name for port in ports]
    for name in wanted:
        if name not in names:
            raise InputError(
                f"--shape names {name}, but {path.name} has no such input.",
                place=f"--shape {name}",
                fix=f"use one of: {', '.join(names)}",
            )
    made = [_shape(port, wanted.get(port.name), path) for port in ports]
    if still_open := [port for port, shape in zip(ports, made, strict=True) if shape is None]:
        shown = "; ".join(f"{port.name} is {_shown(port)}" for port in still_open)
        flags = " ".join(f"--shape {port.name}={_template(port)}" for port in still_open)
        raise InputError(
            f"{path.name} leaves dimensions open: {shown}.",
            place=str(path),
            fix=f"put your sizes where the question marks are: {flags}",
        )
    return tuple(shape for shape in made if shape is not None)


def _shape(port: Port, wanted: tuple[int, ...] | None, path: Path) -> tuple[int, ...] | None:
    """One input's fixed shape; None if a dimension stays open."""
    if wanted is not None:
        fits = port.shape is None or (
            len(port.shape) == len(wanted)
            and all(have in {None, want} for have, want in zip(port.shape, wanted, strict=True))
        )
        if not fits or min(wanted, default=1) < 1:
            raise InputError(
                f"--shape gives {port.name} the shape {list(wanted)}, but {path.name} has {_shown(port)}.",
                place=f"--shape {port.name}",
                fix=f"--shape {port.name}={_template(port)} with a size of 1 or more for each question mark",
            )
        return wanted
    if port.shape is None:
        return None
    shape = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(port.shape))
    if any(size == 0 for size in shape):
        raise InputError(
            f"The input {port.name} of {path.name} has a dimension of size 0: {_shown(port)}.",
            place=str(path),
            fix="save the model with an input that holds something",
        )
    return None if None in shape else tuple(size for size in shape if size is not None)


def _shown(port: Port) -> str:
    if port.shape is None:
        return "of unknown rank"
    return f"[{', '.join('?' if size is None else str(size) for size in port.shape)}]"


def _template(port: Port) -> str:
    if port.shape is None:
        return "1,?"
    return ",".join(("1" if axis == 0 else "?") if size is None else str(size) for axis, size in enumerate(port.shape))
