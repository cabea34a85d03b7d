"""Loading a Keras file with the library that wrote it, or else with the other one."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported, first_line
from edgekit.nouns.model import SourceOptions
from edgekit.sources.keras import archive, optimization, policies, saved, vetting
from edgekit.sources.keras.libraries import FAILURES, keras3, tf, tf_keras
from edgekit.sources.keras.network import KerasNetwork, Port
from edgekit.sources.keras.preprocessing import refusal


def load(path: Path, format_: str, options: SourceOptions) -> KerasNetwork:
    """Load a network of one of this leaf's formats (``keras``, ``hdf5``, ``savedmodel``).

    Raises:
        InputError: it is damaged, incomplete, holds code that was not allowed, or weights that are no numbers.
        Unsupported: it takes or gives something other than tensors of numbers.
    """
    if format_ == "savedmodel":
        network = saved.load(path, allow_unsafe=options.allow_unsafe)
    else:
        network = _load_file(path, options, zipped=format_ == "keras")
    for port in network.inputs:
        if port.dtype in {"string", "variant", "resource"}:
            raise refusal(layers(network.model), path) or Unsupported(
                f"The input {port.name} of {path.name} holds {port.dtype}s, which no target takes.",
                place=str(path),
                fix="move what turns them into numbers out of the model",
            )
    _refuse_nan(network, path)
    return network


def _load_file(path: Path, options: SourceOptions, *, zipped: bool, as_saved: bool = False) -> KerasNetwork:
    """Load with the policies of 16 or 64 bits that the file names (``as_saved``), or with float32 in their place."""
    described = archive.read(path, zipped=zipped)
    policies.refuse_quantized(path, described)
    others = () if as_saved else policies.others(described)
    libraries = [_keras3, _legacy] if described.keras3 else [_legacy, _keras3]
    failures: list[str] = []
    with (
        custom_objects(options.custom_objects, path.parent) as given,
        archive.readable(path, zipped=zipped) as (file, notes),
        ExitStack() as opened,
    ):
        custom = vetting.with_registered_names(described.config, given)
        if wrapped := optimization.wrapped(described.config):
            custom, libraries = optimization.classes() | custom, [_legacy]
        if any(str(item.get("registered_name")).startswith(OWN) for item in vetting.objects(described.config)):
            custom, libraries = _trainable_layers() | custom, [_legacy]
        vetting.Vetting(path, frozenset(known(custom)), options.allow_unsafe).check(described.config)
        vetting.check_sizes(described.config, described.stored, path)
        chosen = opened.enter_context(policies.in_float32(file, described, zipped=zipped)) if others else file
        for library in libraries:
            try:
                model = library(chosen, custom, safe_mode=not options.allow_unsafe)
                model, taken_off = optimization.stripped(model) if wrapped else (model, ())
                network = _network(model, described, notes + taken_off + _fallback(library, libraries))
            except FAILURES as error:
                failures.append(str(error) or type(error).__name__)
            else:
                again = partial(_load_file, path, options, zipped=zipped, as_saved=True)
                return replace(network, policies=others, as_saved=again) if others else network
    raise _unloadable(path, described, failures, optimization.SAVE_AS_HDF5 if wrapped else archive.SAVE_AGAIN)


OWN = "edgekit>"
"""How the layers of a trainable form (``edgekit compress -o model.keras``) are registered."""


def _trainable_layers() -> dict[str, Any]:
    """These layers by the names that files use."""
    from edgekit.trainable import layers  # noqa: PLC0415 - what only a trainable form that was saved needs

    return layers.custom_objects()


def _keras3(file: Path, custom: dict[str, Any], *, safe_mode: bool) -> Any:
    keras = keras3()
    with keras.saving.custom_object_scope(custom):
        return keras.saving.load_model(file, compile=False, safe_mode=safe_mode)


def _legacy(file: Path, custom: dict[str, Any], *, safe_mode: bool) -> Any:
    with tf_keras.saving.custom_object_scope(custom):
        return tf_keras.models.load_model(file, compile=False, safe_mode=safe_mode)


def _fallback(library: Any, libraries: list[Any]) -> tuple[str, ...]:
    if library is libraries[0]:
        return ()
    other = "Keras 3" if library is _keras3 else "tf-keras"
    return (f"the Keras that wrote it could not load it; loaded with {other}",)


def known(custom: dict[str, Any]) -> set[str]:
    """Every name that a configuration may use beside Keras's own: given, or registered by the user's module."""
    names = set(custom) | set(tf_keras.saving.get_custom_objects())
    return names | (set(keras3().saving.get_custom_objects()) if "keras" in sys.modules else set())


@contextmanager
def custom_objects(reference: str | None, beside: Path) -> Iterator[dict[str, Any]]:
    """The dict that ``module:function`` returns; the module may lie in the working folder or ``beside`` the model.

    Raises:
        InputError: there is no such module or function, or it fails, or returns no dict.
    """
    if reference is None:
        yield {}
        return
    module, _, function = reference.partition(":")
    before = list(sys.path)
    sys.path[:0] = [str(Path.cwd()), str(beside.absolute())]
    try:
        yield _custom_objects(reference, module, function)
    finally:
        sys.path[:] = before


def _custom_objects(reference: str, module: str, function: str) -> dict[str, Any]:
    form = "module:function, where the function takes nothing and returns {'Name': Name}"
    try:
        made = getattr(importlib.import_module(module), function)()
    except FAILURES as error:
        raise InputError(
            f"The custom objects {reference} cannot be had: {type(error).__name__}: {first_line(error)}",
            place=f"--custom-objects {reference}",
            fix=f"give {form}",
        ) from error
    if not isinstance(made, dict):
        raise InputError(
            f"{reference} returns a {type(made).__name__}, no dict.",
            place=f"--custom-objects {reference}",
            fix=f"give {form}",
        )
    return made


def _unloadable(path: Path, described: archive.Archive, failures: list[str], fix: str) -> InputError | Unsupported:
    """The complaint of the library that wrote the file, turned into a remedy if it is a known one."""
    if name := archive.unknown_name(failures[0]):  # the other library does not know all of this one's layers
        return vetting.missing_object(path, name)
    return InputError(
        f"{path.name}, written by Keras {described.version or 'of an unknown version'}, cannot be loaded: "
        f"{first_line(ValueError(failures[0]))}",
        place=str(path),
        fix=fix,
    )


def _network(model: Any, described: archive.Archive, notes: tuple[str, ...]) -> KerasNetwork:
    """A loaded Keras model as a network.

    Raises:
        ValueError: it has no defined inputs (a subclassed model that was never called).
    """
    tensors = _inputs(model)
    structure = _structure(model, tensors)

    def call(*values: Any) -> list[Any]:
        """The model's outputs as a flat list."""
        result = model(tf.nest.pack_sequence_as(structure, list(values)), training=False)
        return [tensor for tensor in tf.nest.flatten(result) if tensor is not None]

    return KerasNetwork(
        inputs=tuple(
            Port(name, None if tensor.shape.rank is None else tuple(tensor.shape), tf.as_dtype(tensor.dtype).name)
            for name, tensor in tensors
        ),
        outputs=output_names(model),
        call=call,
        variables=tuple(model.weights),
        producer=f"Keras {described.version}" if described.version else "Keras",
        model=model,
        notes=notes,
        integer_limit=_integer_limit(model),
    )


