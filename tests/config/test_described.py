"""Files that ``[[input]]`` and ``[[output]]`` name: labels, vocabularies, anchors."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import config
from edgekit.config import described
from edgekit.errors import InputError


def project(folder: Path, text: str) -> config.Project:
    (folder / "edgekit.toml").write_text(text, encoding="utf8")
    return config.project(folder)


def output(folder: Path, keys: str) -> Any:
    return project(folder, f"[[output]]\n{keys}").output[0]


def test_labels_are_the_lines_of_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\ufeffcat\r\ndog \r\n 東京\r\n\r\n", encoding="utf8")
    assert output(tmp_path, 'task = "classification"\nlabels = "labels.txt"').labels == ("cat", "dog", "東京")
    assert output(tmp_path, 'task = "classification"\nlabels = ["a", "a"]').labels == ("a", "a")


def test_a_vocabulary_and_anchors_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("[PAD]\nthe\n")
    (tmp_path / "a.csv").write_text("0.5,0.5,1,1\n\n0.1, 0.2, 3e-1, 0.4\n")
    found = project(tmp_path, '[[input]]\nkind = "tokens"\nvocabulary = "v.txt"').input[0]
    assert found.vocabulary == ("[PAD]", "the")  # type: ignore[union-attr]
    boxes = output(tmp_path, 'task = "detection"\ndecoding = "ssd"\nanchors = "a.csv"')
    assert boxes.anchors == ((0.5, 0.5, 1, 1), (0.1, 0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        (None, "labels", "There is no file"),
        (b"", "labels", "is empty"),
        (b"\n\n", "labels", "is empty"),
        (b"a\n\nb\n", "labels", "has an empty line 2"),
        (b"a\n\xff\n", "labels", "no text in UTF-8 (byte 2)"),
        (b"1,2,3\n", "anchors", "`output[0].anchors[0]` is a list"),
        (b"1,2,3,x\n", "anchors", 'Line 1 of f is "1,2,3,x"'),
        (b"1,2,3,nan\n", "anchors", "`output[0].anchors[0][3]` is nan"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, key: str, problem: str) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError) as refused:
        output(tmp_path, f'task = "detection"\ndecoding = "ssd"\n{key} = "f"')
    assert problem in refused.value.problem
    assert refused.value.fix
    assert f"output[0].{key}" in refused.value.place


def test_folders_pipes_and_huge_files_are_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = 'task = "classification"\nlabels = "f"'
    (tmp_path / "f").mkdir()
    with pytest.raises(InputError, match="There is no file"):
        output(tmp_path, keys)
    (tmp_path / "f").rmdir()
    (tmp_path / "f").write_text("a\n")
    monkeypatch.setattr(described, "MOST_BYTES", 1)
    with pytest.raises(InputError, match="is larger than"):
        output(tmp_path, keys)
    with pytest.raises(InputError):
        output(tmp_path, 'task = "classification"\nlabels = "a\\u0000b"')


@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs"), exclude_characters="\ufeff"), min_size=1
        ),
        min_size=1,
    )
)
def test_any_names_come_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "l.txt").write_text("\n".join(names), encoding="utf8", newline="")
    assert output(folder, 'task = "classification"\nlabels = "l.txt"').labels == tuple(names)
