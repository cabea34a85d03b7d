"""Small ONNX models in ONNX's text form, one line each: what the wild is made of."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser


def build(inputs: str, body: str, outputs: str = "float[] y", opset: int = 17, **constants: Any) -> onnx.ModelProto:
    """A model from text; a constant given as a tuple is random of that shape (seeded), else an array."""
    # The highest IR version that every opset's runtime reads.
    header = f'<ir_version: 8, opset_import: ["": {opset}, "com.microsoft": 1]>'
    model = parser.parse_model(f"{header} g ({inputs}) => ({outputs}) {{ {body} }}")
    random = np.random.default_rng(len(body))
    for name, value in constants.items():
        array = random.standard_normal(value).astype(np.float32) if isinstance(value, tuple) else np.asarray(value)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def save(folder: Path, model: onnx.ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    onnx.save(model, path)
    return path


def i64(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(values, np.int64)


def f32(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(values, np.float32)


IMAGE = "float[1,3,8,8] x"  # equal height and width: a wrong transpose could hide
CUBE = "float[1,8,8,8] x"  # all equal but the batch

CASES: dict[str, onnx.ModelProto] = {
    # convolution
    "conv": build(IMAGE, "y = Conv<pads=[1,1,1,1]>(x, w, b)", w=(4, 3, 3, 3), b=(4,)),
    "conv_cube": build(CUBE, "y = Conv<pads=[1,1,1,1]>(x, w, b)", w=(8, 8, 3, 3), b=(8,)),
    "conv_relu": build(IMAGE, "t = Conv(x, w, b) y = Relu(t)", w=(4, 3, 3, 3), b=(4,)),
    "conv_bn": build(IMAGE, "t = Conv(x, w) y = BatchNormalization(t, s, b, m, v)", w=(4, 3, 3, 3), s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "conv_uneven_pads": build(IMAGE, "y = Conv<pads=[0,1,2,1], strides=[2,1]>(x, w)", w=(4, 3, 3, 3)),
    "conv_same_upper": build(IMAGE, 'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', w=(4, 3, 3, 3)),
    "conv_same_lower": build(IMAGE, 'y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', w=(4, 3, 4, 4)),
    "conv_dilated": build(IMAGE, "y = Conv<dilations=[2,2]>(x, w)", w=(4, 3, 3, 3)),
    "conv_grouped": build("float[1,4,8,8] x", "y = Conv<group=2>(x, w)", w=(6, 2, 3, 3)),
    "conv_depthwise": build("float[1,4,8,8] x", "y = Conv<group=4, pads=[1,1,1,1]>(x, w)", w=(4, 1, 3, 3)),
    "conv_depthwise_multiplier": build("float[1,4,8,8] x", "y = Conv<group=4>(x, w)", w=(8, 1, 3, 3)),
    "conv_batch": build("float[4,3,8,8] x", "y = Conv(x, w)", w=(4, 3, 3, 3)),
    "conv_dynamic_weights": build("float[2,3,8,8] x, float[4,3,3,3] w", "y = Conv(x, w)"),
    "flatten_of_reshape": build("float[4,9,20] x", "r = Relu(x) t = Reshape(r, s) u = Flatten(t) v = Reshape(u, w) y = Flatten<axis=2>(v) z = Add(t, t)", "float[] y, float[] z", s=i64(1, 36, 4, 5), w=i64(2, 3, 8, 15)),
    "correlation": build("float[1,4,9,8] x, float[1,4,3,3] z", "w = Reshape(z, s) t = Conv<group=4, pads=[1,0,0,1], strides=[2,1]>(x, w) u = Relu(z) v = Conv<dilations=[2,2]>(x, u, b) y = Relu(t) q = Sigmoid(v)", "float[] y, float[] q", s=i64(4, 1, 3, 3), b=(1,)),
    "conv1d": build("float[1,4,16] x", "y = Conv<pads=[1,1]>(x, w, b)", w=(8, 4, 3), b=(8,)),
    "conv1d_equal": build("float[1,8,8] x", "y = Conv<pads=[1,1]>(x, w)", w=(8, 8, 3)),
    "conv1d_strided_dilated": build("float[1,4,16] x", "y = Conv<strides=[2], dilations=[2]>(x, w)", w=(8, 4, 3)),
    "conv1d_depthwise": build("float[1,4,16] x", "y = Conv<group=4>(x, w)", w=(4, 1, 3)),
    "conv3d": build("float[1,2,6,6,6] x", "y = Conv<pads=[1,1,1,1,1,1]>(x, w)", w=(3, 2, 3, 3, 3)),
    "conv_transpose": build(IMAGE, "y = ConvTranspose<strides=[2,2]>(x, w, b)", w=(3, 4, 2, 2), b=(4,)),
    "conv_transpose_padded": build(IMAGE, "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, w)", w=(3, 4, 3, 3)),
    "conv_transpose_grouped": build("float[1,4,5,5] x", "y = ConvTranspose<group=2, strides=[2,2]>(x, w)", w=(4, 2, 3, 3)),
    "conv_transpose_depthwise": build("float[1,4,5,5] x", "y = ConvTranspose<group=4, strides=[2,2]>(x, w)", w=(4, 1, 3, 3)),
    "conv_transpose_dilated": build(IMAGE, "y = ConvTranspose<dilations=[2,2]>(x, w)", w=(3, 4, 3, 3)),
    "conv_transpose1d": build("float[1,4,8] x", "y = ConvTranspose<strides=[2]>(x, w, b)", w=(4, 5, 3), b=(5,)),
    "conv_transpose3d": build("float[1,2,4,4,4] x", "y = ConvTranspose<strides=[2,2,2]>(x, w)", w=(2, 3, 2, 2, 2)),
    # pooling
    "max_pool": build(IMAGE, "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)"),
    "max_pool_ceil": build("float[1,3,7,7] x", "y = MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)"),
    "max_pool_dilated": build(IMAGE, "y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)"),
    "max_pool1d": build("float[1,3,9] x", "y = MaxPool<kernel_shape=[3], strides=[2]>(x)"),
    "max_pool3d": build("float[1,3,6,6,6] x", "y = MaxPool<kernel_shape=[2,2,2], strides=[2,2,2]>(x)"),
    "average_pool": build(IMAGE, "y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)"),
    "average_pool_padded": build(IMAGE, "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)"),
    "average_pool_count_pad": build(IMAGE, "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(x)"),
    "average_pool_ceil": build("float[1,3,7,7] x", "y = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)"),
    "global_average_pool": build(IMAGE, "y = GlobalAveragePool(x)"),
    "global_average_pool1d": build("float[1,3,8] x", "y = GlobalAveragePool(x)"),
    "global_max_pool": build(IMAGE, "y = GlobalMaxPool(x)"),
    "lp_pool": build(IMAGE, "y = LpPool<kernel_shape=[2,2], p=2>(x)"),
    # normalization
    "layer_norm": build("float[1,6,8] x", "y = LayerNormalization<axis=-1>(x, s, b)", s=(8,), b=(8,)),
    "layer_norm_two_axes": build("float[1,4,6,8] x", "y = LayerNormalization<axis=2>(x, s)", s=(6, 8)),
    "group_norm": build("float[1,4,5,5] x", "y = GroupNormalization<num_groups=2>(x, s, b)", opset=21, s=(4,), b=(4,)),
    "group_norm_18": build("float[1,4,5,5] x", "y = GroupNormalization<num_groups=2>(x, s, b)", opset=18, s=(2,), b=(2,)),
    "instance_norm": build(IMAGE, "y = InstanceNormalization(x, s, b)", s=(3,), b=(3,)),
    "instance_norm1d": build("float[1,3,8] x", "y = InstanceNormalization(x, s, b)", s=(3,), b=(3,)),
    # channels as many as columns, behind what no normalization is folded into
    "batch_norm_cube": build(CUBE, "t = Relu(x) y = BatchNormalization(t, s, b, m, v)", s=(8,), b=(8,), m=(8,), v=f32(*range(1, 9))),
    "batch_norm_cube_between": build(CUBE, "t = Conv(x, w) r = Relu(t) n = BatchNormalization(r, s, b, m, v) y = Conv(n, w2)", w=(8, 8, 1, 1), w2=(4, 8, 1, 1), s=(8,), b=(8,), m=(8,), v=f32(*range(1, 9))),
    "batch_norm_cube_folded": build(CUBE, "t = Conv(x, w) y = BatchNormalization(t, s, b, m, v)", w=(8, 8, 1, 1), s=(8,), b=(8,), m=(8,), v=f32(*range(1, 9))),
    "batch_norm_cube_beside": build(CUBE, "t = Conv(x, w) n = BatchNormalization(t, s, b, m, v) y = Add(t, n)", w=(8, 8, 1, 1), s=(8,), b=(8,), m=(8,), v=f32(*range(1, 9))),
    "batch_norm_square": build("float[1,4,4] x", "t = Relu(x) y = BatchNormalization<epsilon=0.1>(t, s, b, m, v)", s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "batch_norm1d": build("float[1,4,8] x", "y = BatchNormalization(x, s, b, m, v)", s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "batch_norm_vector": build("float[1,4] x", "y = BatchNormalization(x, s, b, m, v)", s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "batch_norm3d": build("float[1,4,3,3,3] x", "y = BatchNormalization(x, s, b, m, v)", s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "rms_norm": build("float[1,6,8] x", "y = RMSNormalization(x, s)", opset=23, s=(8,)),
    "lrn": build("float[1,6,4,4] x", "y = LRN<size=3>(x)"),
    "mean_variance_norm": build(IMAGE, "y = MeanVarianceNormalization(x)"),
    "lp_norm": build("float[1,6] x", "y = LpNormalization<p=2, axis=1>(x)"),
    "lp_norm_1": build("float[1,6] x", "y = LpNormalization<p=1, axis=1>(x)"),
    # activations
    **{
        name.lower(): build(IMAGE, f"y = {name}(x)")
        for name in (
            "Relu", "Sigmoid", "Tanh", "Elu", "Selu", "Softplus", "Softsign", "LeakyRelu", "HardSigmoid", "HardSwish",
            "Erf", "Abs", "Neg", "Exp", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh",
            "Asinh", "Reciprocal", "Identity", "Mish", "Celu", "ThresholdedRelu",
        )
        if name != "Mish"
    },
    **{
        name.lower(): build(IMAGE, f"p = Sigmoid(x) y = {name}(p)")
        for name in ("Log", "Sqrt", "Asin", "Acos", "Atanh")
    },
    "acosh": build(IMAGE, "p = Exp(x) q = Add(p, one) y = Acosh(q)", one=np.float32(1)),
    "mish": build(IMAGE, "y = Mish(x)", opset=18),
    "functions": build(
        "float[1,3,4,5] x",
        "p = Sigmoid(x) acos = Acos(p) asin = Asin(p) atanh = Atanh(p) log = Log(p) asinh = Asinh(x) atan = Atan(x)"
        " sinh = Sinh(x) cosh = Cosh(x) sin = Sin(x) tan = Tan(x) ceil = Ceil(x) celu = Celu(x) selu = Selu(x)",
        ", ".join(f"float[] {name}" for name in (
            "acos", "asin", "atanh", "log", "asinh", "atan", "sinh", "cosh", "sin", "tan", "ceil", "celu", "selu"
        )),
    ),
    "reductions": build(
        "float[1,3,4,5] x",
        "all = Sum(x, x, x) least = ReduceMin<axes=[1]>(x) product = ReduceProd<axes=[2,3]>(x) sizes = ReduceL1<axes=[-1]>(x)"
        " squares = ReduceSumSquare<axes=[1,2]>(x) p = Exp(x) log = ReduceLogSum<axes=[3]>(p) first = ArgMin<axis=2>(x)",
        "float[] all, float[] least, float[] product, float[] sizes, float[] squares, float[] log, int64[] first",
    ),
    "gelu": build("float[1,6,8] x", "y = Gelu(x)", opset=20),
    "gelu_tanh": build("float[1,6,8] x", 'y = Gelu<approximate="tanh">(x)', opset=20),
    "gelu_erf": build("float[1,6,8] x", "a = Div(x, r) e = Erf(a) p = Add(e, o) m = Mul(x, p) y = Mul(m, h)", r=np.float32(1.4142135), o=np.float32(1), h=np.float32(0.5)),
    "prelu": build(IMAGE, "y = PRelu(x, s)", s=(3, 1, 1)),
    "clip": build(IMAGE, "y = Clip(x, a, b)", a=np.float32(-0.5), b=np.float32(0.7)),
    "clip_low": build(IMAGE, "y = Clip(x, a)", a=np.float32(-0.5)),
    "swish": build(IMAGE, "s = Sigmoid(x) y = Mul(x, s)"),
    "shrink": build(IMAGE, "y = Shrink<lambd=0.5, bias=0.1>(x)"),
    "softmax": build("float[1,6,8] x", "y = Softmax<axis=-1>(x)"),
    "softmax_channels": build(IMAGE, "y = Softmax<axis=1>(x)"),
    "softmax_old": build("float[1,3,4,5] x", "y = Softmax<axis=1>(x)", opset=11),
    "log_softmax": build("float[1,6,8] x", "y = LogSoftmax<axis=1>(x)"),
    "hardmax": build("float[1,6] x", "y = Hardmax<axis=1>(x)"),
    # arithmetic and comparison
    "add_broadcast": build("float[1,3,8,8] x, float[3,1,1] z", "y = Add(x, z)"),
    "outer_product": build("float[1,8] x", "r = Reshape(x, rs) c = Reshape(x, cs) y = Mul(r, c)", rs=i64(1, 1, 1, 8), cs=i64(1, 1, 8, 1)),
    "outer_difference": build("float[2,8] x", "r = Reshape(x, rs) c = Reshape(x, cs) y = Sub(c, r)", rs=i64(2, 1, 1, 8), cs=i64(2, 1, 8, 1)),
    "add_rows": build("float[1,8,8,8] x, float[8] z", "y = Add(x, z)"),
    "sub_div": build("float[1,3,4] x, float[1,3,1] z", "e = Exp(z) d = Div(x, e) y = Sub(d, z)"),
    "pow": build(IMAGE, "a = Abs(x) y = Pow(a, e)", e=np.float32(1.7)),
    "pow_square": build(IMAGE, "y = Pow(x, e)", e=np.float32(2)),
    "mod": build("float[1,8] x", "y = Mod<fmod=1>(x, d)", d=np.float32(0.7)),
    "max_of_three": build("float[1,4] a, float[1,4] b, float[4] c", "y = Max(a, b, c)"),
    "mean_of_two": build("float[1,4] a, float[1,4] b", "y = Mean(a, b)"),
    "sum_of_three": build("float[1,4] a, float[1,4] b, float[4] c", "y = Sum(a, b, c)"),
    "where": build("float[1,4,5] x, float[1,4,5] z", "c = Greater(x, z) y = Where(c, x, z)"),
    "where_of_integers": build("float[6,6] x", "i = Cast<to=7>(x) c = Greater(i, k) y = Where(c, i, v) z = Where(r, i, k)", "int64[] y, int64[] z", k=np.int64(-1), v=i64(3, 1, 4, 1, 5, 9), r=np.asarray([1, 0, 1, 0, 0, 1], bool)),
    "where_broadcast": build("float[1,4,5] x", "c = Greater(x, k) y = Where(c, x, k)", k=np.float32(0.1)),
    "logic": build("float[1,4] x, float[1,4] z", "a = Less(x, z) b = Greater(x, o) c = And(a, b) d = Or(c, a) e = Xor(d, b) f = Not(e) y = Cast<to=1>(f)", o=np.float32(0)),
    "less_or_equal": build("float[1,4] x, float[1,4] z", "a = LessOrEqual(x, z) b = GreaterOrEqual(x, z) c = Equal(a, b) y = Cast<to=1>(c)"),
    "bool_output": build("float[1,4] x", "y = Greater(x, o)", "bool[] y", o=np.float32(0)),
    "cumsum": build("float[2,5] x", "y = CumSum(x, a)", a=np.int64(1)),
    "cumsum_exclusive_reverse": build("float[2,5] x", "y = CumSum<exclusive=1, reverse=1>(x, a)", a=np.int64(1)),
    "is_nan": build("float[1,4] x", "n = IsNaN(x) y = Cast<to=1>(n)"),
    "is_inf": build("float[1,4] x", "n = IsInf(x) y = Cast<to=1>(n)"),
    "integers": build("int64[1,4] x", "a = Mul(x, two) b = Add(a, three) y = Div(b, two)", "int64[] y", two=i64(2), three=i64(3)),
    "int32_input": build("int32[1,4] x", "y = Cast<to=1>(x)"),
    "bool_input": build("bool[1,4] x", "y = Cast<to=1>(x)"),
    "uint8_image": build("uint8[1,3,8,8] x", "f = Cast<to=1>(x) y = Conv(f, w)", w=(4, 3, 3, 3)),
    # products
    "gemm": build("float[1,8] x", "y = Gemm<transB=1>(x, w, b)", w=(4, 8), b=(4,)),
    "gemm_scaled": build("float[2,8] x", "y = Gemm<alpha=0.5, beta=2.0, transA=1>(x, w, b)", w=(2, 4), b=(8, 4)),
    "matmul": build("float[1,6,8] x", "y = MatMul(x, w)", w=(8, 5)),
    "matmul_add": build("float[1,6,8] x", "m = MatMul(x, w) y = Add(m, b)", w=(8, 5), b=(5,)),
    "matmul_batched": build("float[2,3,4,5] x, float[2,3,5,6] z", "y = MatMul(x, z)"),
    "matmul_broadcast": build("float[2,3,4,5] x, float[5,6] z", "y = MatMul(x, z)"),
    "matmul_broadcast_left": build("float[4,5] x, float[2,3,5,6] z", "y = MatMul(x, z)"),
    "matmul_vector": build("float[3,5] x, float[5] z", "y = MatMul(x, z)"),
    "matmul_square": build("float[1,8,8] x, float[1,8,8] z", "y = MatMul(x, z)"),
    "einsum_attention": build("float[1,4,2,8] x, float[1,5,2,8] z", 'y = Einsum<equation="bqhd,bkhd->bhqk">(x, z)'),
    "einsum_product": build("float[4,5] x, float[5,6] z", 'y = Einsum<equation="ij,jk->ik">(x, z)'),
    "einsum_sum": build("float[4,5] x", 'y = Einsum<equation="ij->i">(x)'),
    "einsum_outer": build("float[4] x, float[5] z", 'y = Einsum<equation="i,j->ij">(x, z)'),
    "einsum_ellipsis": build("float[2,3,4,5] x, float[2,3,5,6] z", 'y = Einsum<equation="...ij,...jk->...ik">(x, z)'),
    "einsum_three": build("float[1,4,6] x, float[1,5,7] z", 'y = Einsum<equation="btc,chd,bsd->bhts">(x, w, z)', w=(6, 3, 7)),
    "einsum_four": build("float[3,4] x, float[4,5] z", 'y = Einsum<equation="ab,bc,c,ad->d">(x, z, v, w)', v=(5,), w=(3, 2)),
    "einsum_implicit": build("float[4,5] x, float[5,3] z", 'y = Einsum<equation="ab,bc">(x, z)'),
    # shapes
    "reshape_equal": build(CUBE, "r = Reshape(x, s) t = Transpose<perm=[0,2,1]>(r) y = Reshape(t, q)", s=i64(1, 8, 64), q=i64(1, 8, 8, 8)),
    "transpose_equal": build(CUBE, "y = Transpose<perm=[0,1,3,2]>(x)"),
    "conv_transpose_conv": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) t = Transpose<perm=[0,1,3,2]>(a) y = Conv<pads=[1,1,1,1]>(t, w)", w=(8, 8, 3, 3)),
    "conv_flatten_gemm": build(IMAGE, "a = Conv(x, w) f = Flatten(a) y = Gemm<transB=1>(f, g)", w=(4, 3, 3, 3), g=(5, 144)),
    "conv_reshape_softmax": build(CUBE, "a = Conv(x, w) t = Transpose<perm=[0,2,3,1]>(a) r = Reshape(t, s) y = Softmax<axis=2>(r)", w=(8, 8, 1, 1), s=i64(1, -1, 2)),
    "channels_last_model": build("float[1,8,8,3] x", "t = Transpose<perm=[0,3,1,2]>(x) a = Conv(t, w) y = Transpose<perm=[0,2,3,1]>(a)", w=(4, 3, 3, 3)),
    "channel_shuffle": build("float[1,8,8,8] x", "r = Reshape(x, s) t = Transpose<perm=[0,2,1,3,4]>(r) q = Reshape(t, o) y = Conv(q, w)", s=i64(1, 2, 4, 8, 8), o=i64(1, 8, 8, 8), w=(8, 8, 1, 1)),
    "squeeze_unsqueeze": build("float[1,1,5] x", "s = Squeeze(x, a) y = Unsqueeze(s, b)", a=i64(1), b=i64(0, 3)),
    "expand": build("float[1,3,1] x", "y = Expand(x, s)", s=i64(2, 3, 4)),
    "tile": build("float[1,3,2] x", "y = Tile(x, s)", s=i64(1, 2, 3)),
    "concat_channels": build("float[1,3,8,8] x, float[1,5,8,8] z", "y = Concat<axis=1>(x, z)"),
    "concat_negative": build("float[1,3,8] x, float[1,3,8] z", "y = Concat<axis=-1>(x, z)"),
    "split": build("float[1,6,4,4] x", "a, b = Split<axis=1>(x, s) y = Sub(a, b)", s=i64(3, 3)),
    "split_uneven": build("float[1,6,4] x", "a, y = Split<axis=1>(x, s)", "float[] a, float[] y", s=i64(2, 4)),
    "split_num_outputs": build("float[1,7,4] x", "a, y = Split<axis=1, num_outputs=2>(x)", "float[] a, float[] y", opset=18),
    "slice": build(IMAGE, "y = Slice(x, a, b, c, d)", a=i64(1, 2), b=i64(3, 7), c=i64(1, 3), d=i64(1, 2)),
    "slice_negative_step": build(IMAGE, "y = Slice(x, a, b, c, d)", a=i64(-1), b=i64(-100), c=i64(3), d=i64(-2)),
    "gather": build("float[1,5,4] x", "y = Gather<axis=1>(x, i)", i=i64(3, 0, -1)),
    "gather_scalar": build("float[1,5,4] x", "y = Gather<axis=1>(x, i)", i=np.int64(2)),
    "embedding": build("int64[1,6] ids", "y = Gather(table, ids)", table=(100, 8)),
    "gather_elements": build("float[2,3] x", "y = GatherElements<axis=1>(x, i)", i=np.asarray([[0, 2], [1, -1]])),
    "gather_nd": build("float[2,3,4] x", "y = GatherND(x, i)", i=np.asarray([[0, 1], [1, 2]])),
    "scatter_elements": build("float[2,3] x, float[2,1] u", "y = ScatterElements<axis=1>(x, i, u)", i=np.asarray([[0], [2]])),
    "scatter_nd": build("float[4,3] x, float[2,3] u", "y = ScatterND(x, i, u)", i=np.asarray([[0], [2]])),
    "one_hot": build("int64[1,4] ids", "y = OneHot<axis=-1>(ids, d, v)", d=np.int64(100), v=f32(0, 1)),
    "pad_constant": build(IMAGE, "y = Pad(x, p, v)", p=i64(0, 0, 1, 2, 0, 0, 3, 1), v=np.float32(0.5)),
    "pad_reflect": build(IMAGE, 'y = Pad<mode="reflect">(x, p)', p=i64(0, 0, 1, 2, 0, 0, 3, 1)),
    "pad_edge": build(IMAGE, 'y = Pad<mode="edge">(x, p)', p=i64(0, 0, 1, 2, 0, 0, 3, 1)),
    "pad_negative": build(IMAGE, "y = Pad(x, p)", p=i64(0, 0, -1, 0, 0, 0, 0, -2)),
    "depth_to_space": build("float[1,8,4,4] x", "y = DepthToSpace<blocksize=2>(x)"),
    "depth_to_space_crd": build("float[1,8,4,4] x", 'y = DepthToSpace<blocksize=2, mode="CRD">(x)'),
    "space_to_depth": build("float[1,2,4,4] x", "y = SpaceToDepth<blocksize=2>(x)"),
    "trilu": build("float[1,5,5] x", "y = Trilu<upper=0>(x)"),
    "trilu_upper": build("float[1,5,5] x", "y = Trilu<upper=1>(x, k)", k=np.int64(1)),
    "reverse_sequence": build("float[4,2,3] x", "y = ReverseSequence(x, l)", l=i64(4, 2)),
    "flatten_axis": build("float[2,3,4] x", "y = Flatten<axis=2>(x)"),
    "shape_arithmetic": build("float[1,4,6] x", "s = Shape(x) a = Gather(s, z) u = Unsqueeze(a, z1) c = Concat<axis=0>(u, m) y = Reshape(x, c)", z=np.int64(0), z1=i64(0), m=i64(-1)),
    # reductions
    **{
        f"reduce_{name.lower()}": build("float[1,3,4,5] x", f"e = Exp(x) y = Reduce{name}<axes=[2,3], keepdims=0>(e)")
        for name in ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    },
    "reduce_sum": build("float[1,3,4,5] x", "y = ReduceSum<keepdims=1>(x, a)", a=i64(1, -1)),
    "reduce_sum_all": build("float[1,3,4] x", "y = ReduceSum<keepdims=0>(x)"),
    "reduce_mean_18": build("float[1,3,4,5] x", "y = ReduceMean<keepdims=0>(x, a)", opset=18, a=i64(1)),
    "reduce_max_20": build("float[1,3,4,5] x", "y = ReduceMax<keepdims=1>(x, a)", opset=20, a=i64(-1)),
    "arg_max": build("float[1,3,4] x", "y = ArgMax<axis=1, keepdims=0>(x)", "int64[] y"),
    "arg_min": build("float[1,3,4] x", "y = ArgMin<axis=-1, keepdims=1>(x)", "int64[] y"),
    "arg_max_channels": build(IMAGE, "a = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(a)", "int64[] y", w=(5, 3, 3, 3)),
    "top_k": build("float[1,9] x", "y, i = TopK(x, k)", "float[] y, int64[] i", k=i64(3)),
    "top_k_smallest_axis": build("float[1,5,6] x", "y, i = TopK<axis=1, largest=0>(x, k)", "float[] y, int64[] i", k=i64(2)),
    # resizing
    "resize_nearest": build(IMAGE, 'y = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric">(x, , s)', s=f32(1, 1, 2, 2)),
    "resize_nearest_half_pixel": build(IMAGE, 'y = Resize<mode="nearest">(x, , s)', s=f32(1, 1, 2, 2)),
    "resize_linear_half_pixel": build(IMAGE, 'y = Resize<mode="linear">(x, , s)', s=f32(1, 1, 2, 2)),
    "resize_linear_pytorch": build(IMAGE, 'y = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(x, , , s)', s=i64(1, 3, 16, 16)),
    "resize_linear_aligned": build(IMAGE, 'y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , , s)', s=i64(1, 3, 15, 13)),
    "resize_linear_asymmetric": build(IMAGE, 'y = Resize<mode="linear", coordinate_transformation_mode="asymmetric">(x, , s)', s=f32(1, 1, 2, 2)),
    "resize_linear_down": build(IMAGE, 'y = Resize<mode="linear">(x, , s)', s=f32(1, 1, 0.5, 0.5)),
    "resize_cubic": build(IMAGE, 'y = Resize<mode="cubic", cubic_coeff_a=-0.75>(x, , s)', s=f32(1, 1, 2, 2)),
    "resize_1d": build("float[1,3,8] x", 'y = Resize<mode="linear">(x, , s)', s=f32(1, 1, 2)),
    "resize_nearest_fraction": build(IMAGE, 'y = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric">(x, , , s)', s=i64(1, 3, 12, 11)),
    "upsample_old": build(IMAGE, 'y = Upsample<mode="nearest">(x, s)', opset=9, s=f32(1, 1, 2, 2)),
    "resize_old": build(IMAGE, 'y = Resize<mode="linear">(x, s)', opset=10, s=f32(1, 1, 2, 2)),
    "deform_conv": build("float[1,3,7,9] x, float[1,18,7,9] o", "y = DeformConv<pads=[1,1,1,1]>(x, w, o, b)", opset=19, w=(4, 3, 3, 3), b=(4,)),
    "deform_conv_strided": build("float[1,4,9,9] x, float[1,24,3,5] o", "y = DeformConv<offset_group=2, group=2, strides=[2,2], dilations=[2,1], pads=[0,0,0,1]>(x, w, o)", opset=19, w=(6, 2, 3, 2)),
    "deform_conv_masked": build("float[1,2,6,6] x, float[1,8,5,5] o, float[1,4,5,5] m", "b = Relu(c) y = DeformConv(x, w, o, b, m)", opset=22, w=(3, 2, 2, 2), c=(3,)),
    "deform_conv_learned": build("float[1,2,6,6] x", "o = Conv<pads=[1,1,1,1]>(x, v) y = DeformConv<pads=[1,1,1,1]>(x, w, o)", opset=19, v=(18, 2, 3, 3), w=(3, 2, 3, 3)),
    "batch_norm_training": build("float[4,3,5,6] x", "y, mean, var = BatchNormalization<training_mode=1, momentum=0.8>(x, s, b, m, v)", outputs="float[] y, float[] mean, float[] var", opset=15, s=(3,), b=(3,), m=(3,), v=f32(1, 2, 3)),
    "batch_norm_training_flat": build("float[6,4] x", "y, mean, var = BatchNormalization<training_mode=1, epsilon=0.01>(x, s, b, m, v)", outputs="float[] y, float[] mean, float[] var", opset=15, s=(4,), b=(4,), m=(4,), v=f32(1, 2, 3, 4)),
    "grid_sample": build("float[1,3,6,6] x, float[1,4,4,2] g", "t = Tanh(g) y = GridSample(x, t)"),
    # quantized
    "qdq": build(IMAGE, "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Conv(d, w)", w=(4, 3, 3, 3), s=np.float32(0.05), z=np.int8(3)),
    "dequantized_weights": build(IMAGE, "w = DequantizeLinear(q, s, z) y = Conv(x, w)", q=np.arange(-54, 54, dtype=np.int8).reshape(4, 3, 3, 3), s=np.float32(0.05), z=np.int8(0)),
    # boundaries
    "two_outputs": build(IMAGE, "a = Conv(x, w) y = Relu(a)", "float[] a, float[] y", w=(4, 3, 3, 3)),
    "scalar_input": build("float[1,4] x, float s", "y = Mul(x, s)"),
    "scalar_output": build("float[1,4] x", "y = ReduceSum<keepdims=0>(x)"),
    "unused_input": build("float[1,4] x, float[1,3] z", "y = Relu(x)"),
    "input_is_output": build("float[1,4] x", "y = Identity(x) z = Relu(x)", "float[] y, float[] z"),
    "constant_output": build("float[1,4] x", "y = Relu(x) z = Identity(k)", "float[] y, float[] z", k=f32(1, 2, 3)),
    "same_output_twice": build("float[1,4] x", "y = Relu(x) z = Identity(y)", "float[] y, float[] z"),
    "half_precision": build("float16[1,3,8,8] x", "y = Conv(x, w)", "float16[] y", w=np.arange(27).reshape(1, 3, 3, 3).astype(np.float16) / 27),
    "double_precision": build("double[1,4] x", "y = Mul(x, k)", "double[] y", k=np.float64(3)),
    "attention": build(
        "float[1,5,8] x",
        "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)"
        "q4 = Reshape(q, s) k4 = Reshape(k, s) v4 = Reshape(v, s)"
        "qt = Transpose<perm=[0,2,1,3]>(q4) kt = Transpose<perm=[0,2,3,1]>(k4) vt = Transpose<perm=[0,2,1,3]>(v4)"
        "a = MatMul(qt, kt) b = Div(a, r) p = Softmax<axis=-1>(b) o = MatMul(p, vt)"
        "ot = Transpose<perm=[0,2,1,3]>(o) oc = Reshape(ot, t) y = MatMul(oc, wo)",
        wq=(8, 8), wk=(8, 8), wv=(8, 8), wo=(8, 8), s=i64(1, 5, 2, 4), t=i64(1, 5, 8), r=np.float32(2),
    ),
    # Microsoft's contributed operators, as ONNX Runtime's own optimizer writes them
    "ms_gelu": build("float[1,6,8] x", "y = com.microsoft.Gelu(x)"),
    "ms_fast_gelu": build("float[1,6,8] x", "y = com.microsoft.FastGelu(x, b)", b=(8,)),
    "ms_bias_gelu": build("float[1,6,8] x", "y = com.microsoft.BiasGelu(x, b)", b=(8,)),
    "ms_quick_gelu": build("float[1,6,8] x", "y = com.microsoft.QuickGelu<alpha=1.702>(x)"),
    "ms_fused_matmul": build("float[1,6,8] x, float[1,6,8] z", "y = com.microsoft.FusedMatMul<transB=1, alpha=0.5>(x, z)"),
    "ms_fused_conv": build(IMAGE, 'y = com.microsoft.FusedConv<activation="Relu">(x, w, b)', w=(4, 3, 3, 3), b=(4,)),
    "ms_skip_layer_norm": build("float[1,6,8] x, float[1,6,8] z", "y = com.microsoft.SkipLayerNormalization(x, z, g, b)", g=(8,), b=(8,)),
    "ms_attention": build("float[1,6,8] x", "y = com.microsoft.Attention<num_heads=2>(x, w, b)", w=(8, 24), b=(24,)),
    "ms_attention_mask": build("float[2,6,8] x, int32[2,6] m", "y = com.microsoft.Attention<num_heads=4, mask_filter_value=-3.5>(x, w, b, m)", w=(8, 24), b=(24,)),
    "ms_attention_rows": build("float[1,6,8] x, int32[1,6,6] m", "y = com.microsoft.Attention<num_heads=2, scale=0.2>(x, w, b, m)", w=(8, 24), b=(24,)),
    "ms_attention_lengths": build("float[1,6,8] x, int32[1] m", "y = com.microsoft.Attention<num_heads=2>(x, w, b, m)", w=(8, 24), b=(24,)),
    "ms_attention_causal": build("float[1,6,8] x", "y = com.microsoft.Attention<num_heads=2, unidirectional=1>(x, w, b)", w=(8, 24), b=(24,)),
    "ms_attention_narrow": build("float[1,6,8] x", "y = com.microsoft.Attention<num_heads=2, qkv_hidden_sizes=[12,12,4]>(x, w, b)", w=(8, 28), b=(28,)),
    "ms_attention_past": build("float[1,3,8] x, int32[1,8] m, float[2,1,2,5,4] p", "y, n = com.microsoft.Attention<num_heads=2, unidirectional=1>(x, w, b, m, p)", "float[] y, float[] n", w=(8, 24), b=(24,)),
    "ms_attention_ends": build("float[2,6,8] x, int32[4] m", "y = com.microsoft.Attention<num_heads=2>(x, w, b, m)", w=(8, 24), b=(24,)),
    "ms_multi_head_past": build("float[1,3,8] q, float[1,3,8] k, float[1,3,8] v, float[1,2,5,4] a, float[1,2,5,4] c", "y, m, n = com.microsoft.MultiHeadAttention<num_heads=2, unidirectional=1>(q, k, v, b, , , a, c)", "float[] y, float[] m, float[] n", b=(24,)),
    "ms_multi_head_crossed": build("float[1,3,8] q, float[1,2,6,4] k, float[1,2,6,4] v", "y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v)"),
    "ms_rotary": build("float[1,2,5,8] x, int64[1,5] p", "y = com.microsoft.RotaryEmbedding(x, p, c, s)", c=(100, 4), s=(100, 4)),
    "ms_rotary_pairs": build("float[1,5,16] x, int64[1] p", "y = com.microsoft.RotaryEmbedding<interleaved=1, num_heads=2, rotary_embedding_dim=4>(x, p, c, s)", c=(100, 2), s=(100, 2)),
    "attention_past": build("float[1,4,3,8] q, float[1,2,3,8] k, float[1,2,3,8] v, float[1,2,5,8] a, float[1,2,5,8] b", "y, m, n = Attention<is_causal=1>(q, k, v, , a, b)", "float[] y, float[] m, float[] n", opset=23),
    "attention_past_3d": build("float[1,3,16] q, float[1,3,8] k, float[1,3,8] v, float[1,1,5,8] a, float[1,1,5,8] b", "y, m, n = Attention<q_num_heads=2, kv_num_heads=1, softcap=2.0>(q, k, v, , a, b)", "float[] y, float[] m, float[] n", opset=23),
    "rotary_whole": build("float[1,2,5,8] x", "y = RotaryEmbedding(x, c, s)", opset=23, c=(1, 5, 4), s=(1, 5, 4)),
    "ms_multi_head": build("float[1,4,8] q, float[1,6,8] k, float[1,6,8] v, int32[1,6] m", "y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v, b, m)", b=(24,)),
    "ms_multi_head_bias": build("float[1,6,8] q, float[1,6,8] k, float[1,6,4] v, float[1,2,6,6] a", "y = com.microsoft.MultiHeadAttention<num_heads=2, unidirectional=1>(q, k, v, , , a)"),
    "ms_grouped": build("float[1,5,32] q, float[1,5,16] k, float[1,5,16] v, int32[1] s", "y, m, n = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2, softcap=2.0>(q, k, v, , , s, t)", "float[] y, float[] m, float[] n", t=np.int32(5)),
    "ms_grouped_packed": build("float[1,5,96] x, int32[1] s", "y, m, n = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=1, do_rotary=1, local_window_size=3>(x, , , , , s, t, c, d)", "float[] y, float[] m, float[] n", t=np.int32(5), c=(9, 8), d=(9, 8)),
    "ms_grouped_past": build("float[1,3,32] q, float[1,3,16] k, float[1,3,16] v, float[1,1,6,16] a, float[1,1,6,16] b, int32[1] s", "y, m, n = com.microsoft.GroupQueryAttention<num_heads=2, kv_num_heads=1, do_rotary=1, rotary_interleaved=1, local_window_size=4>(q, k, v, a, b, s, t, c, d)", "float[] y, float[] m, float[] n", t=np.int32(9), c=(12, 8), d=(12, 8)),
    "ms_grouped_buffer": build("float[2,1,32] q, float[2,1,16] k, float[2,1,16] v, float[2,2,12,8] a, float[2,2,12,8] b, int32[2] s", "y, m, n = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2, scale=0.7, smooth_softmax=1>(q, k, v, a, b, s, t)", "float[] y, float[] m, float[] n", t=np.int32(7)),
    "ms_grouped_bias": build("float[1,2,32] q, float[1,2,8] k, float[1,2,8] v, float[1,1,4,8] a, float[1,1,4,8] b, float[1,4,2,6] e, int64[1,6] w", """
        r = Constant<value = int64[1] {1}>() o = Constant<value = int64 {1}>() u = ReduceSum<keepdims=0>(w, r) l = Sub(u, o) s = Cast<to=6>(l)
        z = Shape(w) i = Constant<value = int64 {1}>() g = Gather(z, i) t = Cast<to=6>(g)
        y, m, n = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=1>(q, k, v, a, b, s, t, , , , e, h)""", "float[] y, float[] m, float[] n", h=f32(-1, 0, 1, 2)),
    "ms_root_mean_square": build("float[1,5,8] x, float[1,5,8] r", "p, , , t = com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.001>(x, r, g, b) q = SimplifiedLayerNormalization<axis=-1>(t, g) y = Add(p, q)", g=(8,), b=(8,)),
    "ms_embedded": build("int32[1,6] ids, int32[1,6] m", "e, n = com.microsoft.EmbedLayerNormalization(ids, , t, p, , g, b, m) f = Cast<to=1>(n) y = Add(e, f)", t=(20, 8), p=(6, 8), g=(8,), b=(8,)),
    "ms_inverse": build("float[1,3,3] x", "y = com.microsoft.Inverse(x)"),
    "ms_inverse_large": build("float[2,20,20] x", "y = com.microsoft.Inverse(x)"),
    "ms_inverse_one_matrix": build("float[33,33] x", "t = com.microsoft.Inverse(x) y = MatMul(t, x)"),
}  # fmt: skip
