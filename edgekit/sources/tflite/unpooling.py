"""``MaxPoolingWithArgmax2D`` and ``MaxUnpooling2D`` in builtin operators.

A pooling gives the largest number of each window, and its place there; an unpooling puts other numbers back to these
places, among zeros:

    input [N, H, W, C] → windows [N·h·w, k, C] → ARG_MAX [N·h·w, C] → EQUAL to 0 … k - 1 → mask [N·h·w, k, C]
    numbers [N, h, w, C] → SELECT_V2 by the mask, or 0 → windows → output [N, H, W, C]

Runtimes write places down in numbers of their own (MediaPipe's kernels as floats, XNNPACK as integers in the memory of
floats, in another order), so both operators are read together or not at all.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.sources.tflite.structs import CUSTOM, PADDINGS, floats, numbers
from edgekit.waist import edit


class PoolingWindow(NamedTuple):
    """A window of pooling that is its own stride too: rows, columns, and the padding in the schema's number."""

    rows: int
    columns: int
    padding: int


def read(main: MainGraph, node: Node) -> Replacement | None:
    """A pooling, together with every unpooling that reads its places; None if they are not as expected."""
    if len(node.inputs) != 1 or len(node.outputs) != 2 or (window := _window(main, node, node.inputs[0])) is None:
        return None
    maxima, places = node.outputs
    back = main.readers(places)
    if places in main.outputs or not all(_undoes(main, one, node, window) for one in back):
        return None
    writing = _Writing(main, node.inputs[0], window)
    writing.add(
        "MAX_POOL_2D", node.inputs, maxima, "Pool2DOptions", padding=window.padding,
        strideW=window.columns, strideH=window.rows, filterWidth=window.columns, filterHeight=window.rows,
    )  # fmt: skip
    if back:
        mask = writing.mask()
        for one in back:
            writing.put_back(one.inputs[0], mask, one.outputs[0])
    return Replacement((node, *back), tuple(writing.made))


def _window(main: MainGraph, node: Node, whole: int) -> PoolingWindow | None:
    """The window of a ``TfLitePoolParams`` if windows lie side by side and fill the tensor ``whole`` [N, H, W, C]."""
    options = numbers(node, 6)
    if not options or not floats(main, (*node.inputs, *node.outputs)) or len(main.shape(whole)) != 4:
        return None
    padding, stride_width, stride_height, columns, rows, activation = options
    if padding not in PADDINGS or activation or (stride_height, stride_width) != (rows, columns):
        return None
    _, height, width, _ = main.shape(whole)
    fills = min(rows, columns) > 0 and height % rows == width % columns == 0
    return PoolingWindow(rows, columns, PADDINGS[padding]) if fills else None


def _undoes(main: MainGraph, back: Node, pooling: Node, window: PoolingWindow) -> bool:
    """Whether an operator is the unpooling of a pooling."""
    if back.name != f"{CUSTOM}MaxUnpooling2D" or len(back.inputs) != 2 or len(back.outputs) != 1:
        return False
    given, places = back.inputs
    shapes = main.shape(given), main.shape(back.outputs[0])
    return (
        places == pooling.outputs[1]
        and shapes == (main.shape(pooling.outputs[0]), main.shape(pooling.inputs[0]))
        and _window(main, back, back.outputs[0]) == window
    )


class _Writing:
    """The operators that take the place of a pooling and its unpoolings, in an order in which they run.

    Args:
        main: the graph.
        source: what is pooled, a tensor [N, H, W, C].
        window: of the pooling.
    """

    def __init__(self, main: MainGraph, source: int, window: PoolingWindow) -> None:
        self._main, self._source = main, source
        batch, height, width, self._channels = main.shape(source)
        self._rows, self._columns = window.rows, window.columns
        self._down, self._along = batch * height // window.rows, width // window.columns
        self._windows, self._held = self._down * self._along, window.rows * window.columns
        self.made: list[Node] = []

    def add(self, name: str, inputs: Iterable[int], output: int, kind: str = "", **options: Any) -> int:
        """One more operator; what it makes."""
        self.made.append(self._main.node(name, inputs, (output,), kind, **options))
        return output

    def mask(self) -> int:
        """Whether a number is the largest of its window, the first of equal ones: bool [windows, k, C]."""
        main, shape = self._main, (self._windows, self._held, self._channels)
        rows = self._shaped(self._source, (self._down, self._rows, self._along, self._columns * self._channels))
        windows = self._shaped(self._turned(rows), shape)
        axis = main.add_constant(self._source, "axis", np.asarray(1, np.int32))
        place = self._tensor("place", (self._windows, self._channels), "int32")
        self.add("ARG_MAX", (windows, axis), place, "ArgMaxOptions", outputType=schema.TensorType.INT32)
        place = self._shaped(place, (self._windows, 1, self._channels))
        every = main.add_constant(self._source, "places", np.arange(self._held, dtype=np.int32).reshape(1, -1, 1))
        return self.add("EQUAL", (place, every), self._tensor("largest", shape, "bool"), "EqualOptions")

    def put_back(self, given: int, mask: int, output: int) -> None:
        """Numbers [N, h, w, C] where a mask has them, 0 elsewhere, as ``output`` [N, H, W, C]."""
        shape = (self._windows, self._held, self._channels)
        numbers_ = self._shaped(given, (self._windows, 1, self._channels))
        zero = self._main.add_constant(given, "zero", np.zeros((1, 1, 1), np.float32))
        chosen = self.add("SELECT_V2", (mask, numbers_, zero), self._tensor("put", shape), "SelectV2Options")
        turned = self._shaped(chosen, (self._down, self._along, self._rows, self._columns * self._channels))
        self._shaped(self._turned(turned), self._main.shape(output), output)

    def _tensor(self, suffix: str, shape: Iterable[int], dtype: str = "float32") -> int:
        name = f"{self._main.name(self._source)}/{suffix}{len(self.made)}"
        return edit.add_tensor(self._main.tree, name, tuple(shape), dtype)

    def _shaped(self, source: int, shape: tuple[int, ...], output: int | None = None) -> int:
        made = self._tensor("shaped", shape, self._main.dtype(source)) if output is None else output
        told = self._main.add_constant(source, "shape", np.asarray(shape, np.int32))
        return self.add("RESHAPE", (source, told), made, "ReshapeOptions", newShape=list(shape))

    def _turned(self, source: int) -> int:
        """The two axes in the middle of four change places."""
        first, second, third, last = self._main.shape(source)
        order = self._main.add_constant(source, "order", np.asarray((0, 2, 1, 3), np.int32))
        made = self._tensor("turned", (first, third, second, last))
        return self.add("TRANSPOSE", (source, order), made, "TransposeOptions")
