"""What of edgekit and of what is installed decides an answer: the leaf's own code, what it may import, its own tools."""

import ast
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from edgekit.engine import fingerprint, registry
from edgekit.nouns import leaves
from tests.conftest import ROOT

MODULES = {"PIL": "pillow", "google": "protobuf"}
"""Third-party modules that are not called like their distributions."""

NO_MATTER = {"absl"}
"""What only writes logs."""


@dataclass(frozen=True)
class House:
    """A copy of edgekit whose files may be changed, and what each step's code came to before."""

    root: Path
    before: dict[str, str]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> House:
    root = tmp_path_factory.mktemp("house") / "edgekit"
    shutil.copytree(ROOT / "edgekit", root, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "ROOT", root)
        forget()
        return House(root, codes())


@pytest.fixture
def house(copied: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(fingerprint, "ROOT", copied.root)
    forget()
    yield copied
    monkeypatch.undo()
    forget()


def forget() -> None:
    for kept in (fingerprint.code, fingerprint.tools, fingerprint.tool_versions):
        kept.cache_clear()
    for kept in (fingerprint._read, fingerprint._module, fingerprint._package):
        kept.cache_clear()


STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sources/keras": ("sources/keras", ()),
    "sources/onnx": ("sources/onnx", ()),
    "sources/tflite": ("sources/tflite", ()),
    "backends/tflite": ("backends/tflite", ()),
    "backends/openvino": ("backends/openvino", ()),
    "backends/edgetpu": ("backends/edgetpu", ()),
    "cost": ("", ("edgekit.waist.cost",)),
    "samples": ("", ("edgekit.samples", "edgekit.steps.sampling")),
    "probes": ("", ("edgekit.steps.evidence",)),
    "verify": ("backends/tflite", ("edgekit.verify", "edgekit.steps.evidence")),
}


def codes() -> dict[str, str]:
    return {step: fingerprint.code(*asked) for step, asked in STEPS.items()}


def changed_by(house: House, name: str, content: str = "\n# changed\n") -> set[str]:
    """The steps whose answers are dropped if a file changes, or comes to be; it is as it was afterwards."""
    file = house.root / name
    file.parent.mkdir(exist_ok=True)
    held = file.read_text() if file.exists() else None
    file.write_text((held or "") + content)
    after = codes()
    file.unlink() if held is None else file.write_text(held)
    return {step for step, code in after.items() if code != house.before[step]}


@pytest.mark.parametrize(
    ("file", "dropped"),
    [
        ("sources/onnx/folding.py", {"sources/onnx"}),
        ("sources/onnx/new.py", {"sources/onnx"}),
        ("sources/onnx/rules/table.json", {"sources/onnx"}),
        ("sources/tflite/shapes.py", {"sources/tflite"}),
        ("backends/openvino/npu.py", {"backends/openvino"}),
        ("backends/edgetpu/rules.py", {"backends/edgetpu"}),
        ("backends/tflite/ready/scales.py", {"backends/tflite", "verify"}),
        ("samples/images.py", {"samples", "probes", "verify"}),
        ("verify/verdict.py", {"probes", "verify"}),
        ("steps/evidence.py", {"probes", "verify"}),
        ("engine/worker.py", set()),
        ("engine/store.py", set()),
        ("steps/artifact.py", set()),
        ("cli/build.py", set()),
        ("report/screens.py", set()),
        ("drivers/local.py", set()),
        ("meters/rapl.py", set()),
        ("__init__.py", set()),
    ],
)
def test_a_change_drops_what_it_may_have_made(house: House, file: str, dropped: set[str]) -> None:
    assert changed_by(house, file) == dropped


@pytest.mark.parametrize("file", ["waist/__init__.py", "nouns/base.py", "waist/layouts.json"])
def test_a_change_in_a_room_below_drops_all_that_stand_on_it(house: House, file: str) -> None:
    assert changed_by(house, file) >= {step for step in STEPS if step.startswith(("sources", "backends"))}


def test_a_contract_is_part_of_its_leaves_alone(house: House) -> None:
    assert changed_by(house, "sources/__init__.py") == {"sources/keras", "sources/onnx", "sources/tflite"}


def test_a_file_that_is_as_before_drops_nothing(house: House) -> None:
    assert changed_by(house, "sources/onnx/folding.py", "") == set()


def test_a_comment_or_a_cache_of_python_is_no_data(house: House) -> None:
    assert changed_by(house, "sources/onnx/__pycache__/folding.cpython-312.pyc") == set()


