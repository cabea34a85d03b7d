"""``edgekit init``."""

import json
from pathlib import Path

import click

from edgekit import config
from edgekit.cli import options
from edgekit.engine.session import Session
from edgekit.errors import EdgekitError, InputError
from edgekit.nouns.model import SourceOptions, TensorSpec
from edgekit.steps import reading

CHANNELS = {1: "L", 3: "RGB"}
"""Channels of an image → what `edgekit.nouns.model.Preprocessing` calls them."""

TEMPLATE = """\
# What `edgekit build` does in this folder. Flags win over this file.
model = {model}
targets = [{targets}]

# Samples of what the model will see, for quantization (.npz, .npy, .csv, a folder of images, module:function).
# calibration = "calibration.npz"

# Labelled samples and the metric that counts, with the largest drop that is no failure.
# eval = "test.npz"
# metric = "top1"
# max_drop = 0.01
# min_agreement = 0.98   # the least share of top-1 classes that are the source's
# min_sqnr = 20.0        # dB, of the worst output
# effort = "normal"      # search for files that meet these, at most so long
# time_limit = "10m"

{inputs}"""


@click.command()
@click.argument("model")
@click.option(
    "-t", "--target", "targets", multiple=True, metavar="NAME", help="Target to write into the file. May be repeated."
)
def verb(model: str, targets: tuple[str, ...]) -> int:
    """Write an edgekit.toml beside a model, with every usual option explained.

    \b
    edgekit init model.onnx -t android
    """
    path = Path(model)
    reading.source_of(path)
    for name in targets:
        config.target(name)
    file = path.absolute().parent / config.FILE_NAME
    if file.exists():
        raise InputError(f"There is an {file.name} already.", place=str(file), fix="edit it, or move it away first")
    chosen = ", ".join(f'"{name}"' for name in targets or ("android",))
    console = options.stderr()
    with options.session(console) as session:
        inputs = _inputs(session, path)
    file.write_text(TEMPLATE.format(model=_quoted(path.name), targets=chosen, inputs=inputs), encoding="utf8")
    console.print(f"wrote {file}")
    return 0


def _quoted(text: str) -> str:
    """A TOML string on one line; JSON's escapes are TOML's too.

    Raises:
        InputError: UTF-8, and so TOML, cannot hold it.
    """
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(f"The name {text!r} is not UTF-8.", place=repr(text), fix="rename the file") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inputs(session: Session, path: Path) -> str:
    """What the model's inputs take, and for images how they are made of files; or why it could not be read."""
    try:
        signature = reading.open_network(session, path, SourceOptions()).model.signature
    except EdgekitError as error:
        return f"# What goes in is not known yet: {_quoted(error.problem)}\n# Fix: {_quoted(error.fix)}\n"
    lines = ["# What goes in:"]
    lines += [f"#   {_quoted(spec.name)}: {spec.dtype} {list(spec.shape)}" for spec in signature.inputs]
    images = [spec for spec in signature.inputs if len(spec.shape) == 4 and _geometry(spec) is not None]
    if images:
        lines += ["", "# How images become that input: (pixels 0..255 * scale - mean) / std; leave out for arrays."]
    for spec in images:
        table = "preprocessing" if len(signature.inputs) == 1 else f"preprocessing.{_quoted(spec.name)}"
        lines += [f"# [{table}]", *(f"# {line}" for line in _geometry(spec) or ())]
        lines += ["# scale = 0.00392156862745098", "# mean = [0.0]", "# std = [1.0]"]
    return "\n".join(lines) + "\n"


def _geometry(spec: TensorSpec) -> tuple[str, ...] | None:
    """The lines that describe an image input; None for a tensor that is none."""
    _, first, second, last = spec.shape
    layout = "NCHW" if first in CHANNELS and last not in CHANNELS else "NHWC" if last in CHANNELS else None
    if layout is None:
        return None
    height, width, channels = (second, last, first) if layout == "NCHW" else (first, second, last)
    return f"size = [{height}, {width}]", f'channels = "{CHANNELS[channels]}"', f'layout = "{layout}"'
