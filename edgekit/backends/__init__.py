"""Backends: one leaf per compiler or runtime. This file is the contract.

A leaf is a module of this package with one subclass of `Backend`. Leaves never import one
another; what they share stands in `edgekit.waist` and `edgekit.waist.tensors`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from edgekit.errors import Unsupported
from edgekit.nouns.building import Built, Job
from edgekit.nouns.description import Description
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Precision, Signature, Waist


class Backend(ABC):
    """Builds the files of one target variant, and runs them on this host as evidence.

    ``precisions`` are those that it can build; those in `edgekit.nouns.model.CALIBRATED` need samples.
    """

    precisions: ClassVar[tuple[Precision, ...]]

    @abstractmethod
    def build(self, job: Job, file: str, out: Path) -> Built:
        """Write ``out/file`` (and its companions) and nothing else.

        If the target's variant names a ``base``, ``job.waist`` is that backend's file.

        Raises:
            InputError: the precision needs samples and ``job.calibration`` is None.
            Unsupported: the network cannot be built so; the operators are named.
        """

    @abstractmethod
    def run(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path) -> None:
        """Run the artifact on this host, in the source's terms.

        ``inputs`` are read with `edgekit.waist.tensors.arrays`, ``outputs`` is an ``.npz``.

        Inputs are ``[N, *source_shape]`` under the source's names; so are the outputs: the leaf
        crosses the border with `edgekit.waist.tensors`.
        """

    def embed_preprocessing(
        self, artifact: Path, description: Description, signature: Signature, out: Path
    ) -> tuple[Signature, float]:
        """Write a file of the same name into ``out`` that takes the bytes of images, and normalizes them itself.

        Args:
            artifact: the file that takes these numbers.
            description: complete.
            signature: of that file.
            out: the folder for the new file and its parts.

        Returns:
            The signature of the new file; and how far both agree on the same bytes, in dB, of the worst output.

        Raises:
            Unsupported: this backend's files cannot, or no input is described as an image.
        """
        del description, signature, out
        raise Unsupported(
            f"{artifact.name} cannot hold its preprocessing.",
            place="--embed-preprocessing",
            fix="leave the option out, or choose -t openvino-cpu",
        )

    def run_otherwise(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path, seconds: float) -> None:
        """The same as `run` with every other family of kernels that this host has, in ``outputs/FAMILY.npz``.

        Files hold as many of the first samples as could be run in about ``seconds`` each. Nothing is written of a
        family that this host lacks, or that does not run the file.
        """
        del artifact, signature, inputs, outputs, seconds

    def best_ms(self, artifact: Path) -> float | None:  # noqa: ARG002  for leaves that can
        """The best of a few runs on one thread of this host, in ms, within about half a second; None if it cannot."""
        return None

    def diagnose(
        self,
        artifact: Path,
        waists: Sequence[Waist],  # noqa: ARG002  as above
        samples: Path,  # noqa: ARG002  as above
        helps: int = 0,  # noqa: ARG002  as above
    ) -> Diagnosis:
        """Hold every operator of a file against the float network that it was made from.

        Args:
            artifact: the file.
            waists: forms of that network that this backend reads, of which the closest counts; ``Waist.file`` is an
                absolute path.
            samples: what `edgekit.waist.tensors.arrays` reads, as in `run`.
            helps: for how many of the worst operators to try what would help.

        Raises:
            InputError: the file was not made from this network.
            Unsupported: this backend's files cannot be looked into, or this one cannot.
        """
        raise Unsupported(
            f"{artifact.name} cannot be looked into: no runtime here shows what its operators compute.",
            place=str(artifact),
            fix="build the same precision for a target of TFLite files, such as android, and diagnose that file",
        )
