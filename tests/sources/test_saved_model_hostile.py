"""SavedModels that do more than compute: refused before they are loaded, and walled in where the user insists."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError
from edgekit.nouns.model import SourceOptions
from tests.lazy import Lazy
from tests.sources.test_keras_refusals import describe, refused

saved_model_pb2: Any = Lazy("tensorflow.core.protobuf.saved_model_pb2")
pytestmark = pytest.mark.slow

NAMES = [
    "WriteFile", "ReadFile", "MatchingFiles", "PrintV2", "EagerPyFunc", "SaveV2", "RestoreV2", "TextLineDataset",
    "initializer_WriteFile", "nested_WriteFile", "file_InitializeTableFromTextFileV2",
]  # fmt: skip

COMES_WITH = {"TextLineDataset": "TensorSliceDataset"}
"""An operator that is refused too; the first in the file is told, and TensorFlow orders functions by a hash."""


@pytest.fixture(scope="module")
def models(keras_files: Callable[[str], Path]) -> Path:
    top = keras_files("hostile")
    assert (top / "mark").exists(), "a payload must do what the sandbox is to prevent"
    (top / "mark").unlink()
    return top


@pytest.mark.parametrize("name", NAMES)
def test_operators_that_do_not_only_compute_are_named(worker: Worker, models: Path, name: str) -> None:
    error = refused(worker, models / name)
    operator = name.rpartition("_")[2]
    assert any(f"runs {told}, which" in error.problem for told in (operator, COMES_WITH.get(operator)))
    assert "--allow-unsafe" in error.fix
    assert not (models / "mark").exists()


@pytest.mark.parametrize("name", ["WriteFile", "PrintV2", "initializer_WriteFile", "nested_WriteFile", "SaveV2"])
def test_what_the_user_lets_through_can_still_not_write(worker: Worker, models: Path, name: str) -> None:
    try:
        described = describe(worker, models / name, SourceOptions(allow_unsafe=True))
        assert described.format == "savedmodel"
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - whether loading ran it or not, it got nowhere
    assert not list(models.glob("mark*"))


@pytest.mark.parametrize("name", ["harmless", "stateless"])
def test_tables_of_constants_and_savers_of_any_name_pass(worker: Worker, models: Path, name: str) -> None:
    """Where a signature is stateless, the saver's node is called as its operator is: StatefulPartitionedCall."""
    assert describe(worker, models / name).signature.outputs[0].shape == (1, 3)


def test_links_may_stay_inside_and_not_lead_out(worker: Worker, models: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(models / "harmless", tmp_path / "model"))
    (model / "variables").rename(model / "kept")
    (model / "variables").symlink_to("kept")
    assert describe(worker, model).format == "savedmodel"
    (model / "assets").mkdir(exist_ok=True)
    (model / "assets" / "words").symlink_to("/etc/hostname")
    assert "leads out" in refused(worker, model).problem
    (model / "assets" / "words").unlink()
    os.mkfifo(model / "assets" / "words")
    assert "neither a file nor a folder" in refused(worker, model).problem


def test_variables_that_are_declared_and_not_there(worker: Worker, models: Path) -> None:
    assert "declares 12.0 GiB of variables" in refused(worker, models / "huge").problem


@pytest.mark.parametrize("dtype", [99, 65_537, 2**31 - 1, -1])
def test_a_variable_of_a_dtype_that_nobody_knows(dtype: int, worker: Worker, models: Path, tmp_path: Path) -> None:
    made = shutil.copytree(models / "huge", tmp_path / "odd")
    content = saved_model_pb2.SavedModel.FromString((made / "saved_model.pb").read_bytes())
    for node in content.meta_graphs[0].object_graph_def.nodes:
        if node.WhichOneof("kind") == "variable":
            node.variable.dtype = dtype
    (made / "saved_model.pb").write_bytes(content.SerializeToString())
    assert f"a variable of dtype {dtype}" in refused(worker, made).problem
