"""Loading a SavedModel folder by its serving signature."""

from pathlib import Path
from typing import Any

from edgekit.errors import InputError, first_line
from edgekit.sources.keras import graphs
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.sources.keras.network import KerasNetwork, Port

SERVING = "serving_default"


def load(path: Path, *, allow_unsafe: bool) -> KerasNetwork:
    """Load a SavedModel; names are those of its signature. ``allow_unsafe`` lets it run any operator.

    Raises:
        InputError: it cannot be read, runs what does not only compute, or does not say how it is called.
    """
    graphs.check(path, allow_unsafe=allow_unsafe)
    try:
        return _network(tf.saved_model.load(str(path)), path)
    except FAILURES as error:
        raise InputError(
            f"The SavedModel {path.name} cannot be read: {first_line(error)}",
            place=str(path),
            fix="save or copy it again, with its folder variables",
        ) from error


def _network(loaded: Any, path: Path) -> KerasNetwork:
    """What TensorFlow loaded; a damaged one may fail at any attribute."""
    signature = _signature(dict(loaded.signatures), path)
    specs = signature.structured_input_signature[1]
    names, outputs = sorted(specs), sorted(signature.structured_outputs)

    def call(*values: Any) -> list[Any]:
        """The signature's outputs in the order of their names."""
        result = signature(**dict(zip(names, values, strict=True)))
        return [result[name] for name in outputs]

    return KerasNetwork(
        inputs=tuple(_port(name, specs[name]) for name in names),
        outputs=tuple(outputs),
        call=call,
        variables=tuple(signature.variables),
        producer=f"TensorFlow {loaded.tensorflow_version}",
        model=loaded,
    )


def _port(name: str, spec: Any) -> Port:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return Port(name, shape, spec.dtype.name)


def _signature(signatures: dict[str, Any], path: Path) -> Any:
    if SERVING in signatures:
        return signatures[SERVING]
    callable_ = [name for name in signatures if not name.startswith("__")]
    if len(callable_) == 1:
        return signatures[callable_[0]]
    found = f"only {', '.join(callable_)}" if callable_ else "none at all"
    raise InputError(
        f"The SavedModel {path.name} has no signature {SERVING}, {found}.",
        place=str(path),
        fix="save it with tf.saved_model.save(model, folder, signatures=model.call.get_concrete_function(…))",
    )
