"""Remedies: their exit codes, their text, and what the operating system's refusals become."""

import errno

import pytest

from edgekit import errors
from edgekit.errors import EdgekitError, InputError


def test_every_remedy_has_its_own_exit_code() -> None:
    assert {name: kind.exit_code for name, kind in errors.REMEDIES.items()} == {
        "BudgetMissed": 1,
        "InputError": 2,
        "MissingTool": 3,
        "EndlessError": 4,
        "Unsupported": 4,
        "DeviceError": 5,
    }
    assert EdgekitError.exit_code == 70


def test_the_text_holds_problem_place_and_fix() -> None:
    assert (
        str(InputError("It is wrong.", place="x.toml", fix="mend it")) == "It is wrong.\n  at: x.toml\n  fix: mend it"
    )
    assert str(InputError("It is wrong.")) == "It is wrong."


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG],
)  # fmt: skip
def test_a_refusal_of_the_operating_system_has_a_remedy(number: int) -> None:
    mended = errors.from_os(OSError(number, "no", "/some/file"))
    assert mended is not None
    assert mended.place == "/some/file"
    assert mended.fix


def test_any_other_is_a_bug() -> None:
    assert errors.from_os(OSError(errno.EBADF, "no")) is None
    assert errors.from_os(FileNotFoundError(errno.ENOENT, "no")) is None
