"""Teachers and students: networks beside the source, and what their files may do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.errors import InputError
from edgekit.nouns.model import Signature, SourceOptions, TensorSpec
from edgekit.steps import teaching


def test_another_network_is_read_as_the_source_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its classes; with its sizes, where the other leaves some open. What its file may run is its own affair."""
    said = SourceOptions(custom_objects="own:classes", allow_unsafe=True, constants={"x": (1,)}, outputs=("y",))
    image = TensorSpec(
        name="x",
        shape=(1, 8, 8, 3),
        dtype="float32",
        source_name="x",
        source_shape=(1, 3, 8, 8),
        source_dtype="float32",
    )
    signature = Signature(inputs=(image,), outputs=())
    source = SimpleNamespace(options=said, model=SimpleNamespace(signature=signature))
    opened: list[SourceOptions] = []

    def read(_session: Any, path: Path, options: SourceOptions) -> str:
        opened.append(options)
        if path.name == "broken" or (path.name == "open" and not options.shapes):
            raise InputError(f"{len(opened)}", place="x", fix="y")
        return "opened"

    monkeypatch.setattr(teaching.reading, "open_network", read)
    for name in ("fixed", "open"):
        assert teaching._opened(cast("Any", None), Path(name), cast("Any", source)) == "opened"
    own = SourceOptions(custom_objects="own:classes")
    assert opened == [
        own,
        own,
        SourceOptions(custom_objects="own:classes", shapes={"x": (1, 3, 8, 8)}),
    ]
    with pytest.raises(InputError, match="4"):
        teaching._opened(cast("Any", None), Path("broken"), cast("Any", source))


def test_code_in_a_teacher_is_not_run_by_a_word_for_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_session: Any, path: Path, options: SourceOptions) -> str:
        assert not options.allow_unsafe
        raise InputError("It holds a Lambda.", place=str(path), fix="if you trust this file: --allow-unsafe")

    monkeypatch.setattr(teaching.reading, "open_network", read)
    source = SimpleNamespace(options=SourceOptions(allow_unsafe=True))
    with pytest.raises(InputError) as found:
        teaching._opened(cast("Any", None), Path("t.keras"), cast("Any", source))
    assert found.value.fix.endswith("edgekit build t.keras -t android --precision float32 --allow-unsafe")
