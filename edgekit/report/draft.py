"""The text of a new ``edgekit.toml``, with what a model tells of its inputs and outputs.

A table that the model itself bears out stands as it is; one that is likely stands as a comment, since a wrong
description would be worse than none.
"""

import json
from collections.abc import Iterator, Mapping

from edgekit.errors import InputError
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing.described import CHANNELS, layout_of, whole_range

HEAD = """\
# What `edgekit build` does in this folder. Flags win over this file.
model = {model}
targets = [{targets}]

# Samples of what the model will see, for quantization (.npz, .npy, .csv, a folder of images, module:function).
# calibration = "calibration.npz"

# Labelled samples and the metric that counts, with the largest drop that is no failure.
# eval = "test.npz"
# metric = "top1"        # or top5, auc, mae, mse, miou (of masks), map (of boxes), or module:function
# max_drop = 0.01
# min_agreement = 0.98   # the least share of top-1 classes that are the source's
# min_sqnr = 20.0        # dB, of the worst output
# effort = "normal"      # search for files that meet these, at most so long
# time_limit = "10m"

"""

BIG = 8
"""Pixels from which a side is one of a picture."""


def head(model: str, targets: tuple[str, ...]) -> str:
    """The part that is the same for every model."""
    return HEAD.format(model=quoted(model), targets=", ".join(quoted(name) for name in targets))


def unread(problem: str, fix: str) -> str:
    """Why nothing is known of inputs and outputs."""
    return f"# What goes in is not known yet: {quoted(problem)}\n# Fix: {quoted(fix)}\n"


def described(signature: Signature, ranges: Mapping[str, tuple[float, float]], ends: Mapping[str, str]) -> str:
    """The tables ``[[input]]`` and ``[[output]]``.

    Args:
        signature: of the source.
        ranges: by input's source name, what the network's first layer expects.
        ends: by output's source name, the operator that computes it.
    """
    lines = ["# What goes in, and how it becomes numbers: (byte 0..255 mapped to range - mean) / std."]
    for spec in signature.inputs:
        lines += [*_input(spec, ranges.get(spec.source_name)), ""]
    lines.append("# What comes out, and what it means.")
    for block in _outputs(signature, ends):
        lines += [*block, ""]
    return "\n".join(lines).rstrip() + "\n"


def quoted(text: str) -> str:
    """A TOML string on one line; JSON's escapes are TOML's too.

    Raises:
        InputError: UTF-8, and so TOML, cannot hold it.
    """
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(f"The name {text!r} is not UTF-8.", place=repr(text), fix="rename the file") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(spec: TensorSpec) -> str:
    return f"#   {quoted(spec.source_name)}: {spec.source_dtype} {list(spec.source_shape)}"


def _commented(lines: list[str]) -> list[str]:
    return [line if line.startswith("#") else f"# {line}" for line in lines]


def _input(spec: TensorSpec, expected: tuple[float, float] | None) -> list[str]:
    image = _geometry(spec)
    name = f"name = {quoted(spec.source_name)}"
    if image is not None:
        table = ["[[input]]", name, 'kind = "image"', *image]
        choices = [
            '# resize = "bilinear-antialias"  # as Pillow; or nearest, bilinear, bicubic-antialias, area',
            '# fit = "stretch"                # or crop (with shorter_side = 256, for instance), letterbox',
        ]
        if "int" in spec.source_dtype:
            own = whole_range(spec.source_dtype)
            return [_shown(spec), *table, f"range = {own}  # the model takes bytes", *choices]
        if expected is not None:
            low, high = (f"{end:.9g}" for end in expected)
            return [_shown(spec), *table, f"range = [{low}, {high}]  # as its first layer expects", *choices]
        asked = ["range = [0, 1]   # or [-1, 1], or [0, 255]: what it was trained with", "mean = [0]", "std = [1]"]
        return [_shown(spec), *_commented([*table, *asked]), *choices]
    if spec.index_below is not None and not spec.index_from:
        return [_shown(spec), *_commented(["[[input]]", name, 'kind = "tokens"', 'vocabulary = "vocabulary.txt"'])]
    if _is_waveform(spec):
        return [_shown(spec), *_commented(["[[input]]", name, 'kind = "audio"', "sample_rate = 16000"])]
    return [_shown(spec), *_commented(["[[input]]", name, 'kind = "tensor"'])]


