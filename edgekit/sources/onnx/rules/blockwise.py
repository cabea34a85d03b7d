"""Weights that lie packed in blocks, a scale for each: Microsoft's operators of 2, 4 and 8 bits, by float ones.

Their packing: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

import numpy as np
import onnx

from edgekit.sources.onnx.network import Array, Builder, attributes


def matmul_nbits(builder: Builder, node: onnx.NodeProto) -> bool:
    """MatMulNBits by constant weights: MatMul by the floats ``[K, N]`` that they stand for, and its bias."""
    told, given = attributes(node), [*node.input, *[""] * 3]
    held = builder.network.constants
    if not all(name in held for name in given[1:5] if name):
        return False
    if given[4] and given[3] and held[given[3]].dtype == np.uint8:
        return False  # ONNX Runtime 1.26 on CPUs takes these zero points for 8: nobody knows what is meant
    rows, block = int(told["N"]), int(told["block_size"])
    bits, columns = int(told.get("bits", 4)), int(told["K"])
    integers = _unpacked(held[given[1]].reshape(rows, -1), bits)  # [N, blocks · block], the last block padded
    blocks = integers.shape[1] // block
    block_of = held[given[4]][:columns] if given[4] else np.arange(columns) // block
    zero = _zero_points(held.get(given[3]), bits, rows, blocks)[:, block_of]
    scales = held[given[2]].reshape(rows, blocks).astype(np.float32)[:, block_of]
    weights = builder.const(np.ascontiguousarray(((integers[:, :columns] - zero) * scales).T), np.float32)
    bias = given[5]
    product = builder.op("MatMul", node.input[0], weights, out=None if bias else node.output[0])
    if bias:
        builder.op("Add", product, bias, out=node.output[0])
    return True


def gather_blocks(builder: Builder, node: onnx.NodeProto) -> bool:
    """GatherBlockQuantized of a constant table: Gather of the floats that it stands for."""
    told, held = attributes(node), builder.network.constants
    names = [node.input[0], *node.input[2:]]
    if not all(name in held for name in names):
        return False
    table, scales = held[names[0]], held[names[1]].astype(np.float32)
    bits, block = int(told.get("bits", 4)), int(told.get("block_size", 128))
    axis = int(told.get("quantize_axis", 1)) % table.ndim
    packed = table.dtype == np.uint8
    integers = _unpacked(table, bits) if packed else table.astype(np.float32)
    zero: Array = np.float32(2 ** (bits - 1) if packed else 0)  # type: ignore[assignment]
    if len(names) > 2:
        points = held[names[2]]
        # ONNX Runtime 1.26 counts them on from row to row, although each row of odd length is padded to whole bytes.
        points = _unpacked(points.reshape(-1), bits)[: scales.size] if packed else points.astype(np.float32)
        zero = _repeated(points.reshape(scales.shape), block, axis, integers.shape[axis])
    values = (integers - zero) * _repeated(scales, block, axis, integers.shape[axis])
    builder.op(
        "Gather",
        builder.const(values, np.float32),
        node.input[1],
        axis=int(told.get("gather_axis", 0)),
        out=node.output[0],
    )
    return True


def _unpacked(stored: Array, bits: int) -> Array:
    """Bytes ``[…, n]`` as the floats ``[…, n · 8 / bits]`` of the integers in them, the lowest bits first."""
    parts = [(stored >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, axis=-1).reshape(*stored.shape[:-1], -1).astype(np.float32)


def _zero_points(stored: Array | None, bits: int, rows: int, blocks: int) -> Array:
    """Zero points ``[N, blocks]``: the middle if there are none, packed as weights are, or floats."""
    if stored is None:
        return np.full((rows, blocks), 2 ** (bits - 1), np.float32)
    if stored.dtype == np.uint8:
        return _unpacked(stored.reshape(rows, -1), bits)[:, :blocks]
    return stored.reshape(rows, blocks).astype(np.float32)


def _repeated(values: Array, block: int, axis: int, size: int) -> Array:
    """One value for each element of a block, along an axis of ``size`` elements."""
    whole = np.repeat(values, block, axis=axis)
    return np.take(whole, np.arange(size), axis=axis)
