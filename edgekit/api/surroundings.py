"""What there is without a model: targets, and what is installed."""

from edgekit.api.results import DoctorResult, TargetsResult
from edgekit.api.running import complaining
from edgekit.verbs import doctor as doctors
from edgekit.verbs import targets as known


def targets() -> TargetsResult:
    """The targets to build for, by name.

    Returns:
        A mapping of name → `edgekit.nouns.target.Target`: its files, and every number with its source.

    Raises:
        InputError: a target's file is wrong.
    """
    with complaining():
        return TargetsResult(tuple(known.targets()))


def doctor() -> DoctorResult:
    """What is installed, which sources and targets work, and what adds each missing part.

    Returns:
        Its ``health`` is an `edgekit.nouns.results.Health`.
    """
    with complaining():
        return DoctorResult(doctors.doctor())
