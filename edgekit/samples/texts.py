"""Samples from text: a line of tokens each, by the description of the input (``kind = "tokens"``)."""

import re
from pathlib import Path

import numpy as np

from edgekit.errors import InputError
from edgekit.nouns.description import TokensInput
from edgekit.nouns.model import TensorSpec
from edgekit.processing import tokens
from edgekit.samples.content import Raw


def read(path: Path, spec: TensorSpec, told: TokensInput) -> Raw:
    """Lines of ids, or of tokens of the vocabulary, between spaces or commas, as ``[N, *source_shape]``.

    Raises:
        InputError: a word is neither a number nor in the vocabulary; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is no text in UTF-8 (byte {error.start}).", place=str(path), fix="save it as UTF-8"
        ) from error
    known = {token: i for i, token in enumerate(told.vocabulary)}
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        strange = [word for word in words if word not in known and not re.fullmatch(r"[0-9]{1,18}", word)]
        if strange:
            raise InputError(
                f"Line {number} of {path.name} holds {strange[0][:40]!r}, which is "
                + ("not in the vocabulary." if known else "no number."),
                place=f"{path}:{number}",
                fix="write the tokens as their numbers, or as the vocabulary has them, with spaces between",
            )
        if words:
            ids = [known[word] if word in known else int(word) for word in words]
            rows.append(tokens.tensor(ids, told, spec.source_shape))
    if not rows:
        raise InputError(f"{path.name} is empty.", place=str(path), fix="write a line of tokens for each sample")
    return Raw({spec.source_name: np.stack(rows)})
