"""The loop: what it learns, what a killed one goes on with, and what it does with numbers that are not finite."""

import errno
import importlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.errors import InputError, Unsupported
from edgekit.host import events
from edgekit.nouns.recipe import FineTune
from edgekit.waist import graph
from tests import networks
from tests.lazy import Lazy
from tests.networks import Network, weights
from tests.training import digits

finetune = Lazy("edgekit.passes.finetune")
fitting = Lazy("edgekit.training.fitting")
lifting = Lazy("edgekit.trainable.lifting")
data = Lazy("edgekit.training.data")
hooking = Lazy("edgekit.training.hooks")
checkpoints = Lazy("edgekit.training.checkpoints")
tf = Lazy("tensorflow")

QUICK = FineTune(epochs=4, learning_rate=5e-3, alpha=1.0)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.network(tmp_path_factory.mktemp("network") / "net.tflite")


def trained(folder: Path, waist: Path, settings: FineTune = QUICK, **given: Any) -> tuple[Any, bytes]:
    """What the pass returns, and the file that it writes."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    passed = finetune.FineTunePass().apply(digits.task(folder, waist, settings, **given), out)
    return passed, (out / passed.file).read_bytes()


@pytest.fixture(scope="module")
def taught(network: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What labels taught the network: what the pass returned, and the file."""
    folder = tmp_path_factory.mktemp("taught")
    settings = FineTune(epochs=4, learning_rate=5e-3, alpha=1.0, schedule="plateau")
    passed, _ = trained(folder, network, settings, labels=True)
    return passed, folder / "out" / passed.file


class Stopped(Exception):
    """Stands for a kill."""


def killed_in(epoch: int) -> Any:
    def listen(event: Any) -> None:
        if isinstance(event, events.Advance) and event.text.startswith(f"epoch {epoch} "):
            raise Stopped

    return events.told_to(listen)


def test_labels_teach_and_a_killed_run_goes_on_to_the_same_file(
    network: Path, taught: tuple[Any, Path], tmp_path: Path
) -> None:
    settings = FineTune(epochs=4, learning_rate=5e-3, alpha=1.0, schedule="plateau")
    passed, file = taught
    assert digits.accuracy(file) > 0.85
    assert [epoch.held_out is not None for epoch in passed.epochs] == [True] * 4
    with pytest.raises(Stopped), killed_in(3):
        trained(tmp_path, network, settings, labels=True)
    again, same = trained(tmp_path, network, settings, labels=True)
    assert same == file.read_bytes()
    assert [e.loss for e in again.epochs] == [e.loss for e in passed.epochs]
    assert again.epochs[0].seconds != passed.epochs[0].seconds  # it is the first run's, not done again


def test_a_teacher_alone_teaches_a_network_that_was_random(
    network: Path, taught: tuple[Any, Path], tmp_path: Path
) -> None:
    teacher = taught[1]
    passed, _ = trained(tmp_path, network, teacher=teacher)
    assert passed.epochs[-1].loss < 0.1 * passed.epochs[0].loss
    assert digits.accuracy(tmp_path / "out" / passed.file) > digits.accuracy(teacher) - 0.05


def test_its_own_teacher_leaves_a_network_as_it_is(network: Path, tmp_path: Path) -> None:
    passed, content = trained(tmp_path, network, FineTune(epochs=1))
    assert content == network.read_bytes()
    assert "the weights are as before" in passed.notes[0]


