"""Writes the networks of several files of tests in one process: ``python keras_files.py FOLDER NAME…``.

To import TensorFlow and both Keras libraries takes longer than to write the networks of a file.
"""

import runpy
import sys
from pathlib import Path

SCRIPTS = {
    "hostile": ("hostile_saved_models.py",),
    "models/k3": ("keras_models.py", "k3"),
    "models/legacy": ("keras_models.py", "legacy"),
    "recurrent/k3": ("keras_recurrent_models.py", "k3"),
    "recurrent/legacy": ("keras_recurrent_models.py", "legacy"),
    "lowering": ("keras_lowering_models.py",),
    "preprocessing/k3": ("keras_preprocessing_models.py", "k3"),
    "policies/k3": ("keras_policy_models.py", "k3"),
    "policies/legacy": ("keras_policy_models.py", "legacy"),
    "preprocessing/legacy": ("keras_preprocessing_models.py", "legacy"),
}
"""Name of a folder of networks → the script that writes it, and its arguments."""


def main(top: Path, names: list[str]) -> None:
    """Write the named folders below ``top``, each as its script would in a process of its own."""
    from edgekit.sources.keras import libraries  # noqa: PLC0415  tests look at the names alone

    keras = libraries.keras3()
    for name in names:
        script, *arguments = SCRIPTS[name]
        (top / name).mkdir(parents=True)
        keras.utils.clear_session()  # names of layers are counted
        libraries.tf_keras.backend.clear_session()
        sys.argv = [script, *arguments, str(top / name)]
        runpy.run_path(str(Path(__file__).with_name(script)), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
