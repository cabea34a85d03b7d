"""Generated networks whose channels are apart, which their layers make up for: in a row, joined, shuffled, summed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import networks

RELU6 = networks.schema.ActivationFunctionType.RELU6
COUNT = 8
OPTIONS: dict[str, Any] = {"strideH": 1, "strideW": 1, "padding": networks.SAME}
DILATION = {"dilationHFactor": 1, "dilationWFactor": 1}


class Net(networks.Network):
    """Convolutions whose channels are up to 30:1 apart, and what lies between them. Images are ``[1, 8, 8, C]``."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        self.sizes: dict[int, Any] = {}

    def conv(
        self, x: int, made: int = COUNT, *, activation: int = networks.RELU, kernel: int = 1, like: int | None = None
    ) -> int:
        """A convolution that makes up for the sizes of what it reads, and whose channels have those of ``like``."""
        read = self.sizes.get(x, np.ones(3))
        sizes = 10 ** self.random.uniform(-1.5, 0, made) if like is None else self.sizes[like]
        weights = self.random.standard_normal((made, kernel, kernel, len(read))) / read / np.sqrt(kernel**2 * len(read))
        name = f"k{len(self.subgraph.tensors)}"
        held = [self.constant(name, (weights * sizes[:, None, None, None]).astype("f"))]
        held.append(self.constant(f"{name}b", (self.random.standard_normal(made) * sizes / 4).astype("f")))
        fixed = OPTIONS | DILATION | {"fusedActivationFunction": activation}
        shape = (*self.subgraph.tensors[x].shape[:3], made)
        found = self.operator("CONV_2D", [x, *held], shape, kind="Conv2DOptions", **fixed)
        self.sizes[found] = sizes
        return found

    def join(self, *operands: int) -> int:
        sizes = np.concatenate([self.sizes[one] for one in operands])
        shape = (*self.subgraph.tensors[operands[0]].shape[:3], len(sizes))
        found = self.operator("CONCATENATION", [*operands], shape, kind="ConcatenationOptions", axis=3)
        self.sizes[found] = sizes
        return found

    def shuffled(self, x: int, groups: int = 2) -> int:
        """Channels dealt out anew: reshaped, transposed and flattened."""
        count = len(self.sizes[x])
        inner = (1, 8, 8, groups, count // groups)
        order = self.constant(f"order{x}", np.array([0, 1, 2, 4, 3], np.int32))
        apart = self.reshaped(x, inner)
        turned = self.operator("TRANSPOSE", [apart, order], (1, 8, 8, count // groups, groups), kind="TransposeOptions")
        found = self.reshaped(turned, (1, 8, 8, count))
        self.sizes[found] = self.sizes[x].reshape(groups, -1).T.ravel()
        return found

    def reshaped(self, x: int, shape: tuple[int, ...]) -> int:
        to = self.constant(f"shape{x}", np.array(shape, np.int32))
        return self.operator("RESHAPE", [x, to], shape, kind="ReshapeOptions", newShape=list(shape))

    def half(self, x: int, first: int) -> int:
        """Half of the channels, from one on."""
        count = len(self.sizes[x]) // 2
        ends = [self.constant(f"{name}{x}", np.array(at, np.int32)) for name, at in
                (("begin", [0, 0, 0, first]), ("size", [1, 8, 8, count]))]  # fmt: skip
        found = self.operator("SLICE", [x, *ends], (1, 8, 8, count), kind="SliceOptions")
        self.sizes[found] = self.sizes[x][first : first + count]
        return found

    def sum(self, one: int, other: int) -> int:
        found = self.operator(
            "ADD", [one, other], self.subgraph.tensors[one].shape, kind="AddOptions", fusedActivationFunction=0
        )
        self.sizes[found] = np.maximum(self.sizes[one], self.sizes[other])
        return found

    def pooled(self, x: int) -> int:
        """The least value around each image, then the largest of four neighbours: a pool as PyTorch pads it."""
        around = self.constant(f"around{x}", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        least = self.constant(f"least{x}", np.array(-3.4e38, np.float32))
        count = len(self.sizes[x])
        padded = self.operator("PADV2", [x, around, least], (1, 10, 10, count), kind="PadV2Options")
        size = {"filterHeight": 3, "filterWidth": 3, "padding": networks.VALID, "strideH": 1, "strideW": 1}
        found = self.operator("MAX_POOL_2D", [padded], (1, 8, 8, count), kind="Pool2DOptions", **size)
        self.sizes[found] = self.sizes[x]
        return found


def shuffles(net: Net, x: int) -> int:
    """Two units of ShuffleNet: half of the channels goes on as it is."""
    x = net.join(net.conv(x), net.conv(x))
    for _ in range(2):
        x = net.shuffled(x)
        x = net.join(net.half(x, 0), net.conv(net.half(x, COUNT), kernel=3))
    return x


def residual(net: Net, x: int) -> int:
    """Sums of a row of layers and what goes around them, the last one with channels of three layers."""
    x = net.conv(x)
    for _ in range(2):
        x = net.sum(x, net.conv(net.conv(x), activation=0, like=x))
    return x


def dense(net: Net, x: int) -> int:
    """Each layer reads all before it."""
    x = net.conv(x)
    for _ in range(2):
        x = net.join(x, net.conv(x))
    return net.pooled(x)


KINDS: dict[str, Callable[[Net, int], int]] = {"shuffles": shuffles, "residual": residual, "dense": dense}


def branched(path: Path, kind: str, seed: int) -> Path:
    """A network of one of `KINDS` with a layer behind it → ``[1, 8, 8, 5]``."""
    net = Net(seed)
    return net.save(path, net.conv(KINDS[kind](net, net.input("x", (1, 8, 8, 3))), 5, activation=0))


def in_a_row(path: Path, seed: int, *, activation: int = networks.RELU, depthwise: bool = True) -> Path:
    """Convolutions in a row whose activations have channels up to 30:1 apart, which the layers behind make up for."""
    random = np.random.default_rng(seed)
    sizes = 10 ** random.uniform(-1.5, 0, 16)
    net = networks.Network()
    x = net.input("x", (1, 8, 8, 3))
    options: dict[str, Any] = {
        "strideH": 1,
        "strideW": 1,
        "padding": networks.SAME,
        "fusedActivationFunction": activation,
    }
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}

    def constants(name: str, weights: Any, count: int) -> list[int]:
        return [net.constant(f"{name}k", weights.astype(np.float32)), net.constant(f"{name}b", np.zeros(count, "f"))]

    first = random.standard_normal((16, 3, 3, 3)) * sizes[:, None, None, None] / 3
    h = net.operator("CONV_2D", [x, *constants("a", first, 16)], (1, 8, 8, 16), kind="Conv2DOptions", **options)
    if depthwise:
        middle = random.standard_normal((1, 3, 3, 16))
        depth = options | {"depthMultiplier": 1, "kind": "DepthwiseConv2DOptions"}
        h = net.operator("DEPTHWISE_CONV_2D", [h, *constants("d", middle, 16)], (1, 8, 8, 16), **depth)
    last = random.standard_normal((8, 1, 1, 16)) / sizes
    linear = options | {"fusedActivationFunction": 0}
    return net.save(
        path, net.operator("CONV_2D", [h, *constants("z", last, 8)], (1, 8, 8, 8), kind="Conv2DOptions", **linear)
    )


def chain(path: Path, *, spread: float = 1.0, activation: int = networks.RELU, seed: int = 0) -> Path:
    """Convolution, depthwise (multiplier 2), grouped convolution, pool, flatten, dense → [1, 5].

    Channels of each hidden tensor are ``spread`` apart, and the float function does not depend on it.
    """
    random = np.random.default_rng(seed)
    apart = [spread ** random.uniform(-0.5, 0.5, n) for n in (8, 16, 12)]
    net = networks.Network()
    x = net.input("image", (1, 6, 6, 3))

    def convolved(name: str, builtin: str, value: int, kernel: Any, before: Any, after: Any, **options: Any) -> int:
        """The layer with what it reads multiplied, and what it makes too."""
        groups = len(before) // kernel.shape[-1]
        if builtin == "DEPTHWISE_CONV_2D":
            kernel = kernel / np.repeat(before, 2) * after
        else:
            taken = np.repeat(before.reshape(groups, -1), len(kernel) // groups, 0)[:, None, None]
            kernel = kernel / taken * after.reshape(-1, 1, 1, 1)
        bias = random.standard_normal(len(after)) * 0.1 * after
        constants = [net.constant(f"k_{name}", kernel.astype("f")), net.constant(f"b_{name}", bias.astype("f"))]
        options |= OPTIONS | DILATION | {"fusedActivationFunction": activation}
        return net.operator(builtin, [value, *constants], (1, 6, 6, len(after)), name=name, **options)

    x = convolved("a", "CONV_2D", x, networks.weights(8, 3, 3, 3), np.ones(3), apart[0], kind="Conv2DOptions")
    weights = networks.weights(16, 3, 3).transpose(1, 2, 0)[None]
    x = convolved(
        "b", "DEPTHWISE_CONV_2D", x, weights, apart[0], apart[1], kind="DepthwiseConv2DOptions", depthMultiplier=2
    )
    x = convolved("c", "CONV_2D", x, networks.weights(12, 1, 1, 8), apart[1], apart[2], kind="Conv2DOptions")
    pool = {"kind": "Pool2DOptions", "padding": networks.VALID, "strideW": 3, "strideH": 3}
    x = net.operator("MAX_POOL_2D", [x], (1, 2, 2, 12), filterWidth=3, filterHeight=3, **pool)
    x = net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 48], np.int32))], (1, 48), kind="ReshapeOptions")
    kernel = net.constant("k_d", (networks.weights(5, 48) / np.tile(apart[2], 4)).astype("f"))
    bias = net.constant("b_d", np.zeros(5, "f"))
    return net.save(path, net.operator("FULLY_CONNECTED", [x, kernel, bias], (1, 5), kind="FullyConnectedOptions"))
