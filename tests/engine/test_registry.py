"""The door to the leaves: names, third-party leaves, missing libraries."""

import importlib.util
import sys
from pathlib import Path

import pytest

from edgekit.engine import registry
from edgekit.errors import InputError, MissingTool
from edgekit.nouns import leaves


def test_built_in_leaves_are_found_by_file_name() -> None:
    before = set(sys.modules)
    assert {"keras", "onnx", "tflite"} <= set(registry.names("sources"))
    assert {"edgetpu", "openvino", "tflite"} <= set(registry.names("backends"))
    # Other tests may have loaded these into pytest; naming the leaves must not.
    assert not {"tensorflow", "onnx2tf", "nncf"} & (set(sys.modules) - before)


def test_a_third_party_leaf_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "guest-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[edgekit.sources]\nguest = guest_leaf\nhollow = guest_hollow\n")
    (tmp_path / "guest_hollow.py").write_text("")
    (tmp_path / "guest_leaf.py").write_text(
        "from edgekit.sources import Source\n\n\nclass Guest(Source):\n"
        "    describe = to_waist = run = first_divergence = lambda *_: None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "guest" in registry.names("sources")
    assert type(registry.leaf("sources", "guest")).__name__ == "Guest"
    with pytest.raises(TypeError, match="guest_hollow holds no Source"):
        registry.leaf("sources", "hollow")


def test_an_unknown_leaf_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no backend named vulkan") as unknown:
        registry.leaf("backends", "vulkan")
    assert "tflite" in unknown.value.fix


@pytest.mark.parametrize(
    ("room", "leaf", "module"),
    [(room, leaf, m) for room, rows in leaves.LEAVES.items() for leaf, row in rows.items() for m in row.modules],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    room: str, leaf: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest))
    with pytest.raises(MissingTool, match=f"{leaf} needs {module}") as missing:
        registry.require(room, leaf)
    assert missing.value.fix == registry.install(leaves.row(room, leaf).extra)