def test_numbers_that_are_not_finite_stop_training(network: Path, tmp_path: Path) -> None:
    images = digits.digits()[0][: digits.MEMBERS].copy()
    images[images.shape[0] // 2 :] = np.nan
    name = networks.signature(network).inputs[0].source_name
    with pytest.raises(InputError, match=r"no number in batch \d+ of epoch 1") as caught:
        trained(tmp_path, network, FineTune(epochs=2, holdout=0), samples={name: images})
    assert "learning rate" in caught.value.fix


RUINED = [("sgd", 1e38, 0.0), ("adam", 1e38, 0.1), ("rmsprop", 1e30, 0.1), ("adamw", 1e25, 0.0)]
"""Optimizers, rates that ruin weights in a step, and what is held out: a study tries the other share of each."""


@pytest.mark.parametrize(
    ("optimizer", "rate", "holdout"),
    [*RUINED, *(pytest.param(name, rate, 0.1 - share, marks=pytest.mark.study) for name, rate, share in RUINED)],
)
def test_what_the_last_step_ruins_is_not_kept(
    network: Path, tmp_path: Path, optimizer: Any, rate: float, holdout: float
) -> None:
    """Of one step: its own loss is that of the weights before it."""
    settings = FineTune(
        epochs=1, optimizer=optimizer, learning_rate=rate, clip_norm=0, batch_size=540, holdout=holdout, warmup=0
    )
    if holdout:
        _, content = trained(tmp_path, network, settings, labels=True)
        assert content == network.read_bytes()
        return
    with pytest.raises(InputError, match="epoch 1, after its last batch") as caught:
        trained(tmp_path, network, msgspec.structs.replace(settings, batch_size=600), labels=True)
    assert "learning rate" in caught.value.fix


def test_weights_that_were_drawn_are_not_what_training_is_held_against(network: Path, tmp_path: Path) -> None:
    """A rate at which nothing is learned leaves the drawn network; it is not told that it is as before."""
    settings = FineTune(epochs=2, learning_rate=1e-12, from_scratch=True)
    made, content = trained(tmp_path, network, settings, labels=True)
    assert content != network.read_bytes()
    assert not any("as before" in note for note in made.notes)


def test_values_are_dropped_before_the_last_layer_that_reads_floats(tmp_path: Path) -> None:
    """Rows of a table that ids choose are weights, but ids are not for dropping."""
    net = Network()
    table, ids = net.constant("table", weights(20, 8, seed=3)), net.input("ids", (1, 12), "int32")
    x = net.operator("GATHER", [table, ids], (1, 12, 8), name="rows", kind="GatherOptions", axis=0)
    waist = net.save(tmp_path / "net.tflite", x)
    given = {"source_ids": np.random.default_rng(0).integers(1, 20, (96, 1, 12)).astype(np.int32)}
    with pytest.raises(InputError, match="Dropout needs a layer with weights that reads floats"):
        trained(tmp_path, waist, FineTune(epochs=1, dropout=0.2), samples=given)


def test_after_good_epochs_the_last_good_weights_are_kept(network: Path, tmp_path: Path) -> None:
    asked = digits.task(tmp_path, network, FineTune(epochs=3, holdout=0), labels=True)
    lifted, wrong = lifting.lift(network), tf.Variable(0.0)
    kept = []

    def before_epoch(number: int) -> None:
        kept.append([weight.values() for weight in lifted.weights])
        wrong.assign(np.inf if number == 2 else 0.0)

    hooks = hooking.Hooks(before_epoch=before_epoch, losses=lambda: wrong * tf.reduce_sum(lifted.weights[0].variable))
    fitted = fitting.fit(
        lifted, data.read(asked), asked.settings, hooks=hooks, checkpoints=tmp_path / "checkpoints", seed=1
    )
    assert (len(fitted.epochs), fitted.kept) == (2, 2)
    assert "batch 1 of epoch 3" in fitted.warnings[0]
    assert all(np.array_equal(w.values(), good) for w, good in zip(lifted.weights, kept[2], strict=True))


def test_training_ends_early_and_keeps_the_best(network: Path, tmp_path: Path) -> None:
    settings = FineTune(epochs=30, learning_rate=0.5, schedule="constant", patience=2, optimizer="sgd", clip_norm=0)
    passed, _ = trained(tmp_path, network, settings, labels=True)
    assert len(passed.epochs) < 30
    losses = [epoch.held_out for epoch in passed.epochs]
    assert losses.index(min(losses)) <= len(losses) - 2


def test_hooks_are_part_of_the_step(network: Path, tmp_path: Path) -> None:
    asked = digits.task(tmp_path, network, FineTune(epochs=2), labels=True)
    lifted, steps = lifting.lift(network), tf.Variable(0, dtype=tf.int64)
    extra, epochs = tf.Variable(1.0), list[int]()

    def forward(given: Any, wanted: Any, *, training: bool) -> Any:
        made = fitting.model_of(lifted, wanted)(given[0], training=training)
        return [made * extra]

    hooks = hooking.Hooks(
        forward=forward,
        before_epoch=epochs.append,
        after_step=lambda step: steps.assign(step + 1),
        variables=[extra],
        counts=lambda done: done == 1,
    )
    fitted = fitting.fit(
        lifted, data.read(asked), asked.settings, hooks=hooks, checkpoints=tmp_path / "checkpoints", seed=1
    )
    assert fitted.kept == 1
    assert epochs == [0, 1]
    assert int(steps) == 2 * -(-540 // 32)
    assert float(extra) != 1.0


@pytest.mark.parametrize(("spread", "kept"), [(0.0, 1), (0.9, 0)])
def test_what_may_be_chance_does_not_replace_the_weights_before(tmp_path: Path, spread: float, kept: int) -> None:
    """The loss falls by a twentieth on average: of all samples alike, or much for one half and little less for the other."""
    network = digits.network(tmp_path / "net.tflite", softmax=False)
    asked = digits.task(tmp_path, network, FineTune(epochs=1, learning_rate=1e-12))
    lifted, found, off = lifting.lift(network), data.read(asked), tf.Variable(0.0, trainable=False)
    bright = digits.digits()[0][: digits.MEMBERS].reshape(digits.MEMBERS, -1).mean(1)
    middle = np.median(bright[found.held_out])

    def forward(given: Any, wanted: Any, *, training: bool) -> Any:
        side = tf.sign(tf.reduce_mean(given[0], [1, 2, 3]) - middle)
        away = tf.sqrt(1 - off * (0.05 + spread * side))
        return [fitting.model_of(lifted, wanted)(given[0], training=training) + away[:, None]]

    hooks = hooking.Hooks(forward=forward, before_epoch=lambda _: off.assign(1.0), state=[off])
    fitted = fitting.fit(lifted, found, asked.settings, hooks=hooks, checkpoints=tmp_path / "checkpoints", seed=1)
    (epoch,) = fitted.epochs
    assert (epoch.gain > epoch.gain_error, fitted.kept, float(off)) == (bool(kept), kept, kept)
    assert epoch.gain > 0
    assert any("may be chance" in note for note in fitted.notes) != bool(kept)


def test_a_full_disk_is_told_and_the_checkpoint_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = tf.Variable([1.0, 2.0])
    kept = checkpoints.Checkpoint(tmp_path, [variable])
    kept.save(checkpoints.TrainingState(best=3, best_loss=0.5, kept=(np.array([3.0, 4.0]),)))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(InputError, match="There is no space left"):
        kept.save(checkpoints.TrainingState(best=4))
    monkeypatch.undo()
    variable.assign([0.0, 0.0])
    found = kept.load()
    assert (found.best, found.best_loss, list(found.kept[0])) == (3, 0.5, [3.0, 4.0])
    assert list(variable.numpy()) == [1.0, 2.0]
    assert [file.name for file in tmp_path.iterdir()] == [checkpoints.FILE]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.full(digits.MEMBERS, 10), "Label 10 is out of range: the output has 10 classes, 0 to 9 .sample 0"),
        (np.r_[np.zeros(digits.MEMBERS - 1, int), -1], r"Label -1 is out of range.*sample 599"),
        (np.zeros((digits.MEMBERS, 3)), r"Labels of the shape \[3\] do not fit outputs of \[10\]"),
        (np.full(digits.MEMBERS, 3.5), r"Labels with fractions do not fit outputs of \[10\]"),
        (np.full((digits.MEMBERS, 10), 2.0), "Label 2 is out of range: what a class has lies from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(network: Path, tmp_path: Path, labels: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        trained(tmp_path, network, labels=labels)


def test_no_samples_and_too_few_are_refused(network: Path, tmp_path: Path) -> None:
    name, images = networks.signature(network).inputs[0].source_name, digits.digits()[0]
    with pytest.raises(InputError, match="no samples"):
        trained(tmp_path, network, samples={name: images[:0]})
    with pytest.raises(InputError, match=r"takes 32 samples, and there are 27 \(3 of 30 are held out\)") as caught:
        trained(tmp_path, network, samples={name: images[:30]})
    assert "finetune.batch_size=" in caught.value.fix
    with pytest.raises(InputError, match=r"there are 1 \(29 of 30 are held out\)") as caught:
        trained(tmp_path, network, FineTune(batch_size=8, holdout=0.99), samples={name: images[:30]})
    assert "finetune.holdout=" in caught.value.fix


def test_a_teacher_with_other_outputs_is_refused(network: Path, tmp_path: Path) -> None:
    net = Network()
    x = net.input("image", (1, 8, 8, 1))
    x = net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 64], np.int32))], (1, 64))
    x = net.operator("FULLY_CONNECTED", [x, net.constant("k", weights(7, 64))], (1, 7), name="scores")
    with pytest.raises(InputError, match="source_scores is not that of the network"):
        trained(tmp_path, network, teacher=net.save(tmp_path / "other.tflite", x))


