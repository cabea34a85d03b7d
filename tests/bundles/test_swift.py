"""The Swift package: parsed, for every kind of input and task. No Swift compiler runs where these tests do."""

from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_swift

from tests.bundles.made import Maker
from tests.bundles.written import written


def broken(source: str) -> list[str]:
    """Lines that the grammar does not take."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    tree, found, waiting = parser.parse(source.encode()), [], []
    waiting.append(tree.root_node)
    while waiting:
        node = waiting.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(source.splitlines()[node.start_point[0]])
        waiting += node.children
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(8))
def test_all_of_it_parses(seed: int, tmp_path: Path) -> None:
    maker = Maker(seed)
    signature, described = maker.network()
    written(tmp_path, "ios", signature, described, lambda _: maker.outputs(signature), target="ios")
    files = list(tmp_path.rglob("*.swift"))
    assert len(files) >= 7
    for file in files:
        assert broken(file.read_text("utf8")) == [], file


def test_the_grammar_finds_faults() -> None:
    assert broken("let broken = [1, 2")
