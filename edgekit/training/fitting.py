"""The training loop: steps in TensorFlow's graph, epochs in Python."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported
from edgekit.host import events
from edgekit.nouns.recipe import Distill
from edgekit.nouns.training import Epoch, Training
from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.training import augmentation, gains, rates, schedules
from edgekit.training.checkpoints import NOTHING, Checkpoint, TrainingState, remedied
from edgekit.training.data import TrainingData
from edgekit.training.feeding import Batch, Feed, traced
from edgekit.training.hooks import NONE, Fitted, Hooks
from edgekit.training.optimizers import optimizer
from edgekit.training.preparing import is_kernel, paces
from edgekit.training.teaching import Teaching, called, model_of
from edgekit.training.unheeded import unheeded
from edgekit.waist.tensors import Array


def fit(
    lifted: Lifted,
    data: TrainingData,
    settings: Training,
    *,
    hooks: Hooks = NONE,
    checkpoints: Path,
    seed: int = 0,
) -> Fitted:
    """Train a lifted network in place; it holds the best weights afterwards.

    The same seed gives the same weights on the same machine, whether or not the run was killed in between.

    Args:
        lifted: the network.
        data: what it is trained on.
        settings: how.
        hooks: what the pass adds.
        checkpoints: a folder; what a killed run left there is gone on with.
        seed: of every random choice.

    Raises:
        InputError: samples, labels or the teacher do not fit; the first epoch is not finite; the disk is full.
        Unsupported: nothing in it can be trained.
    """
    if not settings.epochs:
        return Fitted()
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return Loop(lifted, data, settings, hooks=hooks, checkpoints=checkpoints, seed=seed).run()


class NotFiniteError(Exception):
    """A step's loss or gradient is infinite or no number; ``place`` says in which batch."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Loop:
    """One training; the arguments are those of `fit`."""

    def __init__(
        self, lifted: Lifted, data: TrainingData, settings: Training, *, hooks: Hooks, checkpoints: Path, seed: int
    ) -> None:
        self._seed = seed
        self._lifted, self._data, self._settings, self._hooks = lifted, data, settings, hooks
        self._teaching = Teaching(lifted, data, settings)
        checkpoints.mkdir(parents=True, exist_ok=True)
        augment, labelled, inputs = None, self._teaching.labelled, lifted.model.inputs
        self._changes = augmentation.chosen(settings.augmentation, inputs, labelled=labelled is not None)
        if self._changes:
            augment = augmentation.Augmentation(self._changes, inputs, None if labelled is None else labelled.classes)
        with remedied(checkpoints):
            once = self._teaching.taught and augment is None and not self._teaching.features
            stored = self._teaching.stored(checkpoints) if once else []
        self._feed = Feed(lifted, data, stored, augment, seed)
        self._steps = -(-len(data.trained) // settings.batch_size)
        self._factor = tf.Variable(1.0, trainable=False)
        self._model = model_of(lifted, self._teaching.wanted)
        self._trained = _distinct([*lifted.model.trainable_variables, *hooks.variables, *self._teaching.adapters])
        self._rate = rate = schedules.schedule(settings, self._steps, self._factor)
        kernels = {id(weight.variable) for weight in lifted.weights if is_kernel(weight)}
        self._optimizer = optimizer(settings, rate, [v for v in self._trained if id(v) not in kernels])
        self._optimizer.build(self._trained)
        self._paces = paces(lifted) if settings.optimizer != "sgd" else []
        self._kernels = [variable for variable in self._trained if id(variable) in kernels]
        self._network = _distinct([*lifted.model.variables, *hooks.variables, *hooks.state])
        variables = _distinct([*self._network, *self._teaching.adapters, *self._optimizer.variables, self._factor])
        self._checkpoint = Checkpoint(checkpoints, variables)
        trained = self._feed.epoch(0, settings.batch_size)
        judging = self._feed.of(data.held_out, settings.batch_size) if len(data.held_out) else trained
        self._step, self._judge = traced(self._stepped, trained), traced(self._judged, judging)

    def run(self) -> Fitted:
        """All epochs that are not done yet."""
        kinds, judged = {pair.kind for pair in self._teaching.pairs}, bool(len(self._data.held_out))
        another = isinstance(self._settings, Distill) and self._settings.student is not None
        warnings = [*(self._teaching.unlike if another else ())]
        warnings += unheeded(self._settings, self._teaching.labelled, kinds, judged=judged)
        progress = self._checkpoint.load()
        if not progress.epochs:
            progress = self._begun()
            self._choose_rate()
        plateau = schedules.Plateau([_judging(epoch) for epoch in progress.epochs])
        while len(progress.epochs) < self._settings.epochs and not self._stale(progress):
            try:
                epoch = self._epoch(len(progress.epochs), progress.first) if progress.epochs else self._first(progress)
            except NotFiniteError as error:
                warnings.append(self._stopped(error, progress))
                break
            progress = self._weighed(replace(progress, epochs=(*progress.epochs, epoch)))
            if self._settings.schedule == "plateau" and plateau.lowers(_judging(epoch)):
                self._factor.assign(self._factor * schedules.PLATEAU_FACTOR)
            self._checkpoint.save(progress)
        rates.put_back(self._network, progress.kept)
        return Fitted(progress.epochs, progress.best, self._notes(progress), tuple(warnings))

    def _choose_rate(self) -> None:
        """Try the learning rates that the settings ask for; the best is gone on with."""
        count = self._settings.rates
        if count == 1 or not len(self._data.held_out):
            return
        share = rates.largest(count, self._try, lambda: _mean(self._held_out()), self._changing())
        self._factor.assign(share)

    def _changing(self) -> list[Any]:
        """What steps change."""
        return _distinct([*self._network, *self._teaching.adapters, *self._optimizer.variables])

    def _first(self, progress: TrainingState) -> Epoch:
        """The first epoch: once more at a lower learning rate, as long as there is one to try and it does harm.

        A trial of a few steps does not show all of it: of 225 pictures, six times as many doubled a detector's loss.

        Raises:
            NotFiniteError: a batch made a loss that is not finite.
        """
        changing = self._changing()
        held, before = [variable.numpy() for variable in changing], _mean(progress.first)
        while True:
            share = float(self._factor)
            lower = share > rates.smallest(self._settings.rates)
            try:
                epoch = self._epoch(0, progress.first)
                judged = epoch.held_out is not None and self._hooks.counts(
                    0
                )  # else the pass itself takes something away
                if not lower or not judged or not rates.harms(before, _judging(epoch), rates.RECOVERED):
                    return epoch
            except NotFiniteError:
                if not lower:
                    raise
            rates.put_back(changing, held)
            self._factor.assign(share * rates.BETWEEN)

    def _try(self, share: float) -> None:
        """Train for the steps of a trial with a share of the largest learning rate."""
        epochs, size = self._settings.epochs, self._settings.batch_size
        steps = rates.trial_steps(epochs, self._steps)
        for step, batch in enumerate(self._feed.epoch(epochs, size).take(steps)):  # in an order that no epoch has
            self._factor.assign(1.0)
            usual = float(self._rate(tf.constant(step, tf.int64)))
            self._factor.assign(share * rates.falling(step, steps) * self._settings.learning_rate / usual)
            self._done(batch)
        self._factor.assign(1.0)

    def _notes(self, progress: TrainingState) -> tuple[str, ...]:
        done = len(progress.epochs)
        changed = (f"samples were changed at random while training: {', '.join(self._changes)}",)
        notes = (*(changed if self._changes else ()), *self._teaching.told)
        if progress.best == done:
            return notes
        if progress.best == 0:
            return (*notes, f"{_no_better(progress)}: the weights are as before")
        told = f"the weights are those after epoch {progress.best} of {done}, whose held-out loss is the least"
        return (*notes, told)

    def _stopped(self, error: NotFiniteError, progress: TrainingState) -> str:
        """What is told of numbers that are not finite.

        Raises:
            InputError: there are no good weights yet.
        """
        told = f"Training met a loss that is infinite or no number in {error.place}"
        if not progress.epochs or progress.best < 0:
            raise InputError(
                f"{told}.",
                place="the training data",
                fix=f"lower the learning rate ({self._settings.learning_rate:g}), or look at these samples",
            )
        return f"{told}, and ended there; the weights are those after epoch {progress.best}"

    def _stale(self, progress: TrainingState) -> bool:
        """Whether no epoch has been better for so long that training ends."""
        patience = self._settings.patience
        losses = {0: _mean(progress.first)} | {n: _judging(epoch) for n, epoch in enumerate(progress.epochs, 1)}
        losses = {number: loss for number, loss in losses.items() if self._counts(number)}
        if not patience or not len(self._data.held_out) or not losses:
            return False
        return len(progress.epochs) - min(losses, key=lambda number: losses[number]) >= patience

    def _begun(self) -> TrainingState:
        """How good the network is before training."""
        progress = TrainingState(first=self._held_out())
        return self._kept(progress, _mean(progress.first)) if self._counts(0) else progress

    def _weighed(self, progress: TrainingState) -> TrainingState:
        """Keep the weights if they are the best so far and gain more than chance may, or if nothing judges."""
        done, epoch = len(progress.epochs), progress.epochs[-1]
        if not self._counts(done):
            return progress
        if epoch.held_out is not None:
            chance = self._counts(0) and epoch.gain is not None and epoch.gain <= (epoch.gain_error or 0)
            if chance or not epoch.held_out < progress.best_loss:
                return progress
        return self._kept(progress, _judging(epoch))

    def _counts(self, done: int) -> bool:
        """Whether the network after so many epochs may be kept; weights that were drawn are not worth it."""
        return self._hooks.counts(done) and (done > 0 or not self._settings.from_scratch)

    def _kept(self, progress: TrainingState, loss: float) -> TrainingState:
        """Keep the weights."""
        values = tuple(variable.numpy() for variable in self._network)
        return replace(progress, best=len(progress.epochs), best_loss=loss, kept=values)

    def _epoch(self, number: int, first: Array) -> Epoch:
        """Train for an epoch.

        Raises:
            NotFiniteError: a batch made a loss that is not finite.
        """
        self._hooks.before_epoch(number)
        _reseed_dropout(self._lifted.model, self._seed + number)
        start, total, seen, epochs = time.monotonic(), 0.0, 0, self._settings.epochs
        for step, batch in enumerate(self._feed.epoch(number, self._settings.batch_size)):
            loss, count = self._done(batch), int(batch.given[0].shape[0])
            if not math.isfinite(loss):
                raise NotFiniteError(f"batch {step + 1} of epoch {number + 1}")
            total, seen = total + loss * count, seen + count
            done = (number + (step + 1) / self._steps) / epochs
            events.progress(done, f"epoch {number + 1} of {epochs}, loss {total / seen:.4g}")
        rate = float(self._optimizer.learning_rate)
        losses = self._held_out()
        if not len(losses) and not math.isfinite(_mean(self._judge(batch).numpy())):  # no later step tells of the last
            raise NotFiniteError(f"epoch {number + 1}, after its last batch")
        events.metric("loss", total / seen, number)
        if len(losses):
            events.metric("held-out loss", _mean(losses), number)
        gain, error = (gains.gain(first, losses) if len(losses) else None) or (None, None)
        return Epoch(
            loss=total / seen,
            held_out=_mean(losses) if len(losses) else None,
            gain=gain,
            gain_error=error,
            learning_rate=rate,
            seconds=round(time.monotonic() - start, 3),
        )

    def _done(self, batch: Batch) -> float:
        """Make a step; its loss.

        Raises:
            InputError: the network cannot take what an augmentation made.
        """
        try:
            return float(self._step(batch))
        except tf.errors.InvalidArgumentError as error:
            stand_ins = [told for told in self._changes if told.partition("=")[0] in augmentation.VALUED]
            outside = _outside(error)
            if not stand_ins or not outside:
                raise
            raise InputError(
                f"The network cannot take what an augmentation makes of samples: {outside}.",
                place=f"augmentation {', '.join(stand_ins)}",
                fix="name an id that the network's vocabulary has",
            ) from error

    def _held_out(self) -> Array:
        """The loss of each sample that is held out ``[n]``; empty if none is."""
        batches = self._feed.of(self._data.held_out, self._settings.batch_size)
        return np.concatenate([NOTHING, *(self._judge(batch).numpy() for batch in batches)])

    def _stepped(self, batch: Batch) -> Any:
        """A step; the loss without what keeps weights small, no number if the gradient is none."""
        step = tf.identity(self._optimizer.iterations)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._loss(batch, training=True))
            whole = tf.add_n([loss, *self._penalties()])
        gradients = tape.gradient(whole, self._trained)
        pairs = [(g, v) for g, v in zip(gradients, self._trained, strict=True) if g is not None]
        if not pairs:
            raise Unsupported(
                "No gradient reaches any weight of the network.",
                place="; ".join(self._lifted.notes) or self._lifted.path.name,
                fix="leave out the passes that train",
            )
        if self._settings.clip_norm:
            clipped, norm = tf.clip_by_global_norm([g for g, _ in pairs], self._settings.clip_norm)
            pairs = [(g, v) for g, (_, v) in zip(clipped, pairs, strict=True)]
            loss = tf.where(tf.math.is_finite(norm), loss, math.nan)
        before = [(variable, tf.identity(variable), pace) for variable, pace in self._paces]
        self._optimizer.apply_gradients(pairs)
        for variable, was, pace in before:
            variable.assign(was + pace * (variable - was))
        self._hooks.after_step(step)
        return loss

    def _judged(self, batch: Batch) -> Any:
        return self._loss(batch, training=False)

    def _loss(self, batch: Batch, *, training: bool) -> Any:
        """The loss of each sample ``[n]``; feature maps are compared over all of them."""
        teaching, given, targets = self._teaching, list(batch.given), list(batch.targets)
        if self._hooks.forward is None:
            values = called(self._model, given, training=training)
        else:
            values = self._hooks.forward(given, teaching.wanted, training=training)
        if not targets and (teaching.taught or teaching.features):
            targets = [tf.stop_gradient(target) for target in teaching.targets(given)]
        loss = teaching.loss(values, targets, batch.labels[0] if batch.labels else None)
        if training and teaching.features:  # outputs alone judge
            loss += teaching.feature_loss(values, targets)
        return loss

    def _penalties(self) -> list[Any]:
        """What is added to the loss of a step."""
        found, settings = [], self._settings
        if settings.weight_decay and settings.optimizer != "adamw":
            found.append(settings.weight_decay * tf.add_n([2 * tf.nn.l2_loss(kernel) for kernel in self._kernels]))
        if settings.l1:
            found.append(settings.l1 * tf.add_n([tf.reduce_sum(tf.abs(kernel)) for kernel in self._kernels]))
        if self._hooks.losses is not None:
            found.append(self._hooks.losses())
        return found


