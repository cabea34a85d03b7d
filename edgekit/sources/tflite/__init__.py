"""TFLite as a source: its own runtime is the reference, and a float file is its own waist.

A copy is made fit if the file leaves something open: dimensions get sizes, and tensors at the
boundary that have no name or share one get names. All else stays as it is.
"""

import hashlib
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Divergence, Model, Signature, SourceOptions, TensorRow, TensorSpec, Waist
from edgekit.sources import Source, bound, bound_results
from edgekit.sources.tflite import custom, shapes, structs
from edgekit.waist import cutting, edit, graph, layouts, naming, sizes, sparse, state, stored
from edgekit.waist.rows import write_rows
from edgekit.waist.run import each, interpreter, invoke, value
from edgekit.waist.tensors import Array, arrays, each_to_file, each_to_source, inputs_to_file, sqnr_db

DAMAGES = (struct.error, IndexError, TypeError, ValueError, AttributeError, KeyError, OverflowError, MemoryError)
"""What reading a flatbuffer whose offsets lead nowhere raises."""

DECODED = (
    "the source's weights are quantized already: they were read as the floats that they stand for, and every precision "
    "of integers rounds them a second time"
)
"""What users must know of other files that are made of one with integer weights."""


class TfliteSource(Source):
    """Reads ``.tflite`` files, float or quantized; only float ones can be built from."""

    def describe(self, path: Path, options: SourceOptions) -> Model:
        """See `edgekit.sources.Source.describe`. Names are the file's tensor names."""
        content = path.read_bytes()
        with _fit(path, options) as (_, main):
            return Model(
                name=path.stem,
                file=path.name,
                sha256=hashlib.sha256(content).hexdigest(),
                format="tflite",
                precision=stored.precision(main),
                producer=_producer(path),
                bytes=len(content),
                signature=_signature(main, path),
            )

    def to_waist(
        self,
        path: Path,
        options: SourceOptions,
        out: Path,
        samples: Path | None = None,  # noqa: ARG002  as `describe` tells, its file is its own waist
    ) -> Waist:
        """See `edgekit.sources.Source.to_waist`.

        Raises:
            Unsupported: it is quantized already, or LiteRT cannot load it.
        """
        with _fit(path, options) as (file, main):
            tree, content = graph.load(file), file.read_bytes()
            spread = sparse.spread(tree)
            decoded = stored.decode(tree)
            _refuse_quantized(graph.describe(tree)[0], path)
            with _naming_what_lacks(file, main, path):
                interpreter(file)
            signature = _signature(main, path)
            out.mkdir(parents=True, exist_ok=True)
            changed: tuple[str, ...] = (
                () if file == path else ("open dimensions or names at the boundary were filled in",)
            )
            known = custom.read(tree)
            if spread or decoded or known:
                edit.sweep(tree)
                content = graph.pack(tree)
            if spread or decoded:
                forms = [*(["sparse"] if spread else []), *sorted(decoded)]
                changed += (f"weights stored as {' and '.join(forms)} were decoded to float32",)
            if known:
                named = " and ".join(f"{count} {name}" for name, count in sorted(known.items()))
                changed += (f"custom operators were read as builtin ones: {named}",)
            (out / "waist.tflite").write_bytes(content)
            told = state.note(tree) + ((DECODED,) if set(decoded) - {"float16"} else ())
            return Waist(file="waist.tflite", signature=signature, notes=changed, warnings=told)

    def as_it_is(self, path: Path, options: SourceOptions, out: Path) -> Waist | None:
        """See `edgekit.sources.Source.as_it_is`."""
        with _fit(path, options) as (file, main):
            (out / "model.tflite").write_bytes(file.read_bytes())
            return Waist(file="model.tflite", signature=_signature(main, path))

    def run(self, path: Path, options: SourceOptions, inputs: Path, outputs: Path) -> None:
        """See `edgekit.sources.Source.run`. Quantized inputs and outputs stay integers, as the file has them."""
        held = arrays(inputs)
        with _fit(path, options) as (file, main):
            signature = _signature(main, path)
            samples = {}
            for spec in signature.inputs:
                if spec.name not in held or held[spec.name].shape[1:] != spec.shape:
                    raise InputError(
                        f"There are no samples [N, {', '.join(map(str, spec.shape))}] for the input {spec.name}.",
                        place=str(inputs),
                        fix=f"give an array named {spec.name} of that shape",
                    )
                samples[spec.name] = held[spec.name]
            try:
                with _naming_what_lacks(file, main, path):
                    write_rows(outputs, each_to_source(signature, each(file, each_to_file(signature, samples))))
            except DAMAGES as error:  # a name that is no UTF-8, a size that is not the declared one
                raise Unsupported(
                    f"{path.name} does not run as it declares its inputs and outputs: {error}",
                    place=str(path),
                    fix="export it again, with fixed shapes",
                ) from error

    def tensors(self, path: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
        """See `edgekit.sources.Source.tensors`. Tensors that share a name, or have none, cannot be cut at."""
        tree, main = _parsed(path)
        main = cutting.edited(tree, _boundary_names(main), path, options)
        return cutting.rows(main, _boundary_names(main))

    def first_divergence(
        self, path: Path, options: SourceOptions, waist: Waist, inputs: Path, threshold_db: float
    ) -> Divergence | None:
        """See `edgekit.sources.Source.first_divergence`. Tensors are matched by their names."""
        sample = {name: values[:1] for name, values in arrays(inputs).items()}
        with _fit(path, options) as (file, main), _builtin(file) as known:
            expected = {name: found for name, _, found in _inner(known, _signature(main, path), sample)}
        for name, operator, found in _inner(Path(waist.file), waist.signature, sample):
            if name in expected and expected[name].shape == found.shape:
                agreement = sqnr_db(expected[name], found)
                if agreement < threshold_db:
                    return Divergence(tensor=name, operator=operator, sqnr_db=agreement)
        return None


def _inner(file: Path, signature: Signature, sample: dict[str, Array]) -> Iterator[tuple[str, str, Array]]:
    """Name, operator and value of every float tensor that the main graph computes, in its order.

    Args:
        file: a TFLite file.
        signature: its signature.
        sample: one sample ``[1, *source_shape]`` under the source's names.
    """
    main = graph.read(file)[0]
    made = interpreter(file, keep_tensors=True)
    given = inputs_to_file(signature, sample)
    for detail in made.get_input_details():
        made.set_tensor(detail["index"], given[detail["name"]][0])
    invoke(made, file)
    for operator in main.operators:
        for index in filter(lambda index: index >= 0, operator.outputs):
            tensor = main.tensors[index]
            if tensor.dtype.startswith("float") and (found := value(made, index)) is not None:
                yield tensor.name, operator.name, found


@contextmanager
def _builtin(file: Path) -> Iterator[Path]:
    """The file, or a copy of it without the custom operators that are known: no kernel keeps all of their tensors."""
    tree = graph.load(file)
    stored.decode(tree)
    if not custom.read(tree):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-tflite-") as folder:
        copy = Path(folder) / "model.tflite"
        copy.write_bytes(graph.pack(tree))
        yield copy


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"{path.name} is a damaged TFLite file ({detail}).", place=str(path), fix="export or download it again"
    )


