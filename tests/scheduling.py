"""How pytest-xdist deals out files of tests: one at a time, but for those that share what is dear.

Files that import TensorFlow take turns in one process, which imports it once and has one worker that does; so do
those whose sessions share workers.
"""

import re

from xdist.scheduler import LoadFileScheduling

WITH_TENSORFLOW = re.compile(
    r"tests/(sources/test_(keras|endless|saved_model|cutting|conformance|tflite)|(trainable|training|passes(/qat)?)/test_"
    r"|waist/test_loops|backends/tflite/test_tflite_recurrent)\w*\.py"
)
"""Files of tests that import it, or ask the Keras leaf in the session's own worker."""


WITH_WORKERS = re.compile(
    r"tests/(verbs/test_(build|diagnose|flow|keras_form|recipes|run|search)|cli/test_(init|model_screens|screens)"
    r"|sources/test_proposals_pasted|steps/test_(evidence|optimization))\.py"
)
"""Files of tests with `tests.conftest.kept_workers`."""


WITH_MODELS = re.compile(r"tests/studies/(channels|trainable)/test_shared_models\.py")
"""Studies that convert every shared model, in one session."""


class SharingFiles(LoadFileScheduling):  # type: ignore[misc]
    """All tests of a file in one process, and all files that share something dear."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        groups = {"TensorFlow": WITH_TENSORFLOW, "workers": WITH_WORKERS, "models": WITH_MODELS}
        return next((name for name, files in groups.items() if files.fullmatch(file)), file)