def test_imports_are_read_as_the_syntax_tree_has_them() -> None:
    for file in (ROOT / "edgekit").rglob("*.py"):
        found = set(fingerprint._read(file)[1])
        for node in ast.walk(ast.parse(file.read_bytes())):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 or "runner" in file.parts  # what boards run is imported by no leaf
                names = {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
            own = {name.removeprefix("edgekit.") for name in names if name.startswith("edgekit.")}
            assert own <= found, file


def test_whatever_runs_in_this_process_is_named_by_its_step() -> None:
    """A function of the steps that imports a module of edgekit's to run it here holds that module's code."""
    for file in (ROOT / "edgekit" / "steps").glob("*.py"):
        for function in ast.parse(file.read_text()).body:
            lazy = {
                f"{node.module}"
                for node in ast.walk(function)
                if isinstance(function, ast.FunctionDef) and isinstance(node, ast.ImportFrom)
            }
            modules = {module for module in lazy if module.startswith("edgekit")}
            text = ast.unparse(function)
            if modules and "Question(" in text:
                assert all(f"'{module}" in text for module in modules) or "__name__" in text, (file, function.name)


def test_the_libraries_of_a_leaf_are_in_its_row() -> None:
    for room in ("sources", "backends"):
        for leaf in registry.names(room):
            row = {*leaves.COMMON, *leaves.row(room, leaf).distributions}
            own = [file for file in fingerprint._leaf(f"{room}/{leaf}") if file.suffix == ".py"]
            used = {MODULES.get(name, name.replace("_", "-")) for file in own for name in third_party(file)}
            assert used - NO_MATTER <= row, (room, leaf)


def third_party(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names - {"edgekit"}


def test_a_new_pillow_drops_what_images_were_read_into_and_no_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {step: fingerprint.tools(*asked) for step, asked in STEPS.items()}
    (tmp_path / "pillow-99.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    try:
        assert {step for step, asked in STEPS.items() if fingerprint.tools(*asked) != before[step]} == {"samples"}
        assert fingerprint.tools(*STEPS["samples"])["pillow"] == "99.0"
    finally:
        forget()


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("onnx2tf", {"sources/onnx"}),
        ("openvino", {"backends/openvino"}),
        ("tensorflow", {"sources/keras", "sources/onnx"}),
        ("numpy", {*STEPS}),
    ],
)
def test_a_new_version_drops_what_it_may_have_made(
    name: str, dropped: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {step: fingerprint.tools(*asked) for step, asked in STEPS.items()}
    (tmp_path / f"{name}-99.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    try:
        assert {step for step, asked in STEPS.items() if fingerprint.tools(*asked) != before[step]} == dropped
    finally:
        forget()


def test_a_third_party_leaf_has_its_own_code_and_its_distributions_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.sources]\nguest = guest_leaf\nonnx = guest_leaf\n")
    (tmp_path / "guest_leaf.py").write_text("from guest_more import x\nfrom edgekit.waist import graph\n")
    (tmp_path / "guest_more.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    try:
        names = {file.name for file in fingerprint.files("sources/guest")}
        assert {"guest_leaf.py", "guest_more.py", "graph.py"} <= names
        assert fingerprint.tools("sources/guest")["guest"] == "1.0"
        assert "guest" not in fingerprint.tools("sources/onnx")
        assert "guest_leaf.py" not in {file.name for file in fingerprint.files("sources/onnx")}
    finally:
        forget()


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_tool_versions_are_those_that_python_tells() -> None:
    told = {name: found for name in leaves.TOOLS if (found := installed(name)) is not None}
    assert fingerprint.tool_versions() == told
    assert "numpy" in told


@pytest.mark.parametrize(
    ("folder", "parts"),
    [
        ("ai_edge_litert-2.1.2.dist-info", ("ai_edge_litert", "2.1.2")),
        ("nncf-3.4.0+cpu.dist-info", ("nncf", "3.4.0+cpu")),
        ("numpy-1.26.4-py3.12.egg-info", ("numpy", "1.26.4")),
    ],
)
def test_a_folder_names_distribution_and_version(folder: str, parts: tuple[str, str]) -> None:
    match = fingerprint.INSTALLED.fullmatch(folder)
    assert match is not None
    assert match.groups() == parts


def test_the_first_folder_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy-0.1.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    fingerprint.tool_versions.cache_clear()
    try:
        assert fingerprint.tool_versions()["numpy"] == "0.1"
    finally:
        fingerprint.tool_versions.cache_clear()