def _parsed(path: Path) -> tuple[Any, graph.Graph]:
    """The object tree and the main graph, with every index checked that anything later relies on.

    Raises:
        InputError: the file is damaged, or has no inputs or outputs.
    """
    try:
        tree, parts = graph.load(path), graph.read(path)
    except DAMAGES as error:
        raise _damaged(path, str(error)[:200] or type(error).__name__) from error
    for number, part in enumerate(parts):
        used = {i for operator in part.operators for i in (*operator.inputs, *operator.outputs)} - {-1}
        if not (used | {*part.inputs, *part.outputs}) <= set(range(len(part.tensors))):
            raise _damaged(path, "an operator uses a tensor that is not there")
        if (odd := sizes.misfit(tree, number, part)) is not None:
            raise _damaged(path, f"the values of {odd.name} do not fill its shape {list(odd.shape)}")
        if (odd := sizes.misscaled(part)) is not None:
            counted = f"{len(odd.scales)} scales and {len(odd.zero_points)} zero points on axis {odd.axis}"
            raise _damaged(path, f"{odd.name} {list(odd.shape)} has {counted}")
        if (idle := sizes.resultless(part)) is not None:
            raise _damaged(path, f"its operator {idle.index}, {idle.name}, gives nothing")
    main = parts[0]
    if not main.inputs or not main.outputs:
        raise _damaged(path, "it has no inputs or no outputs")
    bound(((tensor.name, tensor.shape) for tensor in main.tensors if not tensor.constant_bytes), path)
    bound_results(sizes.results(tree, parts), path)
    return tree, main


