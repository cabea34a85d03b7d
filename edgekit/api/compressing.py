"""compress for programs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.api.building import Constants, Shapes, described, in_project, opened
from edgekit.api.given import Model, Samples
from edgekit.api.results import Shown
from edgekit.api.running import Progress
from edgekit.config import Project
from edgekit.nouns.description import Description
from edgekit.nouns.recipe import PassReport
from edgekit.nouns.target import BuildOptions
from edgekit.verbs import compress as verb

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class CompressResult(Shown):
    """A float network that came of a recipe. It can be given wherever a path can.

    Attributes:
        path: where it lies.
        recipe: what was asked for, with all settings.
        passes: what each pass cost and gained.
    """

    path: Path
    recipe: BuildOptions
    passes: tuple[PassReport, ...]

    def __fspath__(self) -> str:
        return str(self.path)

    def screen(self) -> "RenderableType":
        """A line for each pass."""
        from edgekit.report import compression  # noqa: PLC0415  only what is shown needs rich

        return compression.passes(self.recipe.recipe, self.passes)

    __repr__ = Shown.__str__


def compress(
    model: Model,
    output: str | Path,
    *,
    recipe: str | Path | None = None,
    passes: Mapping[str, Mapping[str, Any]] | None = None,
    qat: bool = False,
    prune: float | None = None,
    prune_channels: float | None = None,
    data: Samples = None,
    teacher: str | Path | None = None,
    calibration: Samples = None,
    eval: Samples = None,  # noqa: A002  the name of the option
    metric: str | Callable[..., float] | None = None,
    shapes: Shapes | None = None,
    constants: Constants | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    custom_objects: str | None = None,
    allow_unsafe: bool = False,
    max_memory: str | None = None,
    max_seconds: float | None = None,
    description: Description | Mapping[str, Any] | None = None,
    seed: int = 0,
    cache_limit: str | None = None,
    progress: Progress = False,
) -> CompressResult:
    """Train, prune or distill a model, and write the float network that comes of it.

        smaller = edgekit.compress("model.onnx", "smaller.tflite", recipe="prune-channels30", data=x_train)
        edgekit.build(smaller, "android", calibration=x_train)

    Args:
        model: a path, a Keras model, or an ONNX ``ModelProto``.
        output: the float TFLite file to write.
        recipe: a recipe's name, or the path of one of your own.
        passes: as in `build`, and so are all other keywords.
        qat: instead of a recipe: train with the arithmetic of the integers.
        prune: instead of a recipe: the share of weights that are to be zero.
        prune_channels: instead of a recipe: the share of multiply-accumulates that is to go.
        data: samples to train on.
        teacher: the path of another network whose outputs training is to meet.
        calibration: samples for the ranges of quantization-aware training; some of ``data`` without.
        eval: labelled samples on which ``metric`` is told after each pass.
        metric: a name or a function.
        shapes: of inputs by name.
        constants: values by name of inputs that are bound to them for good.
        inputs: names of tensors that become the inputs.
        outputs: names of tensors that become the outputs.
        custom_objects: ``module:function`` that returns a Keras model's own classes by name.
        allow_unsafe: permit what does not only compute in this model.
        max_memory: what a process that reads models may use.
        max_seconds: what one inference may take.
        description: what inputs and outputs mean.
        seed: drives every random choice.
        cache_limit: what the cache may keep.
        progress: as in `build`.

    Returns:
        Its ``path`` is the file, ``passes`` are `edgekit.nouns.recipe.PassReport`: what each cost and gained.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read or train the model are not installed.
        Unsupported: the model has no float form, or cannot be trained so.
    """
    options = {name: value for name, value in locals().items() if name in Project.__struct_fields__}
    options |= {"model": None, "output": None, **described(description)}
    with opened(model, progress, cache_limit=cache_limit, max_memory=max_memory, max_seconds=max_seconds) as (
        running,
        path,
        folder,
    ):
        project, in_memory = in_project(running, options, path, folder)
        made = verb.compress(running, project, path, Path(output), in_memory)
        return CompressResult(made.file, made.recipe, made.passes)
