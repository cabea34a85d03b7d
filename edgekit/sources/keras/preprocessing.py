"""Preprocessing layers of Keras that look things up, hash them or count them, which TFLite cannot."""

from pathlib import Path
from typing import Any

from edgekit.errors import Unsupported

WITHOUT_OPERATORS = {
    "IntegerLookup": "a hash table",
    "StringLookup": "a hash table of strings",
    "TextVectorization": "strings",
    "Hashing": "a hash of strings",
    "HashedCrossing": "a hash of strings",
    "CategoryEncoding": "a count of categories",
}
"""Layers of Keras 2 and 3 by class, with what they need and TFLite's builtin operators do not have."""


def refusal(layers: list[Any], path: Path) -> Unsupported | None:
    """The complaint that names such layers; None for a network without any."""
    found = [(layer.name, type(layer).__name__) for layer in layers if type(layer).__name__ in WITHOUT_OPERATORS]
    if not found:
        return None
    named = ", ".join(f"{name} ({kind}: {WITHOUT_OPERATORS[kind]})" for name, kind in found)
    outputs = [f"model.get_layer('{name}').output" for name, _ in found]
    inputs = outputs[0] if len(outputs) == 1 else f"[{', '.join(outputs)}]"
    return Unsupported(
        f"{path.name} holds preprocessing for which TFLite has no operators: {named}.",
        place=f"{path}: layer {found[0][0]}",
        fix="keep these layers in the app and save the network behind them, in Python: "
        f"keras.Model({inputs}, model.output).save('network.keras')",
    )
