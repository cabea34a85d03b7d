"""What there is to say of a network that was quantized, and of the ways that were tried."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekit.backends.openvino.quantization import choice
from edgekit.backends.openvino.quantization.choice import Way
from edgekit.backends.openvino.quantization.forms import NncfReady
from edgekit.backends.openvino.quantization.trials import FormTrial
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.nouns.building import Tried

BIASES = {
    "nearest": "left as they are",
    "bias-correction": "corrected at once",
    "learned": "corrected layer by layer",
}
"""Ways to correct biases for the shift that rounding weights causes, in words."""


NO_GAIN = "the channels of its activations cannot be evened, or nearly have one size"
"""What is said of a network whose channels stay as they are."""


def tried(
    trials: Sequence[FormTrial], chosen: FormTrial, settings: NncfSettings, reached_db: float | None, *, is_even: bool
) -> Iterator[Tried]:
    """The ways that were tried, by the settings that make them again.

    Args:
        trials: one for each form.
        chosen: the one that was taken.
        settings: the target's.
        reached_db: what a file has for which decibels were asked.
        is_even: nothing gains by evened channels, as far as anybody looked.
    """
    for trial in trials:
        form = trial.form.told if len(trials) > 1 or trial.form.evened else {}
        if settings.least_db is not None:
            asked = settings.way(*trial.way) | form | {"least_db": settings.least_db}
            yield from [Tried(settings=asked, level_db=reached_db, chosen=True)] if trial is chosen else []
            continue
        for way in trial.levels_db or (trial.way,):
            is_chosen = trial is chosen and way == trial.way
            yield Tried(settings=settings.way(*way) | form, level_db=trial.levels_db.get(way), chosen=is_chosen)
    if is_even:
        yield Tried(settings={"equalization": "activations"}, problem=NO_GAIN)


def of_network(made: NncfReady, quantized: Any) -> Iterator[str]:
    """What was left out, and why."""
    if made.transformer:
        yield "attention was found: quantized as a transformer"
    if made.recurrent:
        yield "recurrent operators stay float (float16 weights): OpenVINO's int8 kernel for them is wrong"
    if not any(node.get_type_name() == "FakeQuantize" for node in quantized.get_ordered_ops()):
        yield "no operator of this network can be quantized: it computes in float"
    kinds = {node.get_friendly_name(): node.get_type_name() for node in made.model.get_ordered_ops()}
    for reason, names in made.floats.items():
        yield f"stays float32: {', '.join(sorted({kinds[name] for name in names}))} ({reason})"


def compared(way: Way, levels_db: Mapping[Way, float]) -> tuple[str, ...]:
    """What each way gave that was tried, in words; of a single one there is nothing to say."""
    if len(levels_db) < 2:
        return ()
    first = next(iter(levels_db))[1]
    by_bias = ", ".join(f"{BIASES[bias]} {level:.1f} dB" for (bias, used), level in levels_db.items() if used == first)
    notes: tuple[str, ...] = (f"biases are {BIASES[way[0]]}: {by_bias} on calibration samples that were held out",)
    by_range = ", ".join(f"{used} {level:.1f} dB" for (bias, used), level in levels_db.items() if bias == way[0])
    notes += (f"ranges are found by {way[1]}: {by_range}",) if len(levels_db) > len(BIASES) else ()
    default = levels_db.get(choice.DEFAULT)
    return (
        notes
        if default is None
        else (*notes, f"NNCF's default, which corrects at once by {choice.DEFAULT[1]}: {default:.1f} dB")
    )


def of_forms(trials: Sequence[FormTrial], chosen: FormTrial) -> Iterator[str]:
    """What equalized weights gave, and evened channels."""
    form, judged = chosen.form, len(trials) > 1 and bool(chosen.levels_db)
    if form.evened:
        yield "channels of activations are brought nearer to one size"
    if any(one.form.evened for one in trials) and judged:
        both = ", ".join(f"{'evened' if one.form.evened else 'as they are'} {one.level_db:.1f} dB" for one in trials)
        yield f"channels are {'evened' if form.evened else 'left as they are'}: {both}"
    elif judged:
        both = ", ".join(f"{'equalized' if one.form.pairs else 'as they are'} {one.level_db:.1f} dB" for one in trials)
        yield f"weights are {'equalized' if form.pairs else 'left as they are'}: {both}"
    elif form.pairs:
        yield f"{form.pairs} pairs of layers have equalized weights"
