"""From ids to an input's tensor: cut off, or filled up."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import TokensInput


def tensor(ids: Sequence[int], tokens: TokensInput, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Ids as the input's tensor of a shape; the rest is ``pad_id``."""
    length = math.prod(shape)
    made = [*ids[:length], *[tokens.pad_id] * max(0, length - len(ids))]
    return np.array(made, np.int64).reshape(shape)
