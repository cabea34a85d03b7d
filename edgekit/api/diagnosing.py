"""diagnose for programs."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.api import given
from edgekit.api.given import Model, Samples
from edgekit.api.results import Shown
from edgekit.api.running import Progress, in_memory, session
from edgekit.nouns.diagnosis import MOST_SAMPLES, SHOWN, Diagnosed, Diagnosis, OperatorDiagnosis, Value
from edgekit.nouns.model import SourceOptions
from edgekit.verbs import diagnose as diagnoses

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class DiagnoseResult(Shown):
    """Where a file loses its signal.

    Attributes:
        diagnosed: the file, its source, the samples, and the diagnosis.
        top: how many operators are shown.
    """

    diagnosed: Diagnosed
    top: int = SHOWN

    @property
    def diagnosis(self) -> Diagnosis:
        """All of the file's operators, in the order in which they run."""
        return self.diagnosed.diagnosis

    @property
    def worst(self) -> tuple[OperatorDiagnosis, ...]:
        """Those that are shown, the worst first."""
        return self.diagnosis.worst(self.top)

    def node_data(self, value: Value = "share") -> dict[str, Any]:
        """What Model Explorer shows on the file's graph: ``share``, ``alone``, ``accumulated`` or ``outputs``."""
        from edgekit.report import diagnosis  # noqa: PLC0415  only what is shown needs rich

        return diagnosis.node_data(self.diagnosed, value)

    def plot(self) -> str:
        """SVG of the SQNR along the network.

        Raises:
            MissingTool: matplotlib is not installed.
        """
        from edgekit.report import along  # noqa: PLC0415  as above

        return along.draw(self.diagnosed, self.top)

    def screen(self) -> "RenderableType":
        """The table of ``edgekit diagnose``."""
        from edgekit.report import diagnosis  # noqa: PLC0415  as above

        return diagnosis.diagnosed(self.diagnosed, self.top)

    __repr__ = Shown.__str__


def diagnose(
    artifact: str | PathLike[str],
    against: Model = None,
    *,
    samples: Samples = None,
    max_samples: int = MOST_SAMPLES,
    file: str | None = None,
    top: int = SHOWN,
    shapes: dict[str, tuple[int, ...]] | None = None,
    max_memory: str | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> DiagnoseResult:
    """Find at which operators a file loses its signal, from which causes, and what would help.

        edgekit.diagnose(result["android"]["int8"], "model.onnx", samples=x_test).worst[0].blames

    Args:
        artifact: a file or folder that `build` returned, or the path of one.
        against: the model that it was built from, in the forms of `build`'s ``model``; without, the manifest's.
        samples: to run on, in the forms of `build`'s ``calibration``; without, those of the build, or random ones.
        max_samples: how many of them to run on at most; the more, the longer it takes.
        file: one of a folder's files by its name or precision; without, the one with the lowest SQNR.
        top: for how many operators to try what would help.
        shapes: of the source's inputs by name, for dimensions that it leaves open, if the file has no manifest.
        max_memory: what a process that reads models may use, such as ``"24G"``.
        max_seconds: what one inference may take, apart from what its operators explain; 10 without.
        progress: as in `build`.

    Returns:
        ``worst``, the operators that cost the outputs most, and ``diagnosis`` with all of them.

    Raises:
        InputError: the file was not built from this model, or there is no such file.
        Unsupported: the file's operators cannot be looked into.
        MissingTool: the libraries that read the model are not installed.
    """
    with session(progress, max_memory=max_memory, max_seconds=max_seconds) as running, in_memory(running) as folder:
        named = samples is None or given.is_named(samples)
        request = diagnoses.DiagnosisRequest(
            artifact=Path(artifact),
            against=None if against is None else given.model_file(against, folder),
            samples=None if samples is None else str(samples) if named else "samples of the calling program",
            held=None if named else lambda signature: given.samples_file(samples, signature, folder, "samples"),
            file=file,
            options=SourceOptions(shapes=shapes or {}),
            max_samples=max_samples,
            helps=top,
        )
        return DiagnoseResult(diagnoses.diagnose(running, request), top)
