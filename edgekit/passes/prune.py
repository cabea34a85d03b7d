"""Unstructured pruning: weights become zero by their magnitude, at once or along a ramp, for good or until they return.

The ramp is that of "To prune, or not to prune" (Zhu and Gupta, 2017). Dynamic pruning keeps the pruned weights aside
and trains them with the gradient at the pruned network, by smaller steps (`BACK`), so that they may return: "Dynamic
Model Pruning with Feedback" (Lin et al., 2020).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.recipe import Prune
from edgekit.passes import Passed, Task, TrainingPass
from edgekit.trainable.form import Weight
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.training import data, finishing, masking, sensitivity
from edgekit.training.fitting import fit
from edgekit.training.hooks import Hooks
from edgekit.training.preparing import is_kernel, prepared

CHOOSING = 2 / 3
"""The share of the epochs over which masks are chosen; then they stay, and what is left is trained."""

CUBIC = 3.0
"""The power of the ramp, as Zhu and Gupta have it, and TensorFlow's Model Optimization Toolkit."""

BACK = 0.1
"""The part of a step that moves a weight which is set to zero at the time, in dynamic pruning.

Its gradient is that at 0, wherever it has come to, so that nothing holds it back; and Adam's steps are of one size,
however small the gradient. With whole steps such weights outgrow those that are kept: each epoch others change places
with them, and ResNet-8's loss rose from 0.27 to 0.39 while masks were chosen, instead of falling to 0.25.
"""

HALF = 0.5
"""The largest share of zeros in the pattern 2:4."""

GAIN = (
    "zeros make a file smaller once it is compressed, and none faster: LiteRT multiplies by them; XNNPACK's sparse"
    " kernels read another format, which is not written, and are never taken on x86 with AVX"
)
"""Sources: XNNPACK, src/subgraph.c (xnn_subgraph_rewrite_for_nchw), and xnn_is_chw_compatible_config;
docs/explanation/training.md, "Zeros", has what was seen."""


class PrunePass(TrainingPass):
    """Sets weights to zero, and trains those that are left."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`."""
        settings = task.settings
        assert isinstance(settings, Prune)
        _require(settings)
        found = data.read(task)
        lifted = prepared(task, found, gains=True)
        kernels = [weight for weight in lifted.weights if is_kernel(weight)]
        taken = [weight for weight in kernels if masking.fits(weight.tensor.values.shape, settings.pattern)]
        whole = [weight.name for weight in kernels if weight not in taken]
        if not taken:
            raise _nothing(settings, whole)
        factors = None
        if settings.scope == "sensitivity":
            factors = sensitivity.of(lifted, [weight.variable for weight in taken], found, task.seed)
        pruning = Pruning(taken, factors, settings)
        if not settings.epochs:
            pruning.choose(0)
        fitted = fit(lifted, found, settings, hooks=pruning.hooks(), checkpoints=Path(task.checkpoints), seed=task.seed)
        zeros = sum(int((weight.values() == 0).sum()) for weight in taken)
        figures = {"sparsity": zeros / max(1, sum(weight.tensor.values.size for weight in taken))}
        return finishing.passed(task, lifted, out, fitted, figures=figures, notes=_notes(settings, whole))


def _require(settings: Prune) -> None:
    """Refuse more zeros than a pattern has.

    Raises:
        InputError: with the way out.
    """
    if settings.pattern == "2:4" and settings.sparsity > HALF:
        raise InputError(
            f"Two of each four weights are half of them, and {settings.sparsity:.0%} are to be zero.",
            place="prune.sparsity",
            fix='ask for 0.5, or for pattern = "unstructured"',
        )


def _nothing(settings: Prune, whole: Sequence[str]) -> Unsupported:
    """What is wrong if no weights can be zero."""
    return Unsupported(
        f"No layer has weights in which the pattern {settings.pattern} fits."
        if whole
        else "The network has no kernels.",
        place=f"prune: {', '.join(whole)}" if whole else "prune",
        fix='ask for pattern = "unstructured"' if whole else "leave the pass out",
    )


def _notes(settings: Prune, whole: Sequence[str]) -> tuple[str, ...]:
    left = f"left whole, since {settings.pattern} does not fit their shapes: {', '.join(whole)}"
    return (GAIN, left) if whole else (GAIN,)


class Pruning:
    """The masks of a network while it is trained.

    Args:
        weights: those that are pruned.
        factors: by which the magnitudes of each are multiplied before all are compared (see `masking.choose`).
        settings: of the pass.
    """

    def __init__(self, weights: Sequence[Weight], factors: Sequence[float] | None, settings: Prune) -> None:
        self._weights, self._factors, self._settings = list(weights), factors, settings
        self._masks = [tf.Variable(tf.ones_like(weight.variable), trainable=False) for weight in weights]
        self._dense = [tf.Variable(weight.variable, trainable=False) for weight in weights]
        choosing = max(1, round(CHOOSING * settings.epochs))
        self._until = choosing if settings.ramp == "polynomial" or settings.dynamic else 1
        self._shares = shares(settings, self._until)
        self._back = BACK if settings.dynamic else 0.0

    def hooks(self) -> Hooks:
        """What is added to the loop: only networks with all zeros that were asked for may be kept."""
        return Hooks(
            before_epoch=self.choose,
            after_step=self._keep,
            state=[*self._masks, *self._dense],
            counts=lambda done: done >= self._until,
        )

    def choose(self, epoch: int) -> None:
        """Choose the masks of an epoch, and set what they leave out to zero."""
        if epoch >= self._until:
            return
        found = [weight.layout.to_file(d.numpy(), weight.tensor.values.shape) for weight, d in self._pairs()]
        chosen = masking.choose(
            found,
            self._shares[epoch],
            pattern=self._settings.pattern,
            each=self._settings.scope == "layer",
            factors=self._factors,
        )
        for weight, mask, dense, values in zip(self._weights, self._masks, self._dense, chosen, strict=True):
            mask.assign(weight.layout.to_layer(values.astype("float32")))
            weight.variable.assign(left(dense, mask))

    def _pairs(self) -> list[tuple[Weight, Any]]:
        return list(zip(self._weights, self._dense, strict=True))

    def _keep(self, _: Any) -> None:
        """Keep zeros, and give what a step changed to the weights behind them; in TensorFlow's graph."""
        for (weight, dense), mask in zip(self._pairs(), self._masks, strict=True):
            moved = weight.variable - left(dense, mask)  # what this step did: before it the weight was dense · mask
            dense.assign_add(moved * mask + self._back * moved * (1 - mask))
            weight.variable.assign(left(dense, mask))


def left(dense: Any, mask: Any) -> Any:
    """What a mask leaves: a product would make some zeros negative, which compress worse."""
    return tf.where(mask > 0, dense, 0.0)


def shares(settings: Prune, epochs: int) -> list[float]:
    """The share of zeros in each epoch in which masks are chosen; the last is what was asked for."""
    if settings.ramp == "constant" or epochs == 1:
        return [settings.sparsity] * epochs
    ramp = tf_keras.optimizers.schedules.PolynomialDecay(0.0, epochs, settings.sparsity, CUBIC)
    return [float(ramp(epoch + 1)) for epoch in range(epochs - 1)] + [settings.sparsity]
