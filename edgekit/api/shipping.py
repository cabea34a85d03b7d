"""run, write_report, save_baseline and gate for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import config
from edgekit.api import given
from edgekit.api.building import plain
from edgekit.api.given import Samples
from edgekit.api.measuring import Artifact
from edgekit.api.results import Shown
from edgekit.api.running import Progress, in_memory, session
from edgekit.engine.session import Session
from edgekit.host.replacing import check_place
from edgekit.measure import discovery
from edgekit.measure.subject import subjects
from edgekit.nouns.findings import Finding as Found
from edgekit.nouns.findings import Ran
from edgekit.nouns.gating import BASELINE, Finding, Gate
from edgekit.verbs import gate as gates

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class RunResult(Sequence[Ran], Shown):
    """What each file found in a sample: an `edgekit.nouns.findings.Ran` for each."""

    ran: tuple[Ran, ...]

    @property
    def findings(self) -> tuple[Found, ...]:
        """What the first file that ran found, an entry for each output: classes, boxes, a mask."""
        return next((row.findings for row in self.ran if row.findings is not None), ())

    def __getitem__(self, index: Any) -> Any:
        return self.ran[index]

    def __len__(self) -> int:
        return len(self.ran)

    def screen(self) -> "RenderableType":
        """The tables of ``edgekit run``."""
        from edgekit.report import found  # noqa: PLC0415  only what is shown needs rich

        return found.screen(self.ran)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class GateResult(Shown):
    """What a gate looked at. It is true if it passes.

    Attributes:
        gate: all that was judged.
    """

    gate: Gate

    @property
    def passes(self) -> bool:
        """Whether nothing is missed and all that is demanded is known."""
        return self.gate.passes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Each figure of each file against what is demanded of it."""
        return self.gate.findings

    def __bool__(self) -> bool:
        return self.passes

    def junit(self) -> bytes:
        """JUnit XML."""
        from edgekit.report import gates as screens  # noqa: PLC0415  as above

        return screens.junit(self.gate)

    def markdown(self) -> str:
        """A summary for the page of a CI step."""
        from edgekit.report import gates as screens  # noqa: PLC0415  as above

        return screens.markdown(self.gate)

    def screen(self) -> "RenderableType":
        """The table of ``edgekit gate``."""
        from edgekit.report import gates as screens  # noqa: PLC0415  as above

        return screens.screen(self.gate)

    __repr__ = Shown.__str__


def run(
    artifact: Artifact,
    input: Samples,  # noqa: A002  the name of the option
    *,
    output: str | Path | None = None,
    max_seconds: float | None = None,
    progress: Progress = False,
) -> RunResult:
    """Run a built file on one sample, and say what its outputs mean.

        edgekit.run(result["android"]["int8"], "photo.jpg").findings[0].classes[0].label

    Args:
        artifact: a file or folder that `build` returned, or the path of one.
        input: the path of a picture, a ``.wav``, a line of tokens (``.txt``) or arrays; a mapping of input names to
            such paths; or arrays in the forms of `build`'s ``calibration``, of which the first sample is taken.
        output: where to write outputs (``.npz``), or the picture with what was found (``.png``, ``.jpg``).
        max_seconds: as in `build`.
        progress: as in `build`.

    Returns:
        A sequence of `edgekit.nouns.findings.Ran`, one for each file; ``findings`` are those of the first that ran.

    Raises:
        InputError: the artifact, the sample or ``output`` is none that can be used.
        Unsupported: the file needs another device.
        MissingTool: what runs the file is not installed.
    """
    from edgekit.verbs import run as runs  # noqa: PLC0415  numpy

    if output is not None:
        check_place(Path(output), "output", "found.png")
    with session(progress, max_seconds=max_seconds) as running, in_memory(running) as folder:
        words = _words(running, artifact, input, folder)
        return RunResult(tuple(runs.run(running, Path(artifact), words, None if output is None else Path(output))))


def _words(running: Session, artifact: Artifact, sample: Samples, folder: Path) -> tuple[str, ...]:
    """A sample as ``edgekit run --input`` takes it."""
    if given.is_named(sample):
        return (str(sample),)
    if isinstance(sample, Mapping) and all(map(given.is_named, sample.values())):
        return tuple(f"{name}={path}" for name, path in sample.items())
    signature = subjects(running, Path(artifact))[0].signature
    return (str(given.samples_file(sample, signature, folder, "input")),)


def write_report(
    *artifacts: Artifact, output: str | Path | None = None, diagnose: bool = False, progress: Progress = False
) -> Path:
    """Explain artifacts on one HTML page.

        edgekit.write_report(result["android"], result["edgetpu"], output="report.html")

    Args:
        artifacts: folders that `build` returned, or the paths of some; several stand side by side.
        output: the file; without one ``report.html`` in the folder, if there is one.
        diagnose: find the operators at which quantized files lose their signal, which takes a while.
        progress: as in `build`.

    Returns:
        The file.

    Raises:
        InputError: a folder is no artifact, several are given without ``output``, or nothing can be written there.
        MissingTool: matplotlib is not installed.
    """
    from edgekit.verbs import report as reports  # noqa: PLC0415  numpy

    if output is not None:
        check_place(Path(output), "output", "report.html")
    with session(progress) as running:
        place = None if output is None else Path(output)
        return reports.report(running, [Path(one) for one in artifacts], place, with_diagnosis=diagnose)


def save_baseline(*artifacts: Artifact, output: str | Path = BASELINE, files: bool = False) -> Path:
    """Write accuracy, size and measurements of artifacts into a file to commit, for `gate` to compare later ones with.

    Args:
        artifacts: folders that `build` returned, or the paths of some, one for each target.
        output: the file.
        files: keep copies of the networks too, so that both can be measured in turns.

    Returns:
        The file.

    Raises:
        InputError: a folder is no artifact, two are of one target, or nothing can be written there.
    """
    with session(progress=False):
        gates.save([Path(one) for one in artifacts], Path(output), files=files)
    return Path(output)


def gate(
    *artifacts: Artifact,
    budget: Mapping[str, Any] | None = None,
    baseline: str | Path | None = None,
    without_device: bool = False,
    recorded: bool = False,
    progress: Progress = False,
) -> GateResult:
    """Check artifacts against a budget and a baseline; what seems worse is measured again before it fails.

        assert edgekit.gate(result["android"], budget={"max_size": "4M"}, baseline="edgekit-baseline.json")

    Args:
        artifacts: folders that `build` returned, or the paths of some.
        budget: what is demanded, as in `build`.
        baseline: a file that `save_baseline` wrote.
        without_device: leave out what is measured on devices.
        recorded: measure nothing again; what is only suspected does not fail then.
        progress: as in `build`.

    Returns:
        ``passes``, ``findings``, ``junit()`` and ``markdown()``; true if it passes.

    Raises:
        InputError: a folder is no artifact, the baseline is of another model or device, or nothing says what to judge.
        DeviceError, MissingTool, Unsupported: what is to be measured again cannot be.
    """
    demanded = config.from_keywords({} if budget is None else {"budget": plain(budget)}, "edgekit.gate")
    asked = gates.Gated(
        folders=[Path(one) for one in artifacts],
        demanded=demanded,
        baseline=None if baseline is None else Path(baseline),
        without_device=without_device,
        find=None if recorded or without_device else _device,
    )
    with session(progress) as running:
        return GateResult(gates.gate(running, asked))


def _device(running: Session, wanted: str) -> Any:
    return discovery.choose(running, config.devices(), wanted, "baseline")
