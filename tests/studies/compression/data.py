"""The data that networks are trained and judged on; what judges is never trained on."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.studies.accuracy.tasks import images


@dataclass(frozen=True)
class Sets:
    """Inputs ``[N, ...]`` and labels ``[N]`` (None: there are none) to train on, and to judge by."""

    x: Any
    y: Any
    judged_x: Any
    judged_y: Any


def small_photos(shared: Path) -> Sets:
    """CIFAR-10-JPEG, raw 0..255 RGB ``[N, 32, 32, 3]`` float32: 10,000 to train on, 2,000 to judge by."""
    train = images(shared / "data/cifar10jpeg_train10k.npz", 10_000)
    return Sets(*train, *images(shared / "data/cifar10jpeg_test2k.npz", 2_000))


def photographs(shared: Path) -> Sets:
    """The ImageNet sample as EfficientNet-Lite0 takes it, ``[N, 3, 224, 224]``: every other photograph judges."""
    pictures, labels = images(shared / "data/imagenet_sample.npz", 500)
    x = np.ascontiguousarray(((pictures - 127) / 128).transpose(0, 3, 1, 2)).astype(np.float32)
    return Sets(x[::2], labels[::2], x[1::2], labels[1::2])


def faces(shared: Path) -> Sets:
    """The same photographs as ultraface takes them, ``[N, 3, 240, 320]``, without labels: every other one judges."""
    pictures, _ = images(shared / "data/imagenet_sample.npz", 500, (240, 320))
    x = np.ascontiguousarray(((pictures - 127) / 128).transpose(0, 3, 1, 2)).astype(np.float32)
    return Sets(x[::2], None, x[1::2], None)


def boxes(shared: Path) -> Sets:
    """The same photographs as FastestDet takes them, BGR in 0..1 ``[N, 3, 352, 352]``, without labels."""
    pictures, _ = images(shared / "data/imagenet_sample.npz", 500, (352, 352))
    x = np.ascontiguousarray((pictures[..., ::-1] / 255).transpose(0, 3, 1, 2)).astype(np.float32)
    return Sets(x[::2], None, x[1::2], None)


WORDS = 48
"""Word pieces of a sentence: longer ones are cut."""

PIECES = 4_000
"""Word pieces that there are."""


def sentences(shared: Path) -> Sets:
    """SST-2 as word pieces of its own training sentences, ``[N, 48]`` int32; its sentences for development judge."""
    train, judged = (_rows(shared / f"data/sst2/{name}.tsv") for name in ("train", "dev"))
    vocabulary = pieces([text for text, _ in train])
    x, judged_x = (np.array([encoded(text, vocabulary) for text, _ in rows], np.int32) for rows in (train, judged))
    y, judged_y = (np.array([label for _, label in rows], np.int64) for rows in (train, judged))
    return Sets(x, y, judged_x, judged_y)


def _rows(file: Path) -> list[tuple[str, int]]:
    with file.open(encoding="utf8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(row[0].lower(), int(row[1])) for row in rows if len(row) == 2 and row[1] in {"0", "1"}]


def pieces(texts: list[str]) -> dict[str, int]:
    """Word pieces by byte-pair merges (Sennrich et al., 2016) of the words of some texts: piece → number; 0 pads."""
    words = Counter(word for text in texts for word in text.split())
    split = {word: (*word[:-1], f"{word[-1]}_") for word in words}
    known = dict.fromkeys(piece for parts in split.values() for piece in parts)
    counts = {word: count for word, count in words.items() if count > 1}
    while len(known) < PIECES - 2:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in counts.items():
            for pair in zip(split[word], split[word][1:], strict=False):
                pairs[pair] += count
        if not pairs:
            break
        for pair, _ in pairs.most_common(64):  # many at a time: one by one takes minutes
            known["".join(pair)] = None
            for word in counts:
                split[word] = _merged(split[word], pair)
    return {piece: number for number, piece in enumerate(list(known)[: PIECES - 2], 2)}


def _merged(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    if pair[0] not in parts:
        return parts
    made: list[str] = []
    for part in parts:
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return tuple(made)


def encoded(text: str, vocabulary: dict[str, int]) -> list[int]:
    """The numbers of a text's word pieces, the longest that fit first: 1 is an unknown one, 0 pads."""
    numbers: list[int] = []
    for word in text.split():
        rest = f"{word}_"
        while rest:
            piece = next((rest[:n] for n in range(len(rest), 0, -1) if rest[:n] in vocabulary), "")
            numbers.append(vocabulary.get(piece, 1))
            rest = rest[max(1, len(piece)) :]
            rest = "" if rest == "_" and not piece else rest
    return [*numbers, *([0] * WORDS)][:WORDS]