def _inputs(model: Any) -> list[tuple[str, Any]]:
    """Names and specifications of a model's inputs, in the order of its flat inputs."""
    if getattr(model, "inputs", None):
        names = unique([tensor.name.split(":")[0] for tensor in model.inputs])
        return [
            (name, tf.TensorSpec(tensor.shape, tensor.dtype)) for name, tensor in zip(names, model.inputs, strict=True)
        ]
    # A subclassed model only remembers the shapes it was called with, whose batch was any.
    shapes = dict(getattr(model, "_build_shapes_dict", None) or {})
    if (only := getattr(model, "_build_input_shape", None)) is not None:
        shapes = {"input_shape": only}
    if not shapes:
        raise ValueError("it is a subclassed model that was never called before it was saved")
    return [
        (name.removesuffix("_shape") or "input", tf.TensorSpec((None, *tuple(shape)[1:]), model.compute_dtype))
        for name, shape in shapes.items()
    ]


def _structure(model: Any, tensors: list[tuple[str, Any]]) -> Any:
    """How the model wants its inputs nested: as it was built (a dict, a list), else plainly."""
    try:
        structure = model.input
        if len(tf.nest.flatten(structure)) == len(tensors):
            return structure
    except (AttributeError, ValueError):
        pass
    specs = [spec for _, spec in tensors]
    return specs[0] if len(specs) == 1 else specs


def output_names(model: Any) -> tuple[str, ...]:
    """A name for each flat output: the keys of a dict, else the layers' names, made unique."""
    try:
        structure = model.output
    except (AttributeError, ValueError):
        structure = None
    if isinstance(structure, dict) and not any(isinstance(value, (dict, list, tuple)) for value in structure.values()):
        return tuple(sorted(structure))
    names = list(getattr(model, "output_names", None) or [])
    if not names and len(getattr(model, "outputs", None) or []) == 1:  # a Sequential model of Keras 3
        names = [model.layers[-1].name]
    return unique(names)


def unique(names: list[str]) -> tuple[str, ...]:
    """The names, later ones numbered if they repeat."""
    made: list[str] = []
    for name in names:
        count, proposal = 0, name
        while proposal in made:
            count += 1
            proposal = f"{name}_{count}"
        made.append(proposal)
    return tuple(made)


def layers(model: Any) -> list[Any]:
    """Every layer of a model, those of inner models and wrappers too, outermost first."""
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten(recursive=True, include_self=False)) if flatten is not None else []


def _integer_limit(model: Any) -> int:
    tables = [layer.input_dim for layer in layers(model) if type(layer).__name__ == "Embedding"]
    return min(tables) - 1 if tables else 1


def _refuse_nan(network: KerasNetwork, path: Path) -> None:
    for variable in network.variables:
        values = np.asarray(variable)
        bad = int(np.isnan(values).sum()) if np.issubdtype(values.dtype, np.floating) else 0
        if bad:
            name = getattr(variable, "path", None) or str(variable.name).split(":")[0]
            raise InputError(
                f"{bad} of {values.size} values of {name} in {path.name} are not a number (NaN).",
                place=f"{path}: {name}",
                fix="train again with a lower learning rate, or save a checkpoint from before it diverged",
            )
