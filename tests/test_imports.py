"""What starting up costs: the table of verbs needs click alone, and no help page opens a leaf. Only leaves do."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import grimp
import pytest

from edgekit.cli import VERBS
from edgekit.nouns.leaves import LEAVES
from tests.conftest import ROOT

ALLOWED = {"click", "edgekit"}
"""Third-party packages that ``edgekit --help`` may import."""

HEAVY = {"tensorflow", "keras", "tf_keras", "onnx", "onnx2tf", "onnxruntime", "openvino", "nncf"}
"""What only a worker process may import, and the interpreter, which only reading a model needs."""

PROBE = """
import sys
before = set(sys.modules)
{code}
added = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(name for name in added if name not in sys.stdlib_module_names and not name.startswith("_")))
"""


def imported_by(code: str) -> set[str]:
    """Third-party packages that a statement imports in a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split()) if run.stdout.strip() else set()


def test_the_table_of_verbs_needs_click_alone() -> None:
    assert imported_by("import edgekit.cli") <= ALLOWED


def test_the_package_needs_nothing() -> None:
    assert imported_by("import edgekit; dir(edgekit)") <= {"edgekit"}
    assert not imported_by("import edgekit; edgekit.build; edgekit.errors") & (HEAVY | {"click", "rich"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["biuld"]])
def test_the_front_desk_needs_click_alone(arguments: list[str]) -> None:
    assert imported_by(f"from edgekit.cli import run; run({arguments!r})") <= ALLOWED


def test_no_help_page_opens_a_leaf() -> None:
    """One interpreter shows all pages: what none of them imports is imported by none alone."""
    found = imported_by(
        f"from edgekit.cli import run; assert not any([run([verb, '--help']) for verb in {[*VERBS]!r}])"
    )
    assert "click" in found
    assert not found & (HEAVY | {"ai_edge_litert", "ai_edge_quantizer"})


@pytest.mark.study
def test_the_keras_worker_loads_no_keras_3_before_a_file_needs_it() -> None:
    """TensorFlow would load it, with pandas and scikit-learn, if it came before what tells it not to: 1.6 s."""
    assert not imported_by("import edgekit.sources.keras") & {"keras", "sklearn", "pandas", "matplotlib"}


def test_the_probe_sees_what_is_imported() -> None:
    assert "numpy" in imported_by("import numpy")


def test_only_leaves_import_what_the_base_install_does_not_bring() -> None:
    """Heavy libraries stand in leaves, whatever those are (nobody lists them), and in the room that these train with."""
    base = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]["dependencies"]
    light = {re.split(r"[=<>]", line)[0] for line in base} - {"ai-edge-quantizer"}
    brought = packages_distributions()
    graph = grimp.build_graph("edgekit", include_external_packages=True, cache_dir=None)
    found = set()
    for module in (name for name in graph.modules if name.partition(".")[0] == "edgekit"):
        _, *path = module.split(".")
        if len(path) < 2 or path[0] not in {*LEAVES, "trainable"} or path[0] == "samples":
            found |= {
                (module, package)
                for package in (name.partition(".")[0] for name in graph.find_modules_directly_imported_by(module))
                if package not in sys.stdlib_module_names | {"edgekit"}
                and not light & {name.lower().replace("_", "-") for name in brought[package]}
            }
    assert found == {("edgekit.report.svg", "matplotlib")}
