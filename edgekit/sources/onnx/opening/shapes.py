"""Fixed shapes for every input: as the user says, else as declared, batch 1 where that is open."""

from pathlib import Path

import onnx

from edgekit.errors import InputError
from edgekit.nouns.model import SourceOptions
from edgekit.waist import naming


def true_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs without a default: before IR version 4, every initializer was listed as an input too."""
    known = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in known]


def dims(value: onnx.ValueInfoProto) -> list[int | str] | None:
    """Dimensions of an input: numbers, names if dynamic (``?`` if nameless), None without a shape."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or "?"
        for dim in value.type.tensor_type.shape.dim
    ]


def still_asked(model: onnx.ModelProto, options: SourceOptions) -> dict[str, tuple[int, ...]]:
    """The shapes that were asked for, without those of inputs that an edit has taken away."""
    if not naming.edited(options):
        return options.shapes
    left = {value.name for value in true_inputs(model)}
    return {name: shape for name, shape in options.shapes.items() if name in left}


def fixed(
    path: Path, model: onnx.ModelProto, asked: dict[str, tuple[int, ...]]
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """The shape of every input, and what was assumed. ``asked`` may leave sizes that the file fixes.

    Raises:
        InputError: a dimension is 0, or one stays open.
    """
    inputs = {value.name: dims(value) for value in true_inputs(model)}
    symbols = _bound(inputs, asked)
    result, assumed, open_inputs = {}, [], []
    for name, declared in inputs.items():
        shape = asked.get(name) or _resolve(declared, symbols)
        if shape is None:
            open_inputs.append(name)
            continue
        if 0 in shape:
            raise _zero(path, name, shape)
        result[name] = shape
        if name not in asked and declared is not None and any(isinstance(dim, str) for dim in declared):
            assumed.append(f"{name} {shown(declared)} is taken as {shown(shape)} (batch 1)")
    if open_inputs:
        raise _open(path, inputs, open_inputs)
    return result, assumed


def _bound(inputs: dict[str, list[int | str] | None], asked: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Sizes of named dimensions: from ``asked``; batch 1 for a name that comes first somewhere or says batch."""
    symbols: dict[str, int] = {}
    for name, shape in asked.items():
        for dim, size in zip(inputs[name] or [], shape, strict=False):
            if isinstance(dim, str) and dim != "?":
                symbols.setdefault(dim, size)
    for declared in inputs.values():
        for axis, dim in enumerate(declared or []):
            if isinstance(dim, str) and dim != "?" and (axis == 0 or dim.lower().startswith("batch")):
                symbols.setdefault(dim, 1)
    return symbols


def _resolve(declared: list[int | str] | None, symbols: dict[str, int]) -> tuple[int, ...] | None:
    if declared is None:
        return None
    sizes = [
        dim if isinstance(dim, int) else symbols.get(dim, 1 if axis == 0 else None) for axis, dim in enumerate(declared)
    ]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def shown(shape: list[int | str] | tuple[int, ...]) -> str:
    """A shape in messages: ``[1, 3, H, W]``."""
    return "[" + ", ".join(str(dim) for dim in shape) + "]"


def example(name: str, declared: list[int | str] | None) -> str:
    """A ``--shape`` for an input, with typical sizes if its own are open."""
    typical = {1: [1], 2: [1, 128], 3: [1, 128, 64], 4: [1, 3, 224, 224], 5: [1, 3, 16, 112, 112]}
    if declared is None:
        return f"--shape {name}=1,3,224,224"
    guess = typical.get(len(declared), [1] * len(declared))
    sizes = [str(dim) if isinstance(dim, int) else str(guess[axis]) for axis, dim in enumerate(declared)]
    return f"--shape {name}={','.join(sizes)}"


def _open(path: Path, inputs: dict[str, list[int | str] | None], names: list[str]) -> InputError:
    listed = "; ".join(f"{name} {'of unknown rank' if d is None else shown(d)}" for name, d in inputs.items())
    return InputError(
        f"{path.name} has dynamic dimensions beside the batch. Its inputs: {listed}.",
        place=f"{path}: {', '.join(names)}",
        fix="say the sizes, for instance " + " ".join(example(name, inputs[name]) for name in names),
    )


def _zero(path: Path, name: str, shape: tuple[int, ...]) -> InputError:
    return InputError(
        f"{path.name}: the input {name} has a dimension of size 0: {shown(shape)}.",
        place=f"{path}: {name}",
        fix="export it with real sizes, or say them: " + example(name, [d or "?" for d in shape]),
    )


def refuse_asked(path: Path, model: onnx.ModelProto, asked: dict[str, tuple[int, ...]]) -> None:
    """Stop if ``asked`` names no input, has another rank than it, or a size below 1.

    Raises:
        InputError: with the inputs, or an example.
    """
    inputs = {value.name: dims(value) for value in true_inputs(model)}
    for name, shape in asked.items():
        if name not in inputs:
            raise InputError(
                f"{path.name} has no input {name!r}.",
                place=f"--shape {name}",
                fix="its inputs are: " + "; ".join(f"{n} {shown(d or ['?'])}" for n, d in inputs.items()),
            )
        declared = inputs[name]
        if min(shape, default=1) < 1 or (declared is not None and len(declared) != len(shape)):
            raise InputError(
                f"--shape {name}={','.join(map(str, shape))} does not fit {name} {shown(declared or ['?'])}.",
                place=f"{path}: {name}",
                fix=example(name, declared),
            )


def fix(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write the shapes into the model, and forget what was declared about everything after the inputs."""
    for value in true_inputs(model):
        elem = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, elem, shapes[value.name]))
    _forget(model.graph)
    for value in model.graph.output:
        _forget_shape(value)


def _forget(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget(attribute.g)
                for value in attribute.g.output:
                    _forget_shape(value)


def _forget_shape(value: onnx.ValueInfoProto) -> None:
    if value.type.HasField("tensor_type"):
        value.type.tensor_type.ClearField("shape")
