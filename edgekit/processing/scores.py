"""From logits to probabilities, and which classes score highest."""

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import Activation

Floats = NDArray[np.float32]


def softmax(logits: Floats) -> Floats:
    """Shares of 1 along the last axis, exp(x - max) / Σ exp(x - max) in float32."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Floats = raised / raised.sum(-1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) in float32, by the form that cannot overflow."""
    small = np.exp(-np.abs(logits))
    found: Floats = np.where(logits >= 0, np.float32(1), small) / (np.float32(1) + small)
    return found


def activated(values: NDArray[np.generic], activation: Activation) -> Floats:
    """Probabilities ``[..., classes]`` of what an output holds."""
    scores = np.asarray(values, np.float32)
    if activation == "softmax":
        return softmax(scores)
    return sigmoid(scores) if activation == "sigmoid" else scores


def highest(scores: Floats, count: int, threshold: float = 0.0) -> list[int]:
    """The classes of ``[classes]`` with the highest scores, at most ``count``, of equal ones the first.

    Scores below ``threshold`` are left out, unless it is 0, which all pass; so are scores that are no numbers.
    """
    order = np.argsort(-scores, kind="stable")[:count]
    return [int(i) for i in order if not np.isnan(scores[i]) and (threshold == 0 or scores[i] >= np.float32(threshold))]
