"""The files of a user's module, found without running it."""

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine import closure

FILES = {
    "layers.py": "import helper\nfrom .sibling import x\nraise SystemExit('never run')\n",
    "helper.py": "def f():\n    import deep.er\n    __import__('named')\n    importlib.import_module('named_too')\n",
    "deep/__init__.py": "",
    "deep/er.py": "import numpy, layers\n",
    "deep/unused.py": "from last import *\n",
    "deep/data.txt": "no code",
    "named.py": "this is no Python",
    "named_too.py": "",
    "last.py": "",
    "stranger.py": "",
}


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def names(folder: Path, reference: str, *folders: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in closure.files(reference, folders or (folder,))]


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    write(tmp_path)
    assert names(tmp_path, "layers:make") == sorted(set(FILES) - {"deep/data.txt", "stranger.py"})
    assert names(tmp_path, "stranger:make") == ["stranger.py"]
    assert names(tmp_path, "nowhere_at_all:make") == []


def test_a_module_inside_a_package_is_its_whole_package(tmp_path: Path) -> None:
    write(tmp_path)
    assert "deep/unused.py" in names(tmp_path, "deep.er:make")


def test_the_first_folder_wins_and_imports_cross_folders(tmp_path: Path) -> None:
    write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "layers.py").write_text("import named")
    assert names(tmp_path, "layers:make", tmp_path / "b", tmp_path / "a") == ["a/named.py", "b/layers.py"]


def test_a_package_that_links_to_itself_ends(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "deep" / "again").symlink_to(tmp_path / "deep")
    assert "deep/er.py" in names(tmp_path, "deep:make")


def test_the_users_own_folders_on_the_path_count_and_what_is_installed_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "empty").mkdir()
    found = closure.files("layers:make", (tmp_path / "empty",))
    assert tmp_path / "last.py" in found
    assert not [file for file in found if "numpy" in file.parts]


@given(st.text(max_size=30))
def test_any_text_is_read_or_passed_over(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "x.py")
        file.write_bytes(text.encode("utf8", "surrogatepass"))
        assert all(name in text for name in closure._imports(file))
