"""Android bundles without a compiler: whole, the same in each run, and inert to whatever tensors are called."""

from pathlib import Path

import pytest

from tests.bundles.made import Maker
from tests.bundles.written import written


def bundle(folder: Path, seed: int) -> dict[str, bytes]:
    maker = Maker(seed)
    signature, described = maker.network()
    written(folder, "android", signature, described, lambda _: maker.outputs(signature), target="android")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("seed", range(3))
def test_the_same_network_gives_the_same_bytes(seed: int, tmp_path: Path) -> None:
    made = bundle(tmp_path / "one", seed)
    assert made == bundle(tmp_path / "two", seed)
    code = {name: content.decode() for name, content in made.items() if name.endswith((".kt", ".kts"))}
    assert {"src/main/kotlin/edgekit/wren/Wren.kt", "src/test/kotlin/edgekit/wren/GoldenTest.kt"} <= code.keys()
    for name, text in code.items():
        assert text == f"{text.rstrip()}\n", name
        assert not [line for line in text.split("\n") if line != line.rstrip()], name
        assert not {"{{", "{%"} & set(text.split()), name
    assert len({name.partition(".")[0] for name in made if name.startswith("golden/0")}) == 8
