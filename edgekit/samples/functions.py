"""Samples from the user's own code: ``module:function``."""

import contextlib
import importlib
import math
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.nouns.model import Signature
from edgekit.nouns.verification import MetricScore
from edgekit.samples.content import LABEL_KEYS, Raw
from edgekit.samples.place import Growing, Place
from edgekit.waist.tensors import Array, arrays, load_array

MOST_ITEMS = 100_000
"""A generator that yields more is taken for one that never ends (training generators often do)."""


def read(spec: str, signature: Signature, place: Place, folder: Path | None = None) -> Raw:
    """Call the function and collect what it returns.

    It may return the whole set: an array ``[N, ...]``, a dict of arrays by input name (labels
    under ``y`` or ``labels``), or a tuple of them, one for each input, labels after them. Or it
    may return an iterable (a list or a generator) of samples or batches, each in one of these forms.

    Args:
        spec: ``module:function``.
        signature: of the source.
        place: where what it returns is written as it comes.
        folder: the user's current folder, in which it is called and the module is looked for first.

    Raises:
        InputError: it cannot be imported or called, or returns something else.
    """
    with _in(folder or Path.cwd()), contextlib.redirect_stdout(sys.stderr):
        return collect(lambda: _find(spec)(), signature, spec, place)  # noqa: PLW0108  finding it may fail too


def collect(
    call: Callable[[], Any], signature: Signature, name: str, place: Place, fix: str = "call it in Python to see more"
) -> Raw:
    """What a function of the user's returns, in one of the forms of `read`.

    Args:
        call: the function; it is called once, and what it yields is iterated once.
        signature: of the source.
        name: what to call it in complaints.
        place: where what it returns is written as it comes.
        fix: what helps if it fails.

    Raises:
        InputError: it fails, or returns something else; the user's line is told.
    """
    try:
        parts = _parts(call(), signature, place)
        if any(values.dtype.hasobject for values in parts.values()):
            raise TypeError("it gives Python objects, not arrays of numbers")
    except (Exception, SystemExit) as error:
        where = _line(error)
        raise InputError(
            f"{name} failed: {type(error).__name__}: {error}",
            place=f"{name}, {where}" if where else name,
            fix=fix,
        ) from error
    inputs = {spec.source_name for spec in signature.inputs}
    labels = next((parts.pop(key) for key in LABEL_KEYS if key in parts and key not in inputs), None)
    return Raw(parts, labels)


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        os.chdir(before)
        with contextlib.suppress(ValueError):  # the user's code may have taken it away
            sys.path.remove(str(folder))


