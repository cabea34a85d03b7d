"""Passes: what trains, prunes or clusters a network, from waist to waist. This file is the contract.

A leaf is a module of this package with one subclass of `TrainingPass`; its name is that of the pass, with ``_`` for
``-``. What all of them need stands in `edgekit.trainable` and `edgekit.training`; leaves never import one another.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from edgekit.nouns.passing import Passed, Task

__all__ = ["Passed", "Task", "TrainingPass"]


class TrainingPass(ABC):
    """A function from waist to waist."""

    @abstractmethod
    def apply(self, task: Task, out: Path) -> Passed:
        """Write the next waist into ``out``, and nothing else but what the result names.

        It tells how far it is by `edgekit.host.events`.

        Raises:
            InputError: samples, labels or settings do not fit the network; the remedy is named.
            Unsupported: the network cannot be trained, or not so; the operators are named.
        """
