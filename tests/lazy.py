"""Libraries that take seconds to import, for files of tests that every process collects and one of them runs."""

import importlib
from typing import Any


class Lazy:
    """A module that is imported at the first look at one of its names; TensorFlow as edgekit imports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest looks whether it is a test
            raise AttributeError(name)
        if self._name.startswith(("tensorflow", "tf_keras")):
            importlib.import_module("edgekit.sources.keras.libraries")
        return getattr(importlib.import_module(self._name), name)