def _line(error: BaseException) -> str:
    """``file:line`` of the user's code that failed; empty if none was running."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    installed = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    own = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*installed, own, "<"))
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def score(spec: str, outputs: Path, labels: Path, folder: Path) -> MetricScore:
    """Call the user's metric ``module:function``; see `score_of`.

    Args:
        spec: ``module:function``, the module being looked for in ``folder`` first.
        outputs: a file of outputs ``[N, *shape]`` by name (`edgekit.waist.tensors.arrays`).
        labels: an ``.npy`` of labels ``[N, ...]``.
        folder: the user's current folder, in which it is called.

    Raises:
        InputError: as `score_of`; and it cannot be imported.
    """
    with _in(folder), contextlib.redirect_stdout(sys.stderr):
        try:
            function = _find(spec)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{spec} cannot be imported: {type(error).__name__}: {error}", place=spec, fix="import it in Python"
            ) from error
        return score_of(function, spec, arrays(outputs, writable=True), load_array(labels, writable=True))


def score_of(function: Callable[..., Any], name: str, outputs: dict[str, Array], labels: Array) -> MetricScore:
    """What a user's metric says, whose faults are complaints.

    Raises:
        InputError: it fails, returns no finite number, or does not say which way is better.
    """
    higher = getattr(function, "higher_is_better", None)
    if not isinstance(higher, bool):
        own = name.rpartition(":")[2]
        function_name = own if own.isidentifier() else "FUNCTION"
        raise InputError(
            f"The metric {name} does not say which way is better.",
            place="--metric",
            fix=f"set {function_name}.higher_is_better = True, or False, after the function",
        )
    try:
        value = float(function(outputs, labels))
    except (Exception, SystemExit) as error:
        where = _line(error)
        raise InputError(
            f"The metric {name} failed: {type(error).__name__}: {error}",
            place=f"--metric, {where}" if where else "--metric",
            fix="call it in Python to see more; outputs are [N, *shape] by name",
        ) from error
    if not math.isfinite(value):
        raise InputError(f"The metric {name} is {value}.", place="--metric", fix="return a finite number")
    return MetricScore(value, higher)


def _find(spec: str) -> Any:
    module, _, name = spec.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{name} is no function")
    return found


def _parts(returned: Any, signature: Signature, place: Place) -> dict[str, Array]:
    """The whole set, by name; positions are ``#1``, ``#2`` and so on."""
    if isinstance(returned, Mapping | tuple) or hasattr(returned, "__array__"):
        return _named(returned, signature)
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes):
        raise TypeError(f"it returned {type(returned).__name__}, not an array, dict, tuple or iterable of these")
    collected: dict[str, Growing] = {}
    with contextlib.ExitStack() as files:
        for i, item in enumerate(returned):
            if i >= MOST_ITEMS:
                raise ValueError(f"it yields more than {MOST_ITEMS} items; end the generator")
            for name, values in _batches(_named(item, signature), signature).items():
                if name not in collected:
                    collected[name] = files.enter_context(contextlib.closing(place.growing()))
                collected[name].add(values)
        if not collected:
            raise ValueError("it yields nothing")
        if len({len(values) for values in collected.values()}) > 1:
            raise ValueError("its items do not all have the same parts")
        return {name: values.done() for name, values in collected.items()}


def _named(item: Any, signature: Signature) -> dict[str, Array]:
    """One set, batch or sample as arrays by name; labels, if any, under ``y``."""
    if isinstance(item, Mapping):
        return {str(name): np.asarray(values) for name, values in item.items()}
    count = len(signature.inputs)
    if isinstance(item, tuple | list) and (isinstance(item, tuple) or any(hasattr(x, "__array__") for x in item)):
        if len(item) == 2 and isinstance(item[0], Mapping):
            return _named(item[0], signature) | {"y": np.asarray(item[1])}
        if len(item) not in {count, count + 1}:
            raise ValueError(f"it gives tuples of {len(item)}; the model has {count} inputs (labels may follow them)")
        parts = {f"#{i + 1}": np.asarray(values) for i, values in enumerate(item[:count])}
        return parts | ({"y": np.asarray(item[count])} if len(item) > count else {})
    return {"#1": np.asarray(item)}


def _batches(item: dict[str, Array], signature: Signature) -> dict[str, Array]:
    """A sample or a batch with a leading axis; the label of one sample may be a vector, as one-hot ones are."""
    found = {name: _batch(name, values, signature) for name, values in item.items()}
    inputs = {spec.source_name for spec in signature.inputs}
    labels = [name for name in found if name in LABEL_KEYS and name not in inputs]
    counts = {len(values) for name, values in found.items() if name not in labels}
    return found | {name: item[name][np.newaxis] for name in labels if counts == {1} and len(found[name]) > 1}


def _batch(name: str, values: Array, signature: Signature) -> Array:
    """A sample or a batch with a leading axis: a sample lacks it, by its number of dimensions."""
    specs = {spec.source_name: spec for spec in signature.inputs}
    spec = signature.inputs[int(name[1:]) - 1] if name.startswith("#") else specs.get(name)
    if spec is None:
        return np.atleast_1d(values)
    shape = spec.source_shape
    whole = values.ndim < len(shape) or (values.shape == shape and shape[:1] != (1,))
    return values[np.newaxis] if whole else values