def _is_waveform(spec: TensorSpec) -> bool:
    """One long axis of floats, as of a second of sound; features are hardly ever as many."""
    longer = [size for size in spec.source_shape if size > 1]
    return spec.source_dtype.startswith("float") and len(longer) == 1 and longer[0] >= 4000


def _geometry(spec: TensorSpec) -> list[str] | None:
    """The lines that describe an image input; None for a tensor that is none."""
    if len(spec.source_shape) != 4 or spec.source_shape[0] != 1:
        return None
    _, first, second, last = spec.source_shape
    layout = layout_of(spec.source_shape, spec.source_layout)
    height, width, channels = (second, last, first) if layout == "NCHW" else (first, second, last)
    if channels not in CHANNELS:
        return None
    return [f"size = [{height}, {width}]", f'channels = "{CHANNELS[channels]}"', f'layout = "{layout}"']


def _outputs(signature: Signature, ends: Mapping[str, str]) -> Iterator[list[str]]:
    shapes = {spec.source_name: spec.source_shape for spec in signature.outputs}
    boxes = next((name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 4), None)
    scores = next(
        (n for n, s in shapes.items() if boxes and n != boxes and len(s) == 3 and s[1] == shapes[boxes][1]), None
    )
    for spec in signature.outputs:
        name = f"name = {quoted(spec.source_name)}"
        if boxes and scores and spec.source_name in {boxes, scores}:
            if spec.source_name == boxes:
                table = ["[[output]]", name, 'task = "detection"', f"scores = {quoted(scores)}", *_DETECTION]
                yield [_shown(spec), *_commented(table)]
            continue
        sure, guess = _task(spec, ends.get(spec.source_name, ""))
        table = ["[[output]]", name, *guess]
        yield [_shown(spec), *(table if sure else _commented(table))]


_DETECTION = [
    'labels = "labels.txt"',
    'box_format = "xyxy"            # or yxyx, cxcywh, cycxhw, xywh',
    'coordinates = "normalized"     # or pixels',
    'activation = "none"            # sigmoid or softmax, if the scores are logits',
    "score_threshold = 0.25",
    "iou_threshold = 0.5",
]


def _task(spec: TensorSpec, end: str) -> tuple[bool, list[str]]:
    """Whether the task is sure, and the lines that say it."""
    sizes = [size for size in spec.source_shape if size > 1]
    if len(sizes) <= 1 and end == "SOFTMAX":
        return True, ['task = "classification"', 'activation = "none"  # it ends with a softmax', _LABELS]
    if len(sizes) == 1:
        ends = "none" if end == "LOGISTIC" else "softmax"
        hint = f'activation = "{ends}"  # {"it ends with a sigmoid" if end == "LOGISTIC" else "if these are logits"}'
        return False, ['task = "classification"  # or embedding, or regression', hint, _LABELS]
    return False, _likely(spec.source_shape)


_LABELS = '# labels = "labels.txt"  # one on a line, in the order of the scores'


def _likely(shape: tuple[int, ...]) -> list[str]:
    """What an output of several axes, or of a single number, most often is."""
    if len(shape) == 3 and shape[2] in {2, 3} and shape[1] < 200:
        points = "xy" if shape[2] == 2 else "xys"
        return ['task = "keypoints"', f'point_format = "{points}"  # or yx, yxs']
    if len(shape) == 3 and min(shape[1:]) >= 5:
        turned = [] if shape[1] > shape[2] else ["transposed = true"]
        return ['task = "detection"', *turned, *_DETECTION]
    if len(shape) == 4 and sorted(shape)[-2] >= BIG:
        return ['task = "segmentation"', _LABELS]
    return ['task = "regression"  # or classification, of one probability']
