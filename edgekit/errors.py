"""One tree of errors, a class per remedy.

    EdgekitError
    ├── BudgetMissed    exit 1   the artifact misses a stated limit, or is of no use
    │   └── OutOfTimeError       give the search more time
    ├── InputError      exit 2   mend the file or the option
    ├── MissingTool     exit 3   install what is named
    ├── Unsupported     exit 4   choose another target, precision or pass
    │   └── EndlessError         bound the network's loop, or raise the limit
    ├── DeviceError     exit 5   look at the bench
    ├── CancelledError  exit 130 run it again
    └── LeafCrashError  exit 70  report it: a bug in edgekit

``edgekit.cli`` shows these; a build keeps those of one target from the others. Anything else that
reaches the user is a bug in edgekit (exit 70, with the traceback in a log file).
"""

import errno
import os
from typing import ClassVar


class EdgekitError(Exception):
    """A failure with a remedy.

    Args:
        problem: what is wrong, as one sentence.
        place: the file, option or operator where it is wrong.
        fix: the command or edit that helps.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, problem: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place
        self.fix = fix

    def __str__(self) -> str:
        """Problem, place and fix on lines of their own."""
        lines = [self.problem]
        if self.place:
            lines.append(f"  at: {self.place}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class BudgetMissed(EdgekitError):
    """The artifact exists but misses a stated limit (accuracy drop, coverage), or is of no use and not published."""

    exit_code = 1


class OutOfTimeError(BudgetMissed):
    """A step was not done within the time that the user gave to a search."""


class InputError(EdgekitError):
    """A file or an option of the user's is wrong; mending it helps."""

    exit_code = 2


class MissingTool(EdgekitError):
    """A library or program is not installed; ``fix`` holds the exact command."""

    exit_code = 3


class Unsupported(EdgekitError):
    """This model cannot go to this target, precision or pass; the operators are named."""

    exit_code = 4


class EndlessError(Unsupported):
    """The network, or reading it, takes longer than it may, whatever is made of it."""


class DeviceError(EdgekitError):
    """Something attached does not answer as it should."""

    exit_code = 5


class CancelledError(EdgekitError):
    """The run was cancelled; what was done by then is in the cache."""

    exit_code = 130  # as a shell tells an interruption

    def __init__(self) -> None:
        super().__init__("The run was cancelled.", fix="run it again: what was done by then is in the cache")


class LeafCrashError(EdgekitError):
    """A leaf failed in a way that has no remedy: a bug in edgekit, with its traceback in the log file ``place``.

    It costs the target that needed the leaf, and no other.
    """

    def __init__(self, what: str, log: str) -> None:
        super().__init__(
            f"{what}; this is a bug in edgekit, not in your input.", place=log, fix="report it with that file, please"
        )


REMEDIES: dict[str, type[EdgekitError]] = {
    kind.__name__: kind for kind in (BudgetMissed, InputError, MissingTool, EndlessError, Unsupported, DeviceError)
}
"""Every remedy by its class name: how an error crosses from a worker process to its parent."""

_SPACE = "free some space, or move the cache with EDGEKIT_CACHE and temporary files with TMPDIR"

_DISK = {
    errno.ENOSPC: ("There is no space left", _SPACE),
    errno.EDQUOT: ("The disk quota is used up", _SPACE),
    errno.EACCES: ("Permission denied", "choose another folder, or change its permissions"),
    errno.EPERM: ("Permission denied", "choose another folder, or change its permissions"),
    errno.EROFS: ("The file system is read-only", "choose another folder"),
    errno.ENOTDIR: ("A file stands where a folder is needed", "choose another folder, or move the file away"),
    errno.EEXIST: ("A file stands where a folder is needed", "choose another folder, or move the file away"),
    errno.ENAMETOOLONG: ("The name is too long", "choose a shorter name"),
    errno.ELOOP: ("Links lead in a circle", "correct the link"),
    errno.EFBIG: ("A file would become larger than is permitted here", "raise the limit: ulimit -f unlimited"),
    errno.EMFILE: ("Too many files are open", "raise the limit: ulimit -n 4096"),
    errno.EIO: ("The disk failed", "check the disk, or choose another folder"),
    errno.EISDIR: ("A folder stands where a file is needed", "name a file"),
}


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says, cut to 300 characters; its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def from_os(error: OSError) -> InputError | None:
    """The user's remedy for a refusal of the operating system; None if there is none."""
    if error.errno not in _DISK:
        return None
    problem, fix = _DISK[error.errno]
    return InputError(f"{problem}.", place=str(error.filename or "the disk"), fix=fix)


def full_disk(error: EdgekitError) -> InputError | None:
    """The true remedy if a library failed for want of space and its complaint was read as the model's fault."""
    told: BaseException | None = error
    while told is not None:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(told):
                return from_os(OSError(number, os.strerror(number)))
        told = told.__cause__ or told.__context__
    return None


_MEMORY = (
    "bad_alloc",
    "failed to allocate memory",  # TensorFlow
    "OOM when allocating",
    "Unable to allocate",  # numpy
    "Cannot allocate memory",
    "MemoryError",
)


def out_of_memory(told: BaseException | str) -> bool:
    """Whether a failure, what caused it, or a dead process's last words speak of memory that there was not."""
    while told is not None:
        if isinstance(told, MemoryError) or any(words in str(told) for words in _MEMORY):
            return True
        if isinstance(told, str):
            return False
        told = told.__cause__ or told.__context__  # type: ignore[assignment]
    return False


def too_large(place: str, limit: int | None) -> InputError:
    """The complaint about what needs more memory than a process may have (``limit`` bytes; None: the machine's)."""
    most = f"{limit / 2**30:.1f} GiB of memory" if limit is not None else "memory than this machine has"
    return InputError(
        f"It needs more than {most}." if limit is not None else f"It needs more {most}.",
        place=place,
        fix="if the model is to be trusted, raise the limit with --max-memory (such as 24G; and ulimit -v, if it is "
        "set), or use a larger machine",
    )