def test_a_network_without_weights_cannot_be_trained(tmp_path: Path) -> None:
    net = Network()
    waist = net.save(tmp_path / "net.tflite", net.operator("EXP", [net.input("image", (1, 8, 8, 1))], (1, 8, 8, 1)))
    with pytest.raises(Unsupported, match="No gradient reaches any weight"):
        trained(tmp_path, waist)


def test_a_choice_is_taught_by_what_it_is_made_of(tmp_path: Path) -> None:
    """The class alone has no gradient; its scores have."""
    tree = graph.load(digits.network(tmp_path / "net.tflite"))
    net = Network()
    net.model, net.subgraph = tree, tree.subgraphs[0]
    axis = net.constant("axis", np.array(1, np.int32))
    made = net.operator(
        "ARG_MAX", [net.subgraph.outputs[0], axis], (1,), dtype="int64", kind="ArgMaxOptions",
        outputType=networks.TYPES["int64"],
    )  # fmt: skip
    waist = net.save(tmp_path / "choice.tflite", made)
    passed, _ = trained(tmp_path, waist, labels=True)
    assert passed.epochs[-1].held_out < 1.0


def test_kernels_for_raw_pixels_take_small_steps(network: Path, tmp_path: Path) -> None:
    preparing = Lazy("edgekit.training.preparing")
    lifted = lifting.lift(network)
    assert preparing.paces(lifted) == []
    first = lifted.weights[0].variable
    first.assign(first / 255)
    ((slow, pace),) = preparing.paces(lifted)
    assert slow is first
    assert 0.005 < pace < 0.05
    before = first.numpy()
    asked = digits.task(tmp_path, network, FineTune(epochs=1, schedule="constant", warmup=0, holdout=0), labels=True)
    fitting.fit(lifted, data.read(asked), asked.settings, checkpoints=tmp_path / "checkpoints")
    steps = -(-digits.MEMBERS // 32)
    moved = np.abs(first.numpy() - before).max()
    assert 0 < moved < 1.2 * steps * 1e-3 * pace  # Adam alone moves by up to its rate a step


def _hidden(monkeypatch: pytest.MonkeyPatch) -> FineTune:
    """Trials of one step, which changes next to nothing, at rates of which the larger do harm."""
    monkeypatch.setattr(importlib.import_module("edgekit.training.rates"), "trial_steps", lambda *_: 1)
    return FineTune(epochs=3, learning_rate=0.3, rates=6, warmup=0.0, clip_norm=0.0)


def test_a_first_epoch_that_harms_begins_again_at_a_lower_rate(
    taught: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, waist = taught
    settings = _hidden(monkeypatch)
    plain, _ = trained(tmp_path / "plain", waist, msgspec.structs.replace(settings, rates=1), labels=True)
    made, _ = trained(tmp_path / "made", waist, settings, labels=True)
    before = plain.epochs[0].held_out + plain.epochs[0].gain
    assert plain.epochs[0].held_out > 1.5 * before
    assert made.epochs[0].held_out <= 1.5 * before
    found = made.epochs[0].learning_rate / plain.epochs[0].learning_rate * settings.learning_rate
    assert found < settings.learning_rate / 2
    direct = msgspec.structs.replace(settings, rates=1, learning_rate=found)
    again, _ = trained(tmp_path / "again", waist, direct, labels=True)  # as if it had begun with that: all was put back
    assert [e.loss for e in again.epochs] == pytest.approx([e.loss for e in made.epochs], rel=1e-3)


@pytest.mark.study
def test_a_run_that_is_killed_behind_a_lowered_rate_goes_on_at_it(
    taught: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, waist = taught
    settings = _hidden(monkeypatch)
    made, file = trained(tmp_path / "made", waist, settings)
    with pytest.raises(Stopped), killed_in(2):
        trained(tmp_path / "again", waist, settings)
    again, same = trained(tmp_path / "again", waist, settings)
    assert same == file
    assert [e.learning_rate for e in again.epochs] == [e.learning_rate for e in made.epochs]


def test_numbers_that_are_not_finite_lower_the_rate(
    taught: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, waist = taught
    monkeypatch.setattr(importlib.import_module("edgekit.training.rates"), "largest", lambda *_: 1.0)
    settings = FineTune(epochs=1, learning_rate=1e4, optimizer="sgd", clip_norm=0.0, warmup=0.0, rates=12)
    with pytest.raises(InputError, match="infinite or no number"):
        trained(tmp_path / "one", waist, msgspec.structs.replace(settings, rates=1), labels=True)
    made, _ = trained(tmp_path / "several", waist, settings, labels=True)
    assert made.epochs[0].gain is not None
    assert made.epochs[0].held_out <= 1.5 * (made.epochs[0].held_out + made.epochs[0].gain)


@pytest.mark.parametrize(
    ("holdout", "augmentation"),
    [
        (0.0, ()),
        (0.1, ("flip", "mixup")),
        pytest.param(0.1, (), marks=pytest.mark.study),
        pytest.param(0.0, ("flip", "mixup"), marks=pytest.mark.study),
    ],
)
def test_a_step_is_traced_once_whatever_an_epoch_s_last_batch_holds(
    holdout: float, augmentation: tuple[str, ...], network: Path, tmp_path: Path
) -> None:
    """Tracing an unrolled network of integers takes longer than an epoch of it."""
    settings = FineTune(epochs=2, batch_size=32, holdout=holdout, rates=2, augmentation=augmentation)
    asked = digits.task(tmp_path, network, settings, labels=True)
    found, lifted = data.read(asked), lifting.lift(network)
    assert len(found.trained) % 32
    loop = fitting.Loop(lifted, found, settings, hooks=hooking.NONE, checkpoints=tmp_path / "checkpoints", seed=0)
    assert len(loop.run().epochs) == 2
    assert loop._step.experimental_get_tracing_count() == 1
    assert loop._judge.experimental_get_tracing_count() == 1
    assert not augmentation or loop._feed._augment.experimental_get_tracing_count() == 1
