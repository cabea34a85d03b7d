"""The task metric of a build: one that is built in, or the user's own function."""

import functools
import importlib
import math
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import config
from edgekit.engine import closure
from edgekit.engine.store import file_digest
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.verify.metrics import Metric

type Function = Callable[..., float]
"""``f(outputs, labels)``: arrays ``[N, *shape]`` by the names of the source's outputs, with ``shape`` as the source
gives it for one sample; and labels ``[N, ...]``. Its attribute ``higher_is_better`` says which way is better."""


_importing = threading.Lock()


class Wanted(msgspec.Struct, frozen=True):
    """A metric that is asked for: ``question`` is what decides it, ``load`` gives it if it is computed."""

    name: str
    question: Any
    load: "Callable[[], Metric]"


def wanted(given: str | Function) -> Wanted:
    """What a user asks for.

    A function in a file is known by that file and what it imports from beside it. One that a program holds may
    depend on anything in it, so that it is computed anew in each build.

    Args:
        given: the name of a built-in metric, ``module:function``, or a function.
    """
    if callable(given):
        name, function = getattr(given, "__name__", type(given).__name__), given
        return Wanted(name, {"name": name, "once": uuid.uuid4().hex}, lambda: _users(name, function))
    if not config.is_function(given):
        return Wanted(given, given, lambda: _built_in(given))
    files = closure.files(given, (Path.cwd(),))
    question = {"name": given, "files": [file_digest(file).sha256 for file in files]}
    return Wanted(given, question, functools.cache(lambda: _found(given, files)))


def _built_in(name: str) -> "Metric":
    from edgekit.verify import metrics  # noqa: PLC0415  numpy is only needed on a cold path

    return metrics.built_in(name)


def _found(name: str, files: tuple[Path, ...]) -> "Metric":
    """The function as its files are now: a long-lived program may have imported what they were before."""
    from edgekit.samples import functions  # noqa: PLC0415  as above

    own = set(map(str, files))
    with _importing:
        first = name.partition(":")[0].partition(".")[0]
        old = {
            key: module
            for key, module in sys.modules.items()
            if key.partition(".")[0] == first or getattr(module, "__file__", None) in own
        }
        for key in old:
            del sys.modules[key]
        importlib.invalidate_caches()
        try:
            return _users(name, functions.find(name))
        finally:
            sys.modules.update(old)


def _users(name: str, function: Function) -> "Metric":
    """The user's function, whose faults are complaints.

    Raises:
        InputError: it does not say which way is better.
    """
    from edgekit.samples.functions import USERS_FAULTS  # noqa: PLC0415  as above
    from edgekit.verify.metrics import Metric  # noqa: PLC0415  as above

    higher = getattr(function, "higher_is_better", None)
    if not isinstance(higher, bool):
        raise InputError(
            f"The metric {name} does not say which way is better.",
            place="--metric",
            fix=f"set {name.rpartition(':')[2]}.higher_is_better = True, or False, after the function",
        )

    def compute(outputs: Any, labels: Any) -> float:
        try:
            value = float(function(outputs, labels))
        except USERS_FAULTS as error:
            raise InputError(
                f"The metric {name} failed: {type(error).__name__}: {error}",
                place="--metric",
                fix="call it in Python to see where; outputs are [N, *shape] by name",
            ) from error
        if not math.isfinite(value):
            raise InputError(f"The metric {name} is {value}.", place="--metric", fix="return a finite number")
        return value

    return Metric(name, compute, higher_is_better=higher)
