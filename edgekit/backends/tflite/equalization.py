"""Files of a float network whose weights of two layers in a row have one scale, if that is wanted (`weights`)."""

from pathlib import Path

import numpy as np

from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.equalization import homogeneous, weights
from edgekit.equalization.observing import observe
from edgekit.waist import graph, named
from edgekit.waist.tensors import Array

ON = "on"
"""The setting that asks for it."""

NONE = "no two layers stand in a row whose weights could be brought to one scale"
"""What is said of a network of which nothing is equalized."""


def equalized(path: Path, inputs: dict[str, Array], settings: QuantizationSettings, folder: Path) -> Path | None:
    """A float network's file with equalized weights, if that is wanted and there are layers in a row.

    Args:
        path: the float TFLite file.
        inputs: samples, for each input's name ``[N, *shape]``.
        settings: what is wanted; operators that stay float are left alone.
        folder: where a folder for the file is made.
    """
    if settings.equalization == "off" or (settings.equalization == "auto" and settings.per_channel):
        return None
    model = graph.load(path)
    main = graph.describe(model)[0]
    kept, cut = named.makers(main, settings.floats), homogeneous.capped(main)
    seen = observe(path, main, inputs, np.arange(1), settings.seed, by_channel=cut).activations if cut else {}
    peaks = {tensor: one.channels[1] for tensor, one in seen.items() if one.channels is not None}
    if not weights.equalize(model, kept, peaks):
        return None
    (folder / "even").mkdir()
    even = folder / "even" / path.name
    even.write_bytes(graph.pack(model))
    return even


def is_possible(path: Path, settings: QuantizationSettings) -> bool:
    """Whether layers stand in a row in a float network's file, as far as can be told without samples."""
    model = graph.load(path)
    main = graph.describe(model)[0]
    return any(weights.pairs(model, main, named.makers(main, settings.floats)))
