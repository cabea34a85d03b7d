"""What decides the answer of a pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.engine.question import Known, Question
from edgekit.engine.store import Answer
from edgekit.errors import InputError
from edgekit.nouns.model import Signature, SourceOptions, TensorSpec, Waist
from edgekit.nouns.recipe import FineTune
from edgekit.nouns.samples import Kept
from edgekit.steps import passing


@pytest.mark.parametrize(
    "name", ["waist", "signature", "teacher", "teacher_signature", "samples", "labels", "specification", "table.txt"]
)
def test_a_table_is_no_other_input_of_a_pass(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called: what else decides the answer stays part of the question."""
    monkeypatch.chdir(tmp_path)
    asked: list[Question] = []
    noted = SimpleNamespace(ask=lambda question, *_: asked.append(question))
    known = Answer(Waist(file="x", signature=Signature(inputs=(), outputs=())), tmp_path, {}, from_cache=False)
    kept = Kept(origin="x", total=4, total_sha256="0", used=4, sha256="0", labelled=True, notes=())
    subject = SimpleNamespace(waist=known, network=SimpleNamespace(path=tmp_path / "net.tflite"))
    course = SimpleNamespace(teacher=known, samples=Answer(kept, tmp_path, {}, from_cache=False), facts={}, seed=0)
    monkeypatch.setattr(passing, "content", lambda _: Known("samples"))
    for text in ("3 4", "4 5"):
        Path(name).write_text(text)
        for augmentation in ((), (f"synonyms={name}",)):
            settings = FineTune(augmentation=augmentation)
            passing._passed(cast("Any", noted), cast("Any", subject), settings, cast("Any", course), cast("Any", known))
    (without, one, _, other) = (question.inputs for question in asked)
    assert without.items() <= one.items()
    assert len(one) == len(without) + 1
    assert one != other
    assert not any(str(tmp_path) in role for role in one)


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

    monkeypatch.setattr(passing.reading, "open_network", read)
    for name in ("fixed", "open"):
        assert passing._opened(cast("Any", None), Path(name), cast("Any", source)) == "opened"
    own = SourceOptions(custom_objects="own:classes")
    assert opened == [
        own,
        own,
        SourceOptions(custom_objects="own:classes", shapes={"x": (1, 3, 8, 8)}),
    ]
    with pytest.raises(InputError, match="4"):
        passing._opened(cast("Any", None), Path("broken"), cast("Any", source))


def test_code_in_a_teacher_is_not_run_by_a_word_for_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_session: Any, path: Path, options: SourceOptions) -> str:
        assert not options.allow_unsafe
        raise InputError("It holds a Lambda.", place=str(path), fix="if you trust this file: --allow-unsafe")

    monkeypatch.setattr(passing.reading, "open_network", read)
    source = SimpleNamespace(options=SourceOptions(allow_unsafe=True))
    with pytest.raises(InputError) as found:
        passing._opened(cast("Any", None), Path("t.keras"), cast("Any", source))
    assert found.value.fix.endswith("edgekit build t.keras -t android --precision float32 --allow-unsafe")
