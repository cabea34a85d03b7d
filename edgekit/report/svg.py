"""Pictures as SVG, drawn by matplotlib, which only those need who want pictures."""

import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.engine.registry import install
from edgekit.errors import MissingTool

INK, PALE, RED, PALE_RED = "#1f5fa8", "#c9d8ea", "#c0392b", "#f2c9c4"


def require() -> None:
    """Check, without importing it, that matplotlib is there.

    Raises:
        MissingTool: it is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingTool(
            "Plots need matplotlib, which is not installed.", place="this Python environment", fix=install("plots")
        )


@contextmanager
def style(salt: str) -> Iterator[Callable[[float, float], Any]]:
    """How figures look that are drawn and written inside; ``salt`` sets the ids in the file.

    Yields:
        A new figure, of its width and height in inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415  half a second, and an extra
    from matplotlib.figure import Figure  # noqa: PLC0415  as above

    with mpl.rc_context():
        mpl.rcdefaults()  # not what a matplotlibrc in the current folder says: it may come from anybody
        mpl.rcParams.update({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 9})
        mpl.rcParams["text.parse_math"] = False  # a dollar in a tensor's name is no formula
        yield lambda width, height: Figure(figsize=(width, height), layout="constrained")


def written(figure: Any) -> str:
    """A figure as an SVG file."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the text stays text, and whoever shows it has more fonts
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