def _mean(losses: Array) -> float:
    """The mean of the losses of samples; infinite if one is no number, or if there are none."""
    found = float(losses.astype(np.float64).mean()) if len(losses) else math.inf
    return found if math.isfinite(found) else math.inf


def _no_better(progress: TrainingState) -> str:
    """Why nothing was kept that training made."""
    best = max(progress.epochs, key=lambda epoch: epoch.gain or 0.0)
    if (best.gain or 0.0) <= 0:
        return "no epoch brought the held-out loss below that before training"
    return (
        f"the held-out loss fell from {_mean(progress.first):.3g} by {best.gain:.2g} at most, which may be chance"
        f" (standard error {best.gain_error:.2g} on {len(progress.first)} samples)"
    )


def _outside(error: Exception) -> str:
    """What an error of TensorFlow's says of ids outside a table, without where in its graph; "" if it is another."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line[line.index("indices[") :] for line in lines if "indices[" in line), "")


def _judging(epoch: Epoch) -> float:
    return epoch.loss if epoch.held_out is None else epoch.held_out


def _distinct(variables: Sequence[Any]) -> list[Any]:
    """Each variable once, in the order of their first places."""
    return list({id(variable): variable for variable in variables}.values())


def _reseed_dropout(model: Any, seed: int) -> None:
    """Let dropout draw the same in an epoch, whatever was drawn before: a resumed run has drawn less."""
    for place, layer in enumerate(model.layers):
        if isinstance(layer, tf_keras.layers.Dropout):
            layer._random_generator._generator.reset_from_seed(seed * 1009 + place)
