"""Names that a Keras configuration may use unasked: each was looked at, and does nothing but compute.

Left out are layers that hold or load code (Lambda, TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper), call methods
by name (ClassMethod, InstanceMethod), or call functions that they are given (Keras 3's Map, Scan, WhileLoop, Cond).
Of TensorFlow's functions, those are left out that reach files, processes or Python, and those that take functions;
``nn.fixed_unigram_candidate_sampler``, say, reads a vocabulary file.
"""

from edgekit.sources.keras.operators import words

LAYERS = words(
    """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AddLoss AddMetric AdditiveAttention AlphaDropout
Attention AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D
AvgPool3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop
Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM
CutMix Dense DepthwiseConv1D DepthwiseConv2D DeviceWrapper Discretization Dot Dropout DropoutWrapper ELU EinsumDense
Embedding Equalization Flatten Functional GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D
GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup LSTM
LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 Layer LayerNormalization LeakyReLU LinearModel LocallyConnected1D
LocallyConnected2D Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D
Maximum MelSpectrogram Minimum MixUp Model MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale
RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape
ResidualWrapper Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D
SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D
SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract SyncBatchNormalization
TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D
WideDeepModel Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)
"""Layers and models of Keras 2 and 3, under all the names that their versions wrote."""

OPERATIONS = words(
    """
Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append Arange
Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average
AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr
BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu
Cholesky CholeskyInverse Clip Concatenate Conj Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate
Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal
Diff Digitize Divide DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu
EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr
Flipud Floor FloorDivide Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater
GreaterEqual HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2
IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm
Ldexp LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2
Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor MapCoordinates Matmul MatrixRank
Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum Nanargmax
Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum
Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile
PerspectiveTransform Pinv Polar Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real
Rearrange Reciprocal Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast
ScaleAndTranslate Scatter ScatterUpdate SearchSorted SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum
Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges
SoftShrink Softmax Softplus Softsign Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy
SparsePlus SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes
Take TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide
Trunc Unfold Unique UnravelIndex Unstack Vander Var Vdot View ViewAsComplex ViewAsReal Vsplit Vstack Where ZerosLike
    """
)
"""Operations of Keras 3 (``keras.ops``) as they stand in a functional model."""

PARTS = words(
    """
AWQDTypePolicy AbsMaxQuantizer Constant Constraint DTypePolicy DTypePolicyMap FloatDTypePolicy GPTQDTypePolicy
GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer Initializer Int4DTypePolicy
Int4QuantizationConfig Int8QuantizationConfig L1 L1L2 L2 LecunNormal LecunUniform MaxNorm MinMaxNorm NonNeg Ones
Orthogonal OrthogonalInitializer OrthogonalRegularizer Policy PolicyV1 QuantizedDTypePolicy
QuantizedFloat8DTypePolicy RadialConstraint RandomNormal RandomUniform Regularizer STFT STFTInitializer
TruncatedNormal UnitNorm VarianceScaling Zeros
    """
)
"""Initializers, regularizers, constraints and dtype policies."""

TRAINING = words(
    """
AUC Accuracy Adadelta Adafactor Adagrad Adam AdamW Adamax BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy
BinaryIoU CTC CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CompileMetrics ConcordanceCorrelation CosineDecay
CosineDecayRestarts CosineSimilarity Dice ExponentialDecay F1Score FBetaScore FalseNegatives FalsePositives Ftrl
Hinge Huber InverseTimeDecay IoU KLD KLDivergence Lamb LearningRateSchedule Lion LogCosh LogCoshError Loss
LossScaleOptimizer MAE MAPE MSE MSLE Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper
MeanRelativeError MeanSquaredError MeanSquaredLogarithmicError MeanTensor Metric MetricsList Muon Nadam OneHotIoU
OneHotMeanIoU Optimizer PearsonCorrelation PiecewiseConstantDecay Poisson PolynomialDecay Precision
PrecisionAtRecall R2Score RMSprop Recall RecallAtPrecision RootMeanSquaredError SGD ScheduleFreeAdamW
SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives Tversky
    """
)
"""Optimizers, schedules, losses and metrics: an inner model may remember how it was compiled."""

VALUES = words(
    "__bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__ "
    "CompositeTensor TensorShape TypeSpec"
)
"""Plain values in the form of objects."""

OPTIMIZATION = words(
    """
AllValuesQuantizer ClusterWeights ConstantSparsity Default8BitActivationQuantizeConfig Default8BitConvQuantizeConfig
Default8BitConvTransposeQuantizeConfig Default8BitConvTransposeWeightsQuantizer Default8BitConvWeightsQuantizer
Default8BitOutputQuantizeConfig Default8BitQuantizeConfig DefaultNBitActivationQuantizeConfig
DefaultNBitConvQuantizeConfig DefaultNBitConvTransposeQuantizeConfig DefaultNBitOutputQuantizeConfig
DefaultNBitQuantizeConfig FixedQuantizeConfig FixedQuantizer LastValueQuantizer MovingAverageQuantizer
NoOpActivation NoOpQuantizeConfig NoQuantizer OutputOnlyConfig PruneLowMagnitude QuantizeAnnotate
QuantizeAwareActivation QuantizeLayer QuantizeWrapper QuantizeWrapperV2
    """
)
"""Classes of TensorFlow's Model Optimization Toolkit. Those for recurrent layers are left out: it has none yet."""

CLASSES = LAYERS | OPERATIONS | PARTS | TRAINING | VALUES
"""Every class that a configuration may name unasked."""

FUNCTIONS = words(
    """
acc accuracy binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy
categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy categorical_hinge celu
circle concordance_correlation constant cosine_similarity ctc dice elu exponential gelu glorot_normal glorot_uniform
glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh he_normal he_uniform hinge huber identity kl_divergence
kld kullback_leibler_divergence l1 l1_l2 l1l2 l2 leaky_relu lecun_normal lecun_uniform linear log_cosh log_sigmoid
log_softmax logcosh mae mape max_norm maxnorm mean_absolute_error mean_absolute_percentage_error mean_squared_error
mean_squared_logarithmic_error min_max_norm minmaxnorm mish mse msle non_neg nonneg normal one ones orthogonal
orthogonal_regularizer pearson_correlation poisson radial_constraint random_normal random_uniform relu relu6 selu
sigmoid silu soft_shrink softmax softmax_v2 softplus softsign sparse_categorical_accuracy
sparse_categorical_crossentropy
sparse_plus sparse_sigmoid sparse_top_k_categorical_accuracy sparsemax squared_hinge squareplus stft swish tanh
tanh_shrink threshold top_k_categorical_accuracy truncated_normal tversky uniform unit_norm unitnorm
variance_scaling zero zeros
    """
)
"""Activations, initializers, losses and metrics that are named by a word."""

_ROOT = words(
    """
Assert abs acos acosh add add_n approx_top_k argmax argmin argsort as_string asin asinh atan atan2 atanh
batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to cast ceil
clip_by_norm clip_by_value complex concat constant convert_to_tensor cos cosh cumsum divide dynamic_partition
dynamic_stitch edit_distance eig eigvals einsum ensure_shape equal erf exp expand_dims expm1 extract_volume_patches
eye fill fingerprint floor floordiv floormod gather gather_nd greater greater_equal guarantee_const
histogram_fixed_width histogram_fixed_width_bins identity identity_n less less_equal linspace log logical_and
logical_not logical_or logical_xor matmul matrix_square_root maximum meshgrid minimum mod multiply negative norm
not_equal one_hot ones ones_like pad parallel_stack pow range rank realdiv reduce_all reduce_any reduce_logsumexp
reduce_max reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance repeat
required_space_to_batch_paddings reshape reverse reverse_sequence roll round rsqrt saturate_cast scalar_mul
scatter_nd searchsorted sequence_mask shape shape_n sigmoid sign sin sinh size slice sort space_to_batch
space_to_batch_nd split sqrt square squared_difference squeeze stack stop_gradient strided_slice subtract tan tanh
tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update
tensordot tile to_float transpose truediv truncatediv truncatemod unique unique_with_counts unravel_index unstack
where zeros zeros_like
    """
)
"""Functions at TensorFlow's top."""

_ROOMS = {
    "__operators__": """
        add eq getitem ne ragged_getitem
    """,
    "math": """
        abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax argmin asin asinh atan
        atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e betainc bincount ceil confusion_matrix conj cos
        cosh count_nonzero cumprod cumsum cumulative_logsumexp digamma divide divide_no_nan equal erf erfc
        erfcinv erfinv exp expm1 floor floordiv floormod greater greater_equal igamma igammac imag in_top_k
        invert_permutation is_finite is_inf is_nan is_non_decreasing is_strictly_increasing l2_normalize lbeta
        less less_equal lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or
        logical_xor maximum minimum mod multiply multiply_no_nan ndtri negative nextafter not_equal polygamma
        polyval pow real reciprocal reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm
        reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance
        rint round rsqrt scalar_mul segment_max segment_mean segment_min segment_prod segment_sum sigmoid sign
        sin sinh sobol_sample softmax softplus softsign special.bessel_j0 special.bessel_j1 special.dawsn
        special.expint special.spence sqrt square squared_difference subtract tan tanh top_k truediv
        unsorted_segment_max unsorted_segment_mean unsorted_segment_min unsorted_segment_prod
        unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy zero_fraction zeta
    """,
    "nn": """
        atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d avg_pool2d avg_pool3d
        batch_norm_with_global_normalization batch_normalization bias_add collapse_repeated conv1d
        conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose conv_transpose convolution crelu
        ctc_beam_search_decoder ctc_greedy_decoder ctc_loss depth_to_space depthwise_conv2d dilation2d dropout
        elu embedding_lookup erosion2d fractional_avg_pool fractional_max_pool fused_batch_norm gelu in_top_k
        isotonic_regression l2_loss l2_normalize leaky_relu local_response_normalization log_poisson_loss
        log_softmax lrn max_pool max_pool1d max_pool2d max_pool3d max_pool_with_argmax moments
        normalize_moments pool relu relu6 relu_layer selu separable_conv2d sigmoid
        sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits softplus softsign
        space_to_batch space_to_depth sparse_softmax_cross_entropy_with_logits sufficient_statistics swish
        tanh top_k weighted_cross_entropy_with_logits weighted_moments zero_fraction
    """,
    "linalg": """
        adjoint band_part banded_triangular_solve cholesky cholesky_solve cross det diag diag_part eig eigh
        eigh_tridiagonal eigvals eigvalsh einsum expm eye global_norm inv l2_normalize logdet logm lstsq lu
        lu_matrix_inverse lu_reconstruct lu_solve matmul matrix_rank matrix_transpose matvec norm normalize
        pinv qr set_diag slogdet solve sqrtm svd tensor_diag tensor_diag_part tensordot trace triangular_solve
        tridiagonal_matmul tridiagonal_solve
    """,
    "signal": """
        dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d ifftnd
        ifftshift inverse_mdct inverse_stft irfft irfft2d irfft3d irfftnd kaiser_bessel_derived_window
        kaiser_window linear_to_mel_weight_matrix mdct mfccs_from_log_mel_spectrograms overlap_and_add rfft
        rfft2d rfft3d rfftnd stft vorbis_window
    """,
    "bitwise": """
        bitwise_and bitwise_or bitwise_xor invert left_shift right_shift
    """,
    "image": """
        adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation central_crop
        combined_non_max_suppression convert_image_dtype crop_and_resize crop_to_bounding_box
        draw_bounding_boxes extract_glimpse extract_patches flip_left_right flip_up_down grayscale_to_rgb
        hsv_to_rgb image_gradients non_max_suppression non_max_suppression_overlaps non_max_suppression_padded
        non_max_suppression_with_scores pad_to_bounding_box per_image_standardization psnr random_brightness
        random_contrast random_crop random_flip_left_right random_flip_up_down random_hue random_saturation
        resize resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90
        sobel_edges ssim ssim_multiscale total_variation transpose yiq_to_rgb yuv_to_rgb
    """,
    "strings": """
        as_string bytes_split format join length lower ngrams reduce_join regex_full_match regex_replace split
        strip substr to_hash_bucket to_hash_bucket_fast to_hash_bucket_strong to_number unicode_decode
        unicode_encode unicode_script unicode_split unicode_transcode upper
    """,
    "quantization": """
        dequantize fake_quant_with_min_max_args fake_quant_with_min_max_vars
        fake_quant_with_min_max_vars_per_channel quantize quantize_and_dequantize quantize_and_dequantize_v2
        quantized_concat
    """,
    "random": """
        categorical gamma normal poisson shuffle stateless_categorical stateless_normal
        stateless_truncated_normal stateless_uniform truncated_normal uniform
    """,
    "sparse": """
        add concat expand_dims from_dense reduce_max reduce_sum reorder reshape slice softmax
        sparse_dense_matmul split to_dense transpose
    """,
    "dtypes": """
        cast complex saturate_cast
    """,
}
"""Functions in TensorFlow's packages, and operators of its tensors (``__operators__``)."""

TENSORFLOW = _ROOT | {f"{room}.{name}" for room, names in _ROOMS.items() for name in names.split()}
"""TensorFlow's functions, as Keras 2 names them in a ``TFOpLambda``."""


def is_pure_function(symbol: str) -> bool:
    """Whether TensorFlow's function of that name does nothing but compute (``compat.v1`` has the same ones)."""
    return symbol.removeprefix("compat.v1.") in TENSORFLOW
