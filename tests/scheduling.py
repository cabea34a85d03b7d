"""How pytest-xdist deals out files of tests: one at a time, but for those that share what is dear.

Files that import TensorFlow take turns in two processes, one for what reads networks of Keras, whose worker imports it
too, and one for what trains; so do those whose sessions share workers, in a third. ONNX's converter imports TensorFlow
too, in its worker, and OpenVINO's quantizer takes as long to import, here and there.
"""

import re

from xdist.scheduler import LoadFileScheduling

WITH_KERAS = re.compile(
    r"tests/(sources/test_(keras|endless|saved_model|cutting|conformance|tflite)|waist/test_loops"
    r"|backends/tflite/test_tflite_recurrent)\w*\.py"
)
"""Files of tests that ask the Keras leaf in the session's own worker, or write networks with TensorFlow."""


WITH_ONNX = re.compile(r"tests/sources/onnx/(\w+/)*test_\w+\.py")
"""Files of tests that convert ONNX models in the session's own worker."""


WITH_OPENVINO = re.compile(r"tests/backends/(openvino/test_\w+|test_backend_conformance)\.py")
"""Files of tests that quantize with OpenVINO, in this process and in the session's own worker."""


WITH_TRAINING = re.compile(r"tests/(channels|trainable|training|passes(/qat)?)/test_\w+\.py")
"""Files of tests that write networks with TensorFlow, or lift and train them, in this process."""


WITH_WORKERS = re.compile(
    r"tests/(verbs/test_(build|compare|diagnose|flow|keras_form|recipes|report|run|search)"
    r"|cli/test_(gate|init|lineage|model_screens|screens)|api/test_(api|shipping)|sources/test_proposals_pasted"
    r"|steps/test_(evidence|ladder|optimization))\.py"
)
"""Files of tests with `tests.conftest.kept_workers`."""


WITH_MODELS = re.compile(r"tests/studies/(channels|trainable)/test_shared_models\.py")
"""Studies that convert every shared model, in one session."""


TOGETHER = {
    "Keras": WITH_KERAS, "ONNX": WITH_ONNX, "OpenVINO": WITH_OPENVINO, "training": WITH_TRAINING,
    "workers": WITH_WORKERS, "models": WITH_MODELS,
}  # fmt: skip
"""What one process does alone, one after another."""


class SharingFiles(LoadFileScheduling):  # type: ignore[misc]
    """All tests of a file in one process, and all files that share something dear."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((name for name, files in TOGETHER.items() if files.fullmatch(file)), file)
