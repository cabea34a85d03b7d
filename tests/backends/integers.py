"""Quantizing a small float network and comparing it with itself, for tests of the tflite backend."""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends import tflite
from edgekit.nouns.building import Built
from edgekit.nouns.model import Precision
from edgekit.waist import run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db
from tests import networks


class Quantized:
    """An integer file of a float network, with the samples that it was calibrated on."""

    def __init__(
        self, waist: Path, samples: dict[str, Any], folder: Path, precision: Precision = "int8", **fields: Any
    ) -> None:
        self.waist, self.samples, self._folder = waist, samples, folder
        self.signature = networks.signature(waist)
        folder.mkdir(exist_ok=True)
        job = networks.job(waist, precision, calibration=samples, **fields)
        self.made: Built = tflite.TFLiteBackend().build(job, "model.tflite", folder)
        self.artifact = folder / "model.tflite"

    def outputs(self, samples: dict[str, Any]) -> dict[str, Any]:
        """What the int8 file gives, in the source's terms."""
        np.savez(self._folder / "inputs.npz", **samples)
        given, found = self._folder / "inputs.npz", self._folder / "outputs.npz"
        tflite.TFLiteBackend().run(self.artifact, self.made.signature, given, found)
        with np.load(found) as got:
            return dict(got)

    def wanted(self, samples: dict[str, Any]) -> dict[str, Any]:
        """What the float network gives, in the source's terms."""
        return outputs_to_source(self.signature, run.run(self.waist, inputs_to_file(self.signature, samples)))

    def sqnr_db(self, samples: dict[str, Any] | None = None) -> dict[str, float]:
        """Agreement of each output on samples (by default those that it was calibrated on)."""
        given = self.samples if samples is None else samples
        wanted, got = self.wanted(given), self.outputs(given)
        return {name.removeprefix("source_"): sqnr_db(wanted[name], got[name]) for name in wanted}

    def floats(self) -> str:
        """What the notes say of operators that stay float."""
        return "\n".join(note for note in self.made.notes if note.startswith("stays float32"))


def normal(waist: Path, count: int = 48, seed: int = 0) -> dict[str, Any]:
    """Normal samples for a float network."""
    return networks.samples(networks.signature(waist), count, seed)
