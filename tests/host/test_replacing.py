"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from edgekit.host import replacing
from edgekit.nouns.manifest import PART


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    with replacing.replacing(file) as aside:
        aside.write_bytes(b"half")
        assert file.read_bytes() == b"before"
        assert PART.fullmatch(aside.name)  # what whoever writes next sweeps if this process is killed
        aside.write_bytes(b"after")
    assert file.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [file]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    with pytest.raises(FileNotFoundError), replacing.replacing(file) as aside:
        aside.with_name("none").read_bytes()
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_may_be_read_by_whom_the_user_lets(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        replacing.write(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
