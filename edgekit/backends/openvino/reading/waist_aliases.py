"""TFLite files in which a tensor comes out twice: OpenVINO's reader gives it once."""

from typing import Any

import numpy as np

from edgekit.waist import edit, graph


def mend(model: Any) -> bool:
    """Give each repetition of an output a RESHAPE to its own shape, in place; whether there were any.

    OpenVINO removes the RESHAPE, and keeps the output.

    Args:
        model: object tree of a TFLite file.
    """
    main = model.subgraphs[0]
    outputs = graph.ints(main.outputs)
    tensors = graph.describe(model)[0].tensors
    for place, tensor in enumerate(outputs):
        if tensor not in outputs[:place]:
            continue
        like = tensors[tensor]
        again = edit.add_tensor(main, f"{like.name}/{place}", like.shape, like.dtype)
        shape = edit.add_constant(model, f"{like.name}/{place}/shape", np.array(like.shape, np.int32))
        edit.add_operator(model, "RESHAPE", [tensor, shape], [again], at=len(main.operators))
        main.outputs = [again if k == place else kept for k, kept in enumerate(main.outputs)]
    return len(set(outputs)) < len(outputs)