def _read(path: Path, options: SourceOptions) -> tuple[Any, graph.Graph]:
    """The object tree and the main graph, edited as the options want.

    Raises:
        InputError: the file is damaged, or the options name what is not there.
        Unsupported: a tensor at the boundary holds something else than numbers.
    """
    tree, main = _parsed(path)
    if naming.edited(options):
        main = cutting.edited(tree, _boundary_names(main), path, options)
    for index in (*main.inputs, *main.outputs):
        tensor = main.tensors[index]
        if any(size < -1 or size > shapes.SIZE_LIMIT for size in (*tensor.shape, *tensor.signature_shape)):
            raise _damaged(path, f"the tensor {tensor.name} has the shape {list(tensor.shape)}")
        if tensor.dtype == "str" or tensor.dtype.startswith(("type", "complex")) or tensor.dtype == "int4":
            raise Unsupported(
                f"The tensor {tensor.name} of {path.name} holds {tensor.dtype}, which no target takes at its boundary.",
                place=f"{path}: {tensor.name}",
                fix="move what turns it into numbers out of the model",
            )
    return tree, main


@contextmanager
def _fit(path: Path, options: SourceOptions) -> Iterator[tuple[Path, graph.Graph]]:
    """The file, or a copy of it with fixed shapes and unique boundary names, and its main graph.

    Raises:
        InputError: it is damaged, or an open dimension has no size.
        Unsupported: LiteRT does not let its inputs be resized.
    """
    tree, main = _read(path, options)
    names = _boundary_names(main)
    wanted = {index: shapes.of_input(main.tensors[index], names[index], options, path) for index in main.inputs}
    unknown = set(options.shapes) - {names[index] for index in main.inputs}
    if unknown and not naming.edited(options):
        raise InputError(
            f"--shape names {', '.join(sorted(unknown))}, but {path.name} has no such input.",
            place=f"--shape {', '.join(sorted(unknown))}",
            fix=f"use one of: {', '.join(names[index] for index in main.inputs)}",
        )
    open_ = any(-1 in tensor.signature_shape for tensor in main.tensors)
    resized = any(wanted[index] != main.tensors[index].shape for index in main.inputs)
    if not (open_ or resized or naming.edited(options)) and all(
        main.tensors[index].name == name for index, name in names.items()
    ):
        yield path, main
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-tflite-") as folder:
        copy = Path(folder) / "model.tflite"
        for index, name in names.items():
            tree.subgraphs[0].tensors[index].name = name.encode()
        if open_ or resized:
            copy.write_bytes(graph.pack(tree))
            shapes.fix(tree, shapes.resized(copy, path, wanted))
        copy.write_bytes(graph.pack(tree))
        yield copy, _parsed(copy)[1]


def _boundary_names(main: graph.Graph) -> dict[int, str]:
    """A unique name for each input and output tensor: its own if it has one to itself."""
    counts = Counter(main.tensors[index].name for index in {*main.inputs, *main.outputs})
    made: dict[int, str] = {}
    for kind, indices in (("input", main.inputs), ("output", main.outputs)):
        for position, index in enumerate(indices):
            own = main.tensors[index].name
            made.setdefault(index, own if own and counts[own] == 1 else f"{kind}_{position}")
    return made


