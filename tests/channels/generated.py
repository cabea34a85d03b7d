"""Tiny networks with channels, written operator by operator, and how a cut is held against the masked original."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.channels import cutting, dependencies
from edgekit.channels.dependencies import Dependencies
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests.networks import RELU, SAME, Network, weights

STEP = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}


class Layers:
    """A network in the making; each method gives a tensor, whose shape `shape` tells."""

    def __init__(self, *shape: int) -> None:
        self.net, self._seed = Network(), 0
        self.x = self.net.input("x", shape)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.net.subgraph.tensors[tensor].shape)

    def drawn(self, *shape: int) -> int:
        self._seed += 1
        return self.net.constant(f"w{self._seed}", weights(*shape, seed=self._seed))

    def ints(self, *values: int) -> int:
        self._seed += 1
        return self.net.constant(f"i{self._seed}", np.array(values, np.int32))

    def bias(self, size: int) -> int:
        """Above 0, so that few channels are dead."""
        self._seed += 1
        return self.net.constant(f"b{self._seed}", np.abs(weights(size, 1, seed=self._seed)).ravel() + 0.5)

    def conv(self, x: int, filters: int, size: int = 3, groups: int = 1, activation: int = RELU) -> int:
        *lead, channels = self.shape(x)
        given = [x, self.drawn(filters, size, size, channels // groups), self.bias(filters)]
        return self.net.operator(
            "CONV_2D", given, (*lead, filters), kind="Conv2DOptions", padding=SAME,
            fusedActivationFunction=activation, **STEP,
        )  # fmt: skip

    def depthwise(self, x: int, multiplier: int = 1) -> int:
        *lead, channels = self.shape(x)
        made = channels * multiplier
        return self.net.operator(
            "DEPTHWISE_CONV_2D", [x, self.drawn(1, 3, 3, made), self.bias(made)], (*lead, made),
            kind="DepthwiseConv2DOptions", padding=SAME, depthMultiplier=multiplier, **STEP,
        )  # fmt: skip

    def transposed(self, x: int, filters: int) -> int:
        _, high, wide, channels = self.shape(x)
        made = (1, high * 2, wide * 2, filters)
        given = [self.ints(*made), self.drawn(filters, 3, 3, channels), x, self.bias(filters)]
        steps = {"padding": SAME, "strideW": 2, "strideH": 2}
        return self.net.operator("TRANSPOSE_CONV", given, made, kind="TransposeConvOptions", **steps)

    def dense(self, x: int, outputs: int) -> int:
        *lead, taps = self.shape(x)
        given = [x, self.drawn(outputs, taps), self.bias(outputs)]
        return self.net.operator(
            "FULLY_CONNECTED", given, (*lead, outputs), kind="FullyConnectedOptions", keepNumDims=True
        )

    def one(self, builtin: str, x: int, kind: str = "", **options: Any) -> int:
        return self.net.operator(builtin, [x], self.shape(x), kind=kind, **options)

    def two(self, builtin: str, x: int, y: int) -> int:
        shape = np.broadcast_shapes(self.shape(x), self.shape(y))
        return self.net.operator(builtin, [x, y], shape, kind=f"{builtin.title()}Options")

    def concat(self, *given: int, axis: int = -1) -> int:
        shape = list(self.shape(given[0]))
        shape[axis] = sum(self.shape(x)[axis] for x in given)
        return self.net.operator(
            "CONCATENATION", list(given), tuple(shape), kind="ConcatenationOptions", axis=axis % len(shape)
        )

    def reshape(self, x: int, *shape: int) -> int:
        return self.net.operator(
            "RESHAPE", [x, self.ints(*shape)], shape, kind="ReshapeOptions", newShape=np.array(shape, np.int32)
        )

    def transpose(self, x: int, *order: int) -> int:
        shape = tuple(self.shape(x)[axis] for axis in order)
        return self.net.operator("TRANSPOSE", [x, self.ints(*order)], shape, kind="TransposeOptions")

    def matmul(self, x: int, y: int, *, transposed: bool = False) -> int:
        columns = self.shape(y)[-2 if transposed else -1]
        return self.net.operator(
            "BATCH_MATMUL",
            [x, y],
            (*self.shape(x)[:-1], columns),
            kind="BatchMatMulOptions",
            adjX=False,
            adjY=transposed,
        )

    def mean(self, x: int, *axes: int) -> int:
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(self.shape(x)))
        return self.net.operator("MEAN", [x, self.ints(*axes)], shape, kind="ReducerOptions", keepDims=True)

    def several(
        self, builtin: str, given: list[int], shapes: list[tuple[int, ...]], kind: str, **options: Any
    ) -> list[int]:
        made = [self.net.operator(builtin, given, shapes[0], kind=kind, **options)]
        made += [self.net.tensor(f"part{len(made)}_{made[0]}_{n}", shape) for n, shape in enumerate(shapes[1:])]
        self.net.subgraph.operators[-1].outputs = made
        return made

    def split(self, x: int, parts: int) -> list[int]:
        *lead, channels = self.shape(x)
        shapes = [(*lead, channels // parts)] * parts
        given = [self.net.constant(f"axis{x}", np.array(len(lead), np.int32)), x]
        return self.several("SPLIT", given, shapes, "SplitOptions", numSplits=parts)

    def split_v(self, x: int, *sizes: int) -> list[int]:
        *lead, _ = self.shape(x)
        axis = self.net.constant(f"axis{x}", np.array(-1, np.int32))
        shapes = [(*lead, size) for size in sizes]
        return self.several("SPLIT_V", [x, self.ints(*sizes), axis], shapes, "SplitVOptions", numSplits=len(sizes))

    def slice(self, x: int, start: int, size: int) -> int:
        *lead, _ = self.shape(x)
        given = [x, self.ints(*[0] * len(lead), start), self.ints(*lead, size)]
        return self.net.operator("SLICE", given, (*lead, size), kind="SliceOptions")

    def strided_slice(self, x: int, start: int, stop: int, step: int = 1) -> int:
        *lead, _ = self.shape(x)
        given = [x, self.ints(*[0] * len(lead), start), self.ints(*lead, stop), self.ints(*[1] * len(lead), step)]
        made = (*lead, len(range(start, stop, step)))
        return self.net.operator("STRIDED_SLICE", given, made, kind="StridedSliceOptions")

    def pad(self, x: int, before: int, after: int) -> int:
        *lead, channels = self.shape(x)
        borders = self.net.constant(f"pad{x}", np.array([*[[0, 0]] * len(lead), [before, after]], np.int32))
        return self.net.operator("PAD", [x, borders], (*lead, channels + before + after), kind="PadOptions")

    def blocks(self, builtin: str, x: int, size: int) -> int:
        _, high, wide, channels = self.shape(x)
        deep = builtin == "SPACE_TO_DEPTH"
        made = (1, high // size, wide // size, channels * size**2) if deep else (
            1, high * size, wide * size, channels // size**2)  # fmt: skip
        kind = "SpaceToDepthOptions" if deep else "DepthToSpaceOptions"
        return self.net.operator(builtin, [x], made, kind=kind, blockSize=size)

    def gather(self, x: int, *chosen: int) -> int:
        *lead, _ = self.shape(x)
        return self.net.operator(
            "GATHER", [x, self.ints(*chosen)], (*lead, len(chosen)), kind="GatherOptions", axis=len(lead)
        )

    def tile(self, x: int, times: int) -> int:
        *lead, channels = self.shape(x)
        return self.net.operator("TILE", [x, self.ints(*[1] * len(lead), times)], (*lead, channels * times))

    def save(self, path: Path, *outputs: int) -> Path:
        return self.net.save(path, *outputs)


Build = Callable[[Layers, int], int]


def samples(found: Dependencies, count: int = 2, seed: int = 1) -> dict[str, Any]:
    random, tensors = np.random.default_rng(seed), [found.graph.tensors[i] for i in found.graph.inputs]
    return {
        tensor.name: random.standard_normal((count, *tensor.shape)).astype(np.float32)
        if tensor.dtype.startswith("float")
        else random.integers(0, 2, (count, *tensor.shape)).astype(tensor.dtype)
        for tensor in tensors
    }


def drawn(found: Dependencies, share: float, seed: int = 0) -> set[int]:
    """Channels of each family, at random."""
    random, gone = np.random.default_rng(seed), set[int]()
    for family in found.families:
        count = min(len(family.channels) - 1, max(1, int(share * len(family.channels))))
        gone |= set(random.choice(family.channels, count, replace=False).tolist())
    return gone


def agreement_db(found: Dependencies, gone: Collection[int], folder: Path) -> float:
    """The cut file against the masked original, in dB; and neither is what it was before."""
    files = {"cut": cutting.cut(found, gone), "masked": cutting.masked(found, gone), "whole": found.tree}
    given, made = samples(found), {}
    for name, tree in files.items():
        path = folder / f"{name}.tflite"
        path.write_bytes(graph.pack(tree))
        made[name] = run.run(path, given)
    for name, outputs in made["cut"].items():
        assert outputs.shape == made["whole"][name].shape
    assert not gone or any(sqnr_db(made["whole"][name], y) < 60 for name, y in made["cut"].items())
    assert not gone or (folder / "cut.tflite").stat().st_size < (folder / "whole.tflite").stat().st_size
    return min(sqnr_db(made["masked"][name], outputs) for name, outputs in made["cut"].items())


def network(build: Build, folder: Path, *shape: int) -> Dependencies:
    """What is found of a network: layers before, what is asked about, layers behind."""
    layers = Layers(*shape)
    return dependencies.find(layers.save(folder / "network.tflite", build(layers, layers.x)))
