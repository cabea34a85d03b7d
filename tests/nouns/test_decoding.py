"""Files that edgekit wrote and somebody else changed: whatever they hold is refused as the user's to mend."""

from pathlib import Path

import msgspec
import pytest

from edgekit.engine.store import ANSWER, Store
from edgekit.errors import DeviceError, InputError
from edgekit.measure import record
from edgekit.nouns import manifest
from edgekit.nouns.base import decoded
from edgekit.nouns.lineage import Step
from edgekit.runner import seen

ODD = {
    "empty": b"",
    "cut": b'{"a": ',
    "latin": b'{"a": "\xe9"}',
    "lone": b'{"\xff": 1}',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "number": b"1e999999",
    "zeros": bytes(64),
    "surrogate": b'{"a": "\\ud800"}',
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_is_wrong_with_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(ODD[name])
    with pytest.raises(InputError, match=r"manifest\.json"):
        manifest.read(path)
    with pytest.raises(InputError, match="no profile"):
        record.read(path)
    with pytest.raises(DeviceError, match="does not answer"):
        seen(ODD[name], "phone")
    with pytest.raises(msgspec.MsgspecError):
        decoded(ODD[name], manifest.Manifest)


@pytest.mark.parametrize("name", ODD)
def test_a_damaged_answer_is_made_again(name: str, tmp_path: Path) -> None:
    made = []

    def make(_: Path) -> int:
        made.append(1)
        return 3

    question = Step(what="test", settings={})
    for _ in range(2):
        store = Store(tmp_path)
        assert store.ask(question, int, make).result == 3
        store.close()
        for file in (tmp_path / "answers").glob(f"*/{ANSWER}"):
            file.parent.chmod(0o700)
            file.chmod(0o600)
            file.write_bytes(ODD[name])
    assert len(made) == 2
