"""Android bundles without a compiler: whole, the same in each run, and inert to whatever tensors are called."""

import re
from pathlib import Path

import pytest

from edgekit.bundles.compiled_model import HOLDING_STATE
from edgekit.nouns.model import Cost
from tests.bundles.made import Maker, detector
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


def test_numbers_that_compiled_model_lacks_are_the_interpreter_s(tmp_path: Path) -> None:
    """A network of words takes int64: the line that apps paste must not throw."""
    main, device = "src/main/kotlin/edgekit/wren/", "src/androidTest/kotlin/edgekit/wren/GoldenOnDeviceTest.kt"
    for folder, (signature, described) in {"odd": Maker(0).network(), "plain": detector()}.items():
        place = tmp_path / folder
        written(
            place, "android", signature, described, lambda _, s=signature: Maker(0).outputs(s), target="android"
        )  # fmt: skip
        variants = (place / f"{main}Engine.kt").read_text().partition("enum class Variant")[2]
        taken = not re.search("INT16|UINT8|INT64", variants)
        assert taken is (folder == "plain")
        opened = "InterpreterEngine.open(context.assets, variant, 2," in (place / f"{main}WrenOnAndroid.kt").read_text()
        assert opened is not taken
        assert ("compiledModelOnCpu" in (place / device).read_text()) is taken
        assert ("and `fallback` says so" in (place / "README.md").read_text()) is not taken


@pytest.mark.parametrize("operator", sorted(HOLDING_STATE))
def test_a_state_that_compiled_model_does_not_open_is_the_interpreter_s(operator: str, tmp_path: Path) -> None:
    main = tmp_path / "src/main/kotlin/edgekit/wren"
    signature, described = detector()
    cost = Cost(bytes=0, parameters=0, macs=0, peak_activation_bytes=0, operators={operator: 1, "ADD": 2})
    facts = written(
        tmp_path, "android", signature, described, lambda _: Maker(0).outputs(signature), target="android", cost=cost
    )  # fmt: skip
    assert not facts.compiled
    assert "InterpreterEngine.open(context.assets, variant, 2," in (main / "WrenOnAndroid.kt").read_text()
    engine = (main / "CompiledModelEngine.kt").read_text()
    assert "HOLDING_STATE = setOf(Variant.INT8)" in engine
    assert max(map(len, engine.splitlines())) <= 120
    test = tmp_path / "src/androidTest/kotlin/edgekit/wren/GoldenOnDeviceTest.kt"
    assert "compiledModelOnCpu" not in test.read_text()
