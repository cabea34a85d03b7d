"""Leaves in worker processes, as the parent sees them: typed by the contracts of their rooms.

``proxies.source("onnx")`` is a `edgekit.sources.Source` to whoever calls it and to type checkers; each of its
methods runs in a worker. `edgekit.engine.registry.leaf` is the leaf itself, in this process.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from edgekit.engine import registry

if TYPE_CHECKING:
    from edgekit.backends import Backend
    from edgekit.drivers import Driver
    from edgekit.meters import Meter
    from edgekit.passes import TrainingPass
    from edgekit.rewrites import Optimizer
    from edgekit.samples import Reader
    from edgekit.sources import Source


class LeafProxies(ABC):
    """A proxy for each leaf, by its name.

    The methods of a proxy take what its contract says and return that, or raise what
    `edgekit.engine.worker.Worker.call` does. They take as long as they need: a session tells its watcher what is
    told meanwhile, and can be cancelled.
    """

    def source(self, name: str) -> "Source":
        """What reads a family of formats."""
        return cast("Source", _Proxy(self._call, "sources", name))

    def backend(self, name: str) -> "Backend":
        """What builds files, and runs them on this host."""
        return cast("Backend", _Proxy(self._call, "backends", name))

    def driver(self, name: str) -> "Driver":
        """What reaches a kind of devices."""
        return cast("Driver", _Proxy(self._call, "drivers", name))

    def meter(self, name: str) -> "Meter":
        """What measures power or energy."""
        return cast("Meter", _Proxy(self._call, "meters", name))

    def reader(self) -> "Reader":
        """What reads samples."""
        return cast("Reader", _Proxy(self._call, "samples", "reader"))

    def optimizer(self) -> "Optimizer":
        """What rewrites a waist."""
        return cast("Optimizer", _Proxy(self._call, "rewrites", "optimizer"))

    def training_pass(self, name: str) -> "TrainingPass":
        """What trains, prunes or clusters a waist."""
        return cast("TrainingPass", _Proxy(self._call, "passes", name))

    @abstractmethod
    def _call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> Any:
        """Call a leaf's method in its worker process and wait."""


class _Proxy:
    """Stands for a leaf: calls of its contract's methods are passed on, with their arguments by name."""

    def __init__(self, call: Callable[..., Any], room: str, name: str) -> None:
        self._call, self._room, self._name = call, room, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        contract = getattr(import_module(f"edgekit.{self._room}"), registry.ROOMS[self._room])
        function = getattr(contract, method)
        if not callable(function):
            raise AttributeError(f"{method} is a value of {self._room}/{self._name}, which lives in a worker process")
        signature = inspect.signature(function)

        def call(*values: Any, **named: Any) -> Any:
            arguments = signature.bind(self, *values, **named).arguments
            del arguments["self"]
            return self._call(self._room, self._name, method, **arguments)

        return call
