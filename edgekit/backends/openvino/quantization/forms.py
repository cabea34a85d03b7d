"""The forms in which a network may be quantized: as it was read, with equalized weights, with evened channels."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgekit.backends.openvino import half_precision, kept, numbering
from edgekit.backends.openvino.libraries import nncf, operators, ov
from edgekit.backends.openvino.quantization import equalization, evening, named, reached
from edgekit.backends.openvino.quantization.reached import Reach
from edgekit.backends.openvino.reading import masks
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.nouns.quantization import Settings

RECURRENT = ("LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell")
"""Operators that stay float: the CPU plugin's int8 kernel for them computes something else.

Measured on DTLN's two LSTMs (OpenVINO 2026.4.1): the quantized model gives 37 dB in memory, where
the LSTM runs as a loop, and 2.6 dB when it is read from its file, where it runs on the int8 kernel.
"""


class NncfForm(NamedTuple):
    """A network as it may be quantized; ``pairs`` of layers are equalized, inputs go as far as ``reaches``.

    ``evened``: so are its channels. ``told`` is what makes it again, where that needs a word.
    """

    model: Any
    pairs: int = 0
    reaches: Mapping[str, Reach] = {}
    evened: bool = False

    @property
    def told(self) -> Settings:
        """The setting of equalization that makes it again. Equalized weights need none: they come first untried."""
        return {} if self.pairs else {"equalization": "activations" if self.evened else "off"}


class NncfReady(NamedTuple):
    """A float network that NNCF may take, what stays float in it by reason, and what NNCF is told of it.

    ``known``: the names that it was read with.
    """

    model: Any
    floats: dict[str, frozenset[str]]
    options: dict[str, Any]
    known: frozenset[str]
    recurrent: bool
    transformer: bool


def prepared(model: Any, settings: NncfSettings, samples: list[dict[str, Any]]) -> NncfReady:
    """A float ``openvino.Model`` made ready for NNCF, in place; ``samples`` by input name.

    Raises:
        InputError: an operator that is to stay float is not there.
        Unsupported: it is meant by its place.
    """
    known = numbering.names(model)
    masks.part(model)
    _apart_from_odd_inputs(model)
    numbering.settle(model, known)
    recurrent = any(node.get_type_name() in RECURRENT for node in model.get_ordered_ops())
    floats = kept.names(model, samples)
    if recurrent or kept.SPECTRA in floats:
        half_precision.compress(model)
    transformer = settings.model_type == "transformer" or (settings.model_type == "auto" and has_attention(model))
    if settings.float_operators:
        floats |= {"they were asked for": named.nodes(model, settings.float_operators)}
    return NncfReady(model, floats, _options(settings, floats, transformer=transformer), known, recurrent, transformer)


def of(model: Any, settings: NncfSettings) -> Iterator[NncfForm]:
    """The network, and equalized if that is asked for, or if all weights of a layer have one scale."""
    found = None
    if settings.equalization == "on" or (settings.equalization == "auto" and not settings.per_channel):
        found = NncfForm(*equalization.equalized(model))
    if found is None or not found.pairs or settings.equalization == "auto":
        yield NncfForm(model)
    if found is not None and found.pairs:
        yield found


def evened(model: Any, settings: NncfSettings, samples: list[dict[str, Any]]) -> NncfForm | None:
    """The network with evened channels, if that is wanted and gains something."""
    if settings.equalization not in {"auto", "activations"} or not settings.per_channel:
        return None
    made = evening.evened(model, samples[: settings.subset_size])
    return None if made is None else NncfForm(made, evened=True)


def reaching(form: NncfForm, settings: NncfSettings, samples: list[dict[str, Any]]) -> NncfForm:
    """A form with what is known of its layers' inputs: nothing if NNCF aligns channels, since that scales them."""
    if settings.overflow_fix != "enable" or settings.equalization == "on":
        return form
    return form._replace(reaches=reached.inputs(form.model, samples[: settings.subset_size]))


PLAIN = frozenset({"f32", "f16", "bf16", "i8", "u8", "i32", "i64", "boolean"})
"""Element types of inputs that the CPU's integer kernels read."""


def _apart_from_odd_inputs(model: Any) -> None:
    """Keep rounding apart from inputs of other types (16 bits, doubles): the plugin would fuse both, and then fails."""
    for parameter in model.get_parameters():
        if parameter.get_element_type().get_type_name() in PLAIN:
            continue
        for target in parameter.output(0).get_target_inputs():
            node = target.get_node()
            if node.get_type_name() == "Convert" and node.get_output_element_type(0) == ov.Type.f32:
                least = ov.op.Constant(np.array(np.finfo(np.float32).min, np.float32))
                for reader in node.output(0).get_target_inputs():
                    reader.replace_source_output(operators.maximum(node.output(0), least).output(0))


def _options(settings: NncfSettings, floats: dict[str, frozenset[str]], *, transformer: bool) -> dict[str, Any]:
    """What NNCF is told, whatever the estimator of ranges and the way to correct biases."""
    left_float = sorted(frozenset().union(*floats.values()))
    return {
        "preset": nncf.QuantizationPreset(settings.preset),
        "target_device": nncf.TargetDevice(settings.target_device),
        "model_type": nncf.ModelType.TRANSFORMER if transformer else None,
        "ignored_scope": nncf.IgnoredScope(names=left_float, types=list(RECURRENT), validate=False),
    }


def has_attention(model: Any) -> bool:
    """Whether a product of two activations goes through a softmax into another such product."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention":
            return True
        if node.get_type_name() == "Softmax" and _product_before(node) and _product_after(node):
            return True
    return False


STEPS = frozenset(
    {"Add", "Multiply", "Divide", "Select", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Subtract"}
)
"""Operators between the products and the softmax of attention: scale, mask and heads."""


def _product_before(node: Any, depth: int = 6) -> bool:
    parents = [value.get_node() for value in node.input_values()]
    return any(
        _activations(parent) or (depth > 0 and parent.get_type_name() in STEPS and _product_before(parent, depth - 1))
        for parent in parents
    )


def _product_after(node: Any, depth: int = 6) -> bool:
    children = [user.get_node() for output in node.outputs() for user in output.get_target_inputs()]
    return any(
        _activations(child) or (depth > 0 and child.get_type_name() in STEPS and _product_after(child, depth - 1))
        for child in children
    )


def _activations(node: Any) -> bool:
    constant = {"Constant", "Convert", "FakeQuantize"}
    return node.get_type_name() == "MatMul" and not any(
        value.get_node().get_type_name() in constant for value in node.input_values()
    )
