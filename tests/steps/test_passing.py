"""What decides the answer of a pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.engine.question import Known, Question
from edgekit.engine.store import Answer
from edgekit.nouns.model import Signature, Waist
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
