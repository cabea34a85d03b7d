"""Train the tutorial's network in PyTorch and export it to ``model.onnx`` beside this file.

    python docs/examples/shapes/draw.py
    python docs/examples/shapes/train.py

Needs torch, onnx and onnxscript, which edgekit itself does not: the exported file is in the repository. A minute on
a laptop's CPU.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from draw import CLASSES, picture
from PIL import Image
from torch import nn

HERE = Path(__file__).resolve().parent
EPOCHS = 12
DRAWN = 1000
"""Pictures of each class for training; those in ``images/train`` are for calibration alone."""
MEAN, STD = 127.5, 127.5


def block(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution that halves height and width."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def network() -> nn.Module:
    """Four convolutions, a mean over the picture and a dense head: [N,3,32,32] in -1..1 → [N,3] scores."""
    body = [block(3, 16), block(16, 32), block(32, 64), block(64, 64)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(CLASSES)))


def batch(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures as float32 [N,3,32,32] in -1..1."""
    pixels = np.stack([np.asarray(one, np.float32) for one in pictures])
    return torch.tensor((pixels - MEAN) / STD).permute(0, 3, 1, 2)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures to train on, and their labels."""
    random = np.random.default_rng(1)
    labels = [label for label in range(len(CLASSES)) for _ in range(DRAWN)]
    return batch([picture(CLASSES[label], random) for label in labels]), torch.tensor(labels)


def test() -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures of ``images/test``, and their labels."""
    folders = [(label, HERE / "images" / "test" / name) for label, name in enumerate(CLASSES)]
    files = [(label, file) for label, folder in folders for file in sorted(folder.iterdir())]
    return batch([Image.open(file) for _, file in files]), torch.tensor([label for label, _ in files])


def main() -> None:
    """Train, print the accuracy on the test pictures, export."""
    torch.manual_seed(0)
    x, y = drawn()
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * -(-len(x) // 64))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    x, y = test()
    with torch.no_grad():
        sys.stdout.write(f"top-1 on the test pictures: {(model(x).argmax(1) == y).float().mean():.3f}\n")
    file = HERE / "model.onnx"
    torch.onnx.export(model, (x[:1],), file, input_names=["image"], output_names=["scores"], external_data=False)
    _forget_this_machine(file)


def _forget_this_machine(file: Path) -> None:
    """Drop the stack traces that the exporter notes at each node, since they hold paths."""
    exported = onnx.load(file)
    for noted in (exported, exported.graph, *exported.graph.node, *exported.graph.value_info):
        del noted.metadata_props[:]
    onnx.save(exported, file)


if __name__ == "__main__":
    main()
