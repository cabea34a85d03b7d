"""Batches for the networks that the study trains itself."""

import keras
import numpy as np

from tests.studies.compression.data import Sets


class Plain(keras.utils.PyDataset):
    """Samples in a new order in each epoch, 64 at a time."""

    def __init__(self, sets: Sets) -> None:
        super().__init__()
        self.sets, self.random = sets, np.random.default_rng(0)
        self.order = self.random.permutation(len(sets.x))

    def __len__(self) -> int:
        return len(self.order) // 64

    def __getitem__(self, index: int):
        rows = self.order[index * 64 : index * 64 + 64]
        return self.sets.x[rows], self.sets.y[rows]

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.order))


class Pictures(Plain):
    """The same, flipped by chance and shifted by up to 4 pixels."""

    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        x = np.where(self.random.random(len(x))[:, None, None, None] < 0.5, x[:, :, ::-1], x)
        padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
        down, across = self.random.integers(0, 9, (2, len(x)))
        size = x.shape[1]
        return np.stack([p[d : d + size, a : a + size] for p, d, a in zip(padded, down, across, strict=True)]), y
