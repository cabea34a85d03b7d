"""A network: what goes in and out, how it is read, and what it becomes first."""

import math
from typing import Literal

from edgekit.errors import InputError
from edgekit.nouns.base import Noun
from edgekit.nouns.description import ImageInput

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8", "int4"]
"""How an artifact computes, in the field's names; ``dynamic-int8`` and ``int4`` quantize weights only."""


CALIBRATED: frozenset[Precision] = frozenset({"int8", "int16x8"})
"""Precisions whose activations are quantized, so that they need samples."""


WEIGHTS_ONLY: frozenset[Precision] = frozenset({"dynamic-int8", "int4"})
"""Precisions of which weights alone are quantized, so that samples, if there are any, tell how to round them."""


FLOATS: frozenset[Precision] = frozenset({"float32", "float16"})
"""Precisions whose files must agree with the source; a quantized one may only be worse."""


Boundary = Literal["float32", "int8", "uint8"]
"""The dtype of a full-integer artifact's inputs and outputs."""


class TensorSpec(Noun, frozen=True, kw_only=True):
    """One input or output of a network, as the file has it and as its source has it.

    ``shape`` is fixed and includes the batch dimension. ``permutation`` maps layouts: axis *k* of
    the file's tensor is axis ``permutation[k]`` of the source's; None if they are the same.
    ``scale`` and ``zero_point`` are None for tensors that are not quantized
    (real = scale * (stored - zero_point)). ``index_below`` is set for integer inputs that index a
    table: the size of the smallest table, which every value must stay below; ``index_from`` is the
    least, if it is another than 0 (a number of keys, a mask that must not hide any). ``image`` is set if
    the file takes the bytes of an image (in RGB, or grey) and makes the source's numbers of them
    itself, as it says.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str | None = None
    scale: float | None = None
    zero_point: int | None = None
    source_name: str
    source_shape: tuple[int, ...]
    source_dtype: str
    source_layout: str | None = None
    permutation: tuple[int, ...] | None = None
    index_below: int | None = None
    index_from: int = 0
    image: ImageInput | None = None

    @property
    def chooses(self) -> bool:
        """Whether it is one choice for each sample, or scores of which the highest is one (see `top1_agreement`)."""
        if self.source_dtype.startswith("float"):
            return len(self.source_shape) == 2 and self.source_shape[0] == 1 and self.source_shape[1] > 1
        return self.source_dtype not in {"int8", "uint8"}


class Signature(Noun, frozen=True, kw_only=True):
    """What goes in and what comes out, in the file's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Model(Noun, frozen=True, kw_only=True):
    """A network at rest.

    ``precision`` is that of the file: ``int8`` or ``int16x8`` if it brings integers (and their scales) for
    its activations, ``dynamic-int8``, ``int4`` or ``float16`` if only its weights are stored so.
    ``format`` is one of ``edgekit.sources.FORMATS``, or the name of another distribution's source. For a source
    the signature's file side and source side are the same. ``companions`` are files beside it that hold part of
    it (ONNX external data), relative to its folder. ``batch`` is how many samples the file itself takes at once if
    the signature is that of one, else 1.
    """

    name: str
    file: str
    sha256: str
    format: str
    precision: Precision = "float32"
    producer: str | None = None
    opset: int | None = None
    bytes: int
    signature: Signature
    companions: tuple[str, ...] = ()
    batch: int = 1
    warnings: tuple[str, ...] = ()


class SourceOptions(Noun, frozen=True, kw_only=True):
    """What a user may say about how a source is read.

    ``shapes`` gives inputs their sizes, by name: of dynamic dimensions, or other ones than the file has.
    ``custom_objects``: ``module:function``, gives name → object. ``constants`` binds inputs for good;
    between ``inputs`` and ``outputs``, names of tensors, it is cut out.

    Raises:
        InputError: a constant is infinite or no number, which neither keys nor manifests can hold.
    """

    shapes: dict[str, tuple[int, ...]] = {}
    custom_objects: str | None = None
    keep_layout: bool = False
    allow_unsafe: bool = False
    constants: dict[str, tuple[bool | int | float, ...]] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that all constants are numbers."""
        for name, values in self.constants.items():
            if not all(map(math.isfinite, values)):
                raise InputError(
                    f"{name} cannot be bound to {', '.join(map(str, values[:4]))}: only finite numbers can be kept.",
                    place=f"--constant {name}",
                    fix=f"give a large number instead: --constant {name}=3e38",
                )


class Waist(Noun, frozen=True, kw_only=True):
    """What every source becomes: a float TFLite file. ``warnings`` are what whoever uses it must know or do.

    ``unshown`` is what may be wrong in it without being seen on made-up inputs. ``input_ranges``: by source name, the
    lowest and highest value that the network's first layer expects, where the file does not show it any more.
    """

    file: str
    signature: Signature
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()
    input_ranges: dict[str, tuple[float, float]] = {}


class Divergence(Noun, frozen=True, kw_only=True):
    """The first tensor, in execution order, where two networks stop agreeing."""

    tensor: str
    operator: str
    sqnr_db: float


class Cost(Noun, frozen=True, kw_only=True):
    """What a network needs, whatever the machine.

    ``macs`` counts multiply-accumulates of one inference; ``peak_activation_bytes`` is the largest
    sum of activations alive at once in the file's operator order. ``notes`` say what is not known of these.
    """

    bytes: int
    parameters: int
    macs: int
    peak_activation_bytes: int
    operators: dict[str, int]
    notes: tuple[str, ...] = ()


Constant = tuple[bool | int | float, ...]
"""What an input is bound to: its values in row-major order, or one value for all of them."""


class TensorRow(Noun, frozen=True, kw_only=True):
    """A tensor inside a source: where a network can be cut.

    ``shape`` and ``dtype`` are None if they are known only while it runs. ``operator`` makes it
    (``input`` for inputs); ``output`` is True for the network's outputs.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str | None
    operator: str
    output: bool = False
