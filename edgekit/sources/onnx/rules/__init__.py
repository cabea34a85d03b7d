"""Which operators are rewritten before conversion, and by what: one table.

A rewriting is here because onnx2tf 2.6.9 has no builtin form of the operator, computes it wrongly,
or gives a form that devices run badly.
"""

import onnx

from edgekit.sources.onnx.network import Builder, Rewrite
from edgekit.sources.onnx.rules import (
    activations,
    attention,
    bits,
    blockwise,
    contributed,
    convolution,
    grouped,
    indexing,
    normalization,
    pooling,
    products,
    resizing,
    scattering,
    sequences,
    spectral,
)
from edgekit.sources.onnx.rules.recurrent import unroll


def _first_of(*rules: Rewrite) -> Rewrite:
    def apply(builder: Builder, node: onnx.NodeProto) -> bool:
        """Whether one of the rules took the node."""
        return any(rule(builder, node) for rule in rules)

    return apply


RULES: dict[str, Rewrite] = {
    "Add": products.biased,
    "ArgMax": indexing.last_index,
    "ArgMin": indexing.last_index,
    "Asinh": activations.asinh,
    "BatchNormalization": _first_of(
        normalization.without_statistics, normalization.of_the_batch, normalization.of_as_many_channels_as_columns
    ),
    "BitwiseAnd": bits.combined,
    "BitwiseNot": bits.inverted,
    "BitwiseOr": bits.combined,
    "Clip": activations.clip,
    "ConcatFromSequence": sequences.joined,
    "Conv": _first_of(convolution.explicit_padding, convolution.by_activations, convolution.grouped_1d),
    "ConvTranspose": _first_of(convolution.sized_transposed, convolution.on_image),
    "DFT": spectral.dft,
    "DeformConv": convolution.deformable,
    "Einsum": products.einsum,
    "Elu": activations.elu,
    "Flatten": indexing.flattened_view,
    "GRU": unroll,
    "Gather": indexing.gather,
    "GatherElements": indexing.positive_indices,
    "GatherND": indexing.positive_indices,
    "GridSample": indexing.reflected_grid,
    "Identity": indexing.second_output,
    "LSTM": unroll,
    "LpNormalization": normalization.lp,
    "Gelu": contributed.tanh_gelu,
    "LpPool": _first_of(convolution.padded_lp, convolution.on_image),
    "MatMul": products.fully_connected,
    "MaxPool": _first_of(pooling.located, convolution.explicit_padding, convolution.dilated_pooling),
    "AveragePool": _first_of(convolution.explicit_padding, convolution.dilated_pooling),
    "MeanVarianceNormalization": normalization.mean_variance,
    "Mod": products.remainder,
    "PRelu": activations.prelu,
    "Pad": indexing.padding,
    "RNN": unroll,
    "ReduceLogSumExp": activations.log_sum_exp,
    "Resize": resizing.resize,
    "STFT": spectral.stft,
    "ScatterElements": _first_of(scattering.reduced, indexing.positive_indices),
    "ScatterND": _first_of(scattering.reduced, scattering.added, indexing.positive_indices),
    "Softplus": activations.softplus,
    "SequenceAt": sequences.at,
    "SequenceLength": sequences.length,
    "SimplifiedLayerNormalization": normalization.root_mean_square,
    "Slice": indexing.backward_slice,
    "Split": indexing.split_sizes,
    "com.microsoft:Attention": attention.attention,
    "com.microsoft:BiasGelu": contributed.gelu,
    "com.microsoft:EmbedLayerNormalization": normalization.embedded,
    "com.microsoft:FastGelu": contributed.fast_gelu,
    "com.microsoft:GatherBlockQuantized": blockwise.gather_blocks,
    "com.microsoft:GroupQueryAttention": grouped.grouped_query,
    "com.microsoft:Inverse": products.inverse,
    "com.microsoft:MatMulNBits": blockwise.matmul_nbits,
    "com.microsoft:MultiHeadAttention": attention.multi_head,
    "com.microsoft:QuickGelu": contributed.quick_gelu,
    "com.microsoft:RotaryEmbedding": attention.rotary,
    "com.microsoft:SkipLayerNormalization": normalization.skipped,
    "com.microsoft:SkipSimplifiedLayerNormalization": normalization.skipped_root_mean_square,
}
"""Operator (``Kind`` or ``domain:Kind``) → the rewriting tried on every node of it."""
