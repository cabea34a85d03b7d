"""Samples as the user named them, read in a worker process."""

from pathlib import Path

from edgekit import samples
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.findings import Finding
from edgekit.nouns.model import Signature
from edgekit.nouns.samples import Kept
from edgekit.nouns.verification import MetricScore
from edgekit.samples import functions, images, painting
from edgekit.waist.tensors import arrays


class SamplesReader(samples.Reader):
    """See `edgekit.samples.Reader`."""

    def read(
        self,
        spec: str,
        *,
        origin: str,
        signature: Signature,
        description: Description,
        folder: Path,
        out: Path,
    ) -> Kept:
        """See `edgekit.samples.Reader.read`."""
        found = samples.load(spec, signature, description, origin=origin, place=samples.Place(out), folder=folder)
        found.save(out / "samples", labels=out / "labels.npy")
        return found.kept

    def picture_size(self, picture: Path) -> tuple[int, int]:
        """See `edgekit.samples.Reader.picture_size`."""
        pixels = images.decode(picture).pixels
        return pixels.shape[0], pixels.shape[1]

    def paint(self, picture: Path, *, findings: tuple[Finding, ...], masks: Path, image: ImageInput, out: Path) -> None:
        """See `edgekit.samples.Reader.paint`."""
        painting.paint(images.decode(picture).pixels, findings, arrays(masks), image, out)

    def score(self, function: str, *, outputs: Path, labels: Path, folder: Path) -> MetricScore:
        """See `edgekit.samples.Reader.score`."""
        return functions.score(function, outputs, labels, folder)
