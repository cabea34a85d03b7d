"""``edgekit init``."""

from pathlib import Path

import click

from edgekit import config
from edgekit.cli import options
from edgekit.errors import InputError
from edgekit.sources import sniff

TEMPLATE = """\
# What `edgekit build` does in this folder. Flags win over this file.
model = "{model}"
targets = [{targets}]

# Samples of what the model will see, for quantization (.npz, .npy, .csv, a folder of images, module:function).
# calibration = "calibration.npz"

# Labelled samples and the metric that counts, with the largest drop that is no failure.
# eval = "test.npz"
# metric = "top1"
# max_drop = 0.01

# How images become the model's input; leave out for arrays that are ready.
# [preprocessing]
# size = [224, 224]
# channels = "RGB"
# scale = 0.00392156862745098
"""


@click.command()
@click.argument("model")
@click.option("-t", "--target", "targets", multiple=True, metavar="NAME", help="A target; may be repeated.")
def verb(model: str, targets: tuple[str, ...]) -> int:
    """Write an edgekit.toml beside a model, with every usual option explained.

    \b
    edgekit init model.onnx -t android
    """
    path = Path(model)
    sniff(path)
    for name in targets:
        config.target(name)
    file = path.absolute().parent / config.FILE_NAME
    if file.exists():
        raise InputError(f"There is an {file.name} already.", place=str(file), fix="edit it, or move it away first")
    chosen = ", ".join(f'"{name}"' for name in targets or ("android",))
    file.write_text(TEMPLATE.format(model=path.name, targets=chosen), encoding="utf8")
    options.stderr().print(f"wrote {file}")
    return 0
