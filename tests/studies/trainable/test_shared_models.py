"""Every shared model that has a waist is lifted, computes what it computed, and is written back bit for bit."""

from typing import Any

import numpy as np
import pytest

from edgekit.engine.session import Session
from edgekit.waist import graph, tensors
from tests.lazy import Lazy
from tests.studies.coverage.cases import Case, inputs
from tests.studies.waists import PARAMETERS, converted, file_of
from tests.trainable.lifted import agreement_db

lifting: Any = Lazy("edgekit.trainable.lifting")
writing: Any = Lazy("edgekit.trainable.writing")

MOST_SAMPLES = 4

TRAINED = {
    "phone/efficientnet_lite0.onnx", "mlperf_tiny/ad01.h5", "mlperf_tiny/kws_ref_model", "mlperf_tiny/pretrainedResnet.h5",
    "mlperf_tiny/str_ww_ref_model.h5", "mlperf_tiny/vww_96.h5", "keras/basic_pitch_nmp_savedmodel",
    "keras/fer2013_mini_XCEPTION.119-0.65.hdf5", "keras/fiit_lstm1.keras", "keras/nncf_LeNet.h5",
    "keras/tiny_XCEPTION_KDEF.hdf5", "onnx/FastestDet.onnx", "onnx/deeploy_autoencoder1d.onnx",
    "onnx/deeploy_cct_2_32_32_128_op20.onnx", "onnx/dtln_model_1.onnx", "onnx/espcn_subpixel_float.onnx",
    "onnx/ppocrv4_cls.onnx", "onnx/silero_vad_v5_16k_op15.onnx", "onnx/tract_byte_sb_bidi_lstm.onnx",
    "onnx/ultraface_version-RFB-320_without_postprocessing.onnx", "onnx/ultraface_version-slim-320.onnx",
    "onnx_ops/LSTM_1layer_fixed.onnx", "reported/lstm_memory.keras", "reported/rnn.keras",
}  # fmt: skip
"""Models that must have a waist, and in which a gradient must reach every weight."""

UNDEFINED = {"onnx_ops/ArgMax_17.onnx"}
"""The largest of values that are not numbers: each runtime finds another."""


@pytest.mark.shared
@pytest.mark.parametrize("case", PARAMETERS)
def test_a_model_is_lifted_and_written_back(case: Case, session: Session) -> None:
    subject = converted(session, case)
    if isinstance(subject, str):
        assert case.name not in TRAINED
        pytest.skip(f"it has no waist: {subject}")
    path = file_of(subject)
    lifted = lifting.lift(path)
    assert writing.written(lifted) == path.read_bytes()
    tree = graph.load(path)
    for weight in lifted.weights:
        for part, tensor in weight.tensor.places:
            constant = graph.constant(tree, part, tensor)
            assert constant is not None
            assert constant.tobytes() == weight.values().tobytes()
    assert not [note for note in lifted.notes if "no gradient reaches" in note] or case.name not in TRAINED
    if case.name in UNDEFINED:
        return
    assert subject.waist is not None
    signature = subject.waist.result.signature
    values = tensors.inputs_to_file(signature, inputs(case, subject.network.model.signature))
    assert agreement_db(lifted, {name: np.asarray(array[:MOST_SAMPLES]) for name, array in values.items()}) >= 80