def _signature(main: graph.Graph, path: Path) -> Signature:
    known = layouts.of_graph(graph.load(path), main)
    return Signature(
        inputs=tuple(_spec(main.tensors[index], path, known.get(index)) for index in main.inputs),
        outputs=tuple(_spec(main.tensors[index], path, known.get(index)) for index in dict.fromkeys(main.outputs)),
    )


def _spec(tensor: graph.Tensor, path: Path, layout: str | None) -> TensorSpec:
    if any(size < 1 for size in tensor.shape):
        raise Unsupported(
            f"The tensor {tensor.name} of {path.name} has the shape {list(tensor.shape)}, which is not fixed.",
            place=f"{path}: {tensor.name}",
            fix="export it with fixed shapes",
        )
    quantized = tensor.dtype in stored.INTEGERS and len(tensor.scales) == 1 and len(tensor.zero_points) == 1
    return TensorSpec(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        layout=layout,
        scale=tensor.scales[0] if quantized else None,
        zero_point=tensor.zero_points[0] if quantized else None,
        source_name=tensor.name,
        source_shape=tensor.shape,
        source_dtype=tensor.dtype,
        source_layout=layout,
    )


def _refuse_quantized(main: graph.Graph, path: Path) -> None:
    used = {tensor for operator in main.operators for tensor in (*operator.inputs, *operator.outputs)}
    used |= {*main.inputs, *main.outputs}
    found = Counter(t.dtype for t in main.tensors if t.index in used and t.scales and t.dtype in stored.INTEGERS)
    if found:
        shown = ", ".join(f"{count} in {dtype}" for dtype, count in sorted(found.items()))
        raise Unsupported(
            f"{path.name} is quantized already ({shown} of {len(main.tensors)} tensors): "
            "no other file can be built from it.",
            place=str(path),
            fix="build from the float model that it was made from; `edgekit inspect` reads this one as it is",
        )


@contextmanager
def _naming_what_lacks(file: Path, main: graph.Graph, path: Path) -> Iterator[None]:
    """If LiteRT does not load a file, name the operators that TFLite has no code for, and the cut before them."""
    try:
        yield
    except Unsupported as error:
        if type(error) is not Unsupported:  # it runs too long
            raise
        if "cannot load" not in error.problem:  # LiteRT has code for it, which fails
            raise Unsupported(error.problem.replace(file.name, path.name), place=str(path), fix=error.fix) from error
        raise _lacking(error, file, main, path) from error


def _lacking(error: Unsupported, file: Path, main: graph.Graph, path: Path) -> Unsupported:
    """The refusal of a file that LiteRT does not load, with the custom operators at fault and what helps."""
    foreign = sorted({o.name for o in main.operators if o.name.startswith(structs.CUSTOM)} - custom.KNOWN)
    cut = cutting.cut_off(path, main, _boundary_names(main), lambda operator: operator.name in foreign)
    if not foreign:
        return Unsupported(error.problem.replace(file.name, path.name), place=str(path), fix=cut or error.fix)
    named = ", ".join(name.removeprefix(structs.CUSTOM) for name in foreign)
    told = "the custom operator" if len(foreign) == 1 else "the custom operators"
    flex = all(name.startswith(f"{structs.CUSTOM}Flex") for name in foreign)
    return Unsupported(
        f"{path.name} holds {told} {named}, of which LiteRT has no code: only the app that the file was made for has.",
        place=str(path),
        fix=cut
        or (
            "convert it again from TensorFlow, without SELECT_TF_OPS"
            if flex
            else "export it with builtin operators, or cut the model before it (--outputs)"
        ),
    )


def _producer(path: Path) -> str | None:
    """The file's own description (``MLIR Converted.``); None if it is empty."""
    description = graph.load(path).description
    return description.decode("utf8", "replace") or None if isinstance(description, bytes) else None
