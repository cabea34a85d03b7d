"""Leaves of another distribution, as an installer leaves them, and targets that name them."""

from pathlib import Path


def installed(place: Path, modules: dict[str, str], points: str) -> Path:
    """The distribution guest-leaves 1.5 with these modules and entry points, in a folder for ``PYTHONPATH``."""
    info = place / "guest_leaves-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-leaves\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(points)
    for name, text in modules.items():
        (place / f"{name}.py").write_text(text)
    return place


def target(file: Path, *, backend: str, precision: str) -> Path:
    """A target of one file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'name = "{file.stem}"\ntitle = "A guest\'s"\nsummary = "One file."\ndocumentation = "https://example.com"\n'
        f'[[variants]]\nfile = "model.tflite"\nbackend = "{backend}"\nprecision = "{precision}"\nuse = "The only file."\n'
    )
    return file
