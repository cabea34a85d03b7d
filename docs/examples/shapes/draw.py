"""Draw the pictures of the tutorial: circles, squares and triangles on noisy ground.

    python docs/examples/shapes/draw.py [FOLDER]

It writes ``train/`` (600 pictures) and ``test/`` (150) below ``FOLDER``, by default ``images/`` beside this file; in
each a sub-folder for every class, which is how edgekit and most training code read labels. The seed decides
everything, so that every run draws the same pictures.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
CLASSES = ("circle", "square", "triangle")
PIXELS = 32
SPLITS = {"train": 200, "test": 50}
"""Pictures of each class."""


def picture(kind: str, random: np.random.Generator) -> Image.Image:
    """One shape in a random colour, place, size and rotation: RGB, `PIXELS` square."""
    dark = random.random() < 0.5
    ground = random.integers(*((0, 96) if dark else (160, 256)), 3) + random.normal(0, 12, (PIXELS, PIXELS, 3))
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    radius = random.uniform(7, 13)
    x, y = random.uniform(radius, PIXELS - radius, 2)
    colour = tuple(int(value) for value in random.integers(*((160, 256) if dark else (0, 96)), 3))
    pen = ImageDraw.Draw(image)
    if kind == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        sides = {"square": 4, "triangle": 3}[kind]
        pen.regular_polygon((x, y, radius), sides, rotation=random.uniform(0, 360), fill=colour)
    return image


def main(folder: Path) -> None:
    """Draw all pictures."""
    random = np.random.default_rng(0)
    for split, each in SPLITS.items():
        for kind in CLASSES:
            place = folder / split / kind
            place.mkdir(parents=True, exist_ok=True)
            for number in range(each):
                picture(kind, random).save(place / f"{number:03}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "images")
