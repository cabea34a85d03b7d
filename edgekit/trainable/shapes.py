"""The shapes that tensors have while the file runs, whatever the file declares."""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.waist import run


def settle(tree: Any, path: Path) -> None:
    """Give the tensors of the main graph the shapes that LiteRT finds, in place; converters declare some wrongly.

    The file runs once on zeros, since some shapes are known only then.

    Raises:
        Unsupported: LiteRT cannot load or run the file.
    """
    made = run.interpreter(path, kernels="builtin")
    for detail in made.get_input_details():
        made.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    run.invoke(made, path)
    tensors = tree.subgraphs[0].tensors
    for detail in made.get_tensor_details():
        if detail["index"] < len(tensors):
            tensors[detail["index"]].shape = np.array(detail["shape"], np.int32)
