"""The float network in the channels of a file: some files are made from one whose channels were divided.

See `edgekit.equalization.following`.
"""

import numpy as np

from edgekit.backends.openvino.diagnosis.stretches import IrNetwork
from edgekit.backends.openvino.tracing import IrTrace
from edgekit.equalization import following
from edgekit.equalization.numbering import Floats


def followed(source: IrNetwork, file: IrNetwork) -> IrNetwork:
    """The float network with its channels divided as the file's are, if that brings their weights together.

    Args:
        source: the float network, named as the file (`IrNetwork.named_as`).
        file: what is looked at.
    """
    trace = IrTrace(source.model)
    theirs: dict[str, Floats] = {}
    for name, layer in trace.layers.items():
        weights = file.weights.get(name)
        if weights is not None and weights.shape == layer.weights.shape:
            theirs[name] = layer.matrices(weights).astype(np.float64)
    by = following.followed(trace, theirs)
    return source if by is None else IrNetwork(trace.divided(by))
