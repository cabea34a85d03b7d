"""Random networks, rewritten for each runtime: one that is not the same as a whole, or any error, is kept with its seed.

Usage: python -m tests.studies.graphs.fuzz [--seconds N] [--seed N] [--keep FOLDER]
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.rewrites import Runtime, chosen
from edgekit.rewrites.optimizer import WaistOptimizer
from edgekit.waist import run
from tests import networks

RUNTIMES: tuple[Runtime, ...] = ("litert", "litert-integers", "accelerator")

UNARY = (
    "ABS", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "TANH", "LOGISTIC", "HARD_SWISH", "GELU", "EXP", "SQUARE", "SQRT",
    "RSQRT", "SIN", "ELU", "LEAKY_RELU",
)  # fmt: skip

OPTIONS = {"GELU": "GeluOptions", "LEAKY_RELU": "LeakyReluOptions", "SQUARE": "SquareOptions", "EXP": "ExpOptions"}


class Generator:
    """One random network, of tensors that are at hand by name."""

    def __init__(self, seed: int) -> None:
        self.random, self.net = np.random.default_rng(seed), networks.Network()
        self.shapes: dict[int, tuple[int, ...]] = {}
        for number in range(self.random.integers(1, 3)):
            shape = self._shape()
            self.shapes[self.net.input(f"x{number}", shape)] = shape

    def _shape(self) -> tuple[int, ...]:
        axes = int(self.random.integers(2, 5))
        return (1, *(int(self.random.choice([1, 2, 3, 4, 6, 8])) for _ in range(axes - 1)))

    def _pick(self) -> int:
        tensors = list(self.shapes)
        recent = tensors[-3:] if self.random.random() < 0.7 else tensors
        return int(self.random.choice(recent))

    def _constant(self, values: Any) -> int:
        return self.net.constant(f"c{len(self.net.subgraph.tensors)}", np.asarray(values))

    def _made(self, name: str, inputs: list[int], shape: tuple[int, ...], kind: str = "", **options: Any) -> None:
        self.shapes[self.net.operator(name, inputs, shape, kind=kind, **options)] = shape

    def grow(self) -> None:
        """One more operator, of any kind."""
        ways = (self._unary, self._binary, self._scaled, self._reshape, self._transpose, self._slice, self._layer,
                self._dense, self._joined, self._reduced, self._softmax, self._padded, self._strided, self._again)  # fmt: skip
        ways[int(self.random.integers(len(ways)))](self._pick())

    def _unary(self, x: int) -> None:
        name = str(self.random.choice(UNARY))
        options = {"alpha": 0.1} if name == "LEAKY_RELU" else {}
        self._made(name, [x], self.shapes[x], OPTIONS.get(name, ""), **options)

    def _binary(self, x: int) -> None:
        name = str(self.random.choice(["ADD", "SUB", "MUL", "DIV"]))
        others = [t for t, shape in self.shapes.items() if shape == self.shapes[x]]
        both = [x, int(self.random.choice(others))]
        self._made(name, both if self.random.random() < 0.5 else both[::-1], self.shapes[x], f"{name.title()}Options")

    def _scaled(self, x: int) -> None:
        name, shape = str(self.random.choice(["ADD", "SUB", "MUL", "DIV"])), self.shapes[x]
        size = int(self.random.choice([1, shape[-1]]))
        values = self.random.choice([0.5, 3.0, 1 / 6, 6.0, -2.0, 0.125], size).astype(np.float32)
        inputs = [x, self._constant(values)]
        flipped = self.random.random() < 0.3 and name != "DIV"
        activation = int(self.random.choice([0, 0, 0, 1, 3]))
        self._made(
            name, inputs[::-1] if flipped else inputs, shape, f"{name.title()}Options",
            fusedActivationFunction=activation,
        )  # fmt: skip

    def _reshape(self, x: int) -> None:
        size, shape = prod(self.shapes[x]), list[int]()
        for _ in range(int(self.random.integers(1, 4))):
            shape.append(int(self.random.choice([n for n in range(1, size + 1) if size % n == 0])))
            size //= shape[-1]
        shape = [*shape, size] if self.random.random() < 0.5 else [size, *shape]
        self._made(
            "RESHAPE", [x, self._constant(np.array(shape, np.int32))], tuple(shape), "ReshapeOptions", newShape=shape
        )

    def _transpose(self, x: int) -> None:
        order = self.random.permutation(len(self.shapes[x])).astype(np.int32)
        shape = tuple(self.shapes[x][axis] for axis in order)
        self._made("TRANSPOSE", [x, self._constant(order)], shape, "TransposeOptions")

    def _slice(self, x: int) -> None:
        shape = self.shapes[x]
        begin = [int(self.random.integers(size)) for size in shape]
        size = [int(self.random.integers(1, n - b + 1)) for n, b in zip(shape, begin, strict=True)]
        told = [self._constant(np.array(v, np.int32)) for v in (begin, size)]
        self._made("SLICE", [x, *told], tuple(size), "SliceOptions")

    def _strided(self, x: int) -> None:
        shape = self.shapes[x]
        turns = next((n for n in (2, 3) if shape[-1] % n == 0), 0)
        if not turns:
            return
        for first in range(turns):
            bounds = ([0] * (len(shape) - 1) + [first], shape, [1] * (len(shape) - 1) + [turns])
            told = [self._constant(np.array(v, np.int32)) for v in bounds]
            self._made("STRIDED_SLICE", [x, *told], (*shape[:-1], shape[-1] // turns), "StridedSliceOptions")

    def _layer(self, x: int) -> None:
        shape = self.shapes[x]
        if len(shape) != 4:
            return
        deep, side = bool(self.random.integers(2)), int(self.random.choice([1, 3]))
        outputs = shape[3] if deep else int(self.random.choice([1, 2, 4]))
        options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": networks.SAME}
        weights = self.random.standard_normal((1, side, side, outputs) if deep else (outputs, side, side, shape[3]))
        given = [
            self._constant(values.astype(np.float32)) for values in (weights, self.random.standard_normal(outputs))
        ]
        name, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if deep else ("CONV_2D", "Conv2DOptions")
        options |= {"depthMultiplier": 1} if deep else {}
        activation = int(self.random.choice([0, 0, 1, 3]))
        self._made(name, [x, *given], (*shape[:3], outputs), kind, fusedActivationFunction=activation, **options)

    def _dense(self, x: int) -> None:
        shape, outputs = self.shapes[x], int(self.random.choice([1, 3, 4]))
        weights = self.random.standard_normal((outputs, shape[-1])).astype(np.float32)
        if self.random.random() < 0.3 and len(shape) > 2:
            self._made(
                "BATCH_MATMUL", [x, self._constant(weights.T.copy())], (*shape[:-1], outputs), "BatchMatMulOptions"
            )
            return
        if len(shape) != 2:
            rows = (prod(shape[:-1]), shape[-1])
            told = self._constant(np.array(rows, np.int32))
            self._made("RESHAPE", [x, told], rows, "ReshapeOptions", newShape=list(rows))
            x, shape = list(self.shapes)[-1], rows
        bias = self._constant(self.random.standard_normal(outputs).astype(np.float32))
        self._made("FULLY_CONNECTED", [x, self._constant(weights), bias], (shape[0], outputs), "FullyConnectedOptions")

    def _joined(self, x: int) -> None:
        shape = self.shapes[x]
        axis = int(self.random.integers(len(shape)))

        def apart(other: tuple[int, ...]) -> bool:
            return len(other) == len(shape) and all(
                a == b for k, (a, b) in enumerate(zip(other, shape, strict=True)) if k != axis
            )

        others = [t for t, other in self.shapes.items() if apart(other)]
        other = int(self.random.choice(others))
        made = tuple(n + (self.shapes[other][axis] if k == axis else 0) for k, n in enumerate(shape))
        self._made("CONCATENATION", [x, other], made, "ConcatenationOptions", axis=axis)

    def _reduced(self, x: int) -> None:
        shape = self.shapes[x]
        axes = sorted({int(self.random.integers(1, len(shape))) for _ in range(2)}) if len(shape) > 1 else [0]
        made = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        name = str(self.random.choice(["MEAN", "SUM", "REDUCE_MAX"]))
        self._made(name, [x, self._constant(np.array(axes, np.int32))], made, "ReducerOptions", keepDims=True)
        if made[-1] == shape[-1] or prod(made) == 1:
            self._made("MUL", [x, list(self.shapes)[-1]], shape, "MulOptions")

    def _softmax(self, x: int) -> None:
        self._made("SOFTMAX", [x], self.shapes[x], "SoftmaxOptions", beta=1.0)

    def _padded(self, x: int) -> None:
        shape = self.shapes[x]
        amounts = self.random.integers(0, 2, (len(shape), 2)).astype(np.int32)
        amounts[0] = 0
        made = tuple(int(n + sum(pair)) for n, pair in zip(shape, amounts, strict=True))
        self._made("PAD", [x, self._constant(amounts)], made, "PadOptions")

    def _again(self, x: int) -> None:
        """An operator on constants alone, added to something."""
        shape = self.shapes[x]
        value = self.net.operator("EXP", [self._constant(self.random.standard_normal(shape).astype(np.float32))], shape)
        self._made("ADD", [x, value], shape, "AddOptions")

    def save(self, path: Path) -> Path:
        """Write it; what nobody reads is an output, unless that are too many."""
        read = {t for operator in self.net.subgraph.operators for t in operator.inputs}
        made = [t for t in self.shapes if t not in read and t not in self.net.subgraph.inputs]
        kept = made[-4:] or [list(self.shapes)[-1]]
        if self.random.random() < 0.3:
            inner = [t for t in self.shapes if t in read and t not in self.net.subgraph.inputs]
            kept += inner[-1:]
        return self.net.save(path, *kept)


def tried(seed: int, folder: Path) -> Counter[str]:
    """What came of a seed, counted; files of what is wrong stay in the folder."""
    counts = Counter[str]()
    generator = Generator(seed)
    for _ in range(int(generator.random.integers(3, 40))):
        generator.grow()
    path = generator.save(folder / f"{seed}.tflite")
    try:
        run.interpreter(path).invoke()
    except (Unsupported, RuntimeError, ValueError):
        path.unlink()
        return Counter(invalid=1)
    counts["networks"] += 1
    wrong = False
    for runtime in RUNTIMES:
        with tempfile.TemporaryDirectory() as out:
            try:
                told = WaistOptimizer().optimize(path, networks.signature(path), chosen(runtime), Path(out))
            except Exception:  # noqa: BLE001  a study keeps whatever goes wrong
                told, wrong = None, True
                counts["errors"] += 1
                sys.stdout.write(f"{seed} {runtime}\n{traceback.format_exc()}\n")
        if told is None:
            continue
        counts["rewritten"] += told.file is not None
        counts["refused"] += sum(told.refused.values())
        stopped = [note for note in told.notes if note.startswith("not rewritten")]
        if stopped:
            wrong = True
            counts["stopped"] += 1
            sys.stdout.write(f"{seed} {runtime}: {stopped[0]}\n")
    if not wrong:
        path.unlink()
    return counts


def main() -> None:
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="edgekit-rewrites-"))
    folder.mkdir(parents=True, exist_ok=True)
    counts, seed, end = Counter[str](), options.seed, time.monotonic() + options.seconds
    while time.monotonic() < end:
        counts += tried(seed, folder)
        seed += 1
        sys.stdout.flush()
    sys.stdout.write(f"seeds {options.seed}..{seed - 1}: {dict(counts)}; kept in {folder}\n")


if __name__ == "__main__":
    main()
