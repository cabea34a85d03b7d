"""A folder of templates and facts → a folder of files. The same facts give the same bytes.

``templates/KIND/…/{model.snake}.kt.jinja`` becomes ``…/digits.kt``: names of files and folders are filled in by
`str.format` with the same facts. A template that comes to nothing but white space is no file, so that a whole file may
depend on what a network has; one whose name holds ``{result…}`` is filled in for each result. Files without ``.jinja``
are taken as they are.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.bundles.literals import FILTERS, Text

TEMPLATES = Path(__file__).parent / "templates"

PACKAGE = TEMPLATES.parents[1]
"""edgekit's own code: a bundle in Python holds the modules of `edgekit.processing` as they are."""

SUFFIX = ".jinja"


def render(kind: str, facts: dict[str, Any], out: Path) -> tuple[str, ...]:
    """Write a bundle's code.

    Args:
        kind: a folder of `TEMPLATES`.
        facts: by the names that templates use.
        out: the folder to write into.

    Returns:
        The files written, relative to ``out``, sorted.

    Raises:
        ValueError: a template takes text of a stranger's without a filter for its language.
        jinja2.UndefinedError: it takes what is not there.
    """
    environment = _environment(TEMPLATES / kind)
    written = []
    for file in sorted((TEMPLATES / kind).rglob("*")):
        place = file.relative_to(TEMPLATES / kind)
        name = place.as_posix()
        if file.is_dir() or any(folder.startswith(".") for folder in place.parts[:-1]):  # a linter's cache
            continue
        if file.name[0] == "_" and not file.name.startswith("__init__"):  # a part of other templates
            continue
        for told in [facts | {"result": one} for one in facts["bundle"].results] if "{result" in name else [facts]:
            content = file.read_bytes()
            if name.endswith(SUFFIX):
                content = _tidy(environment.get_template(name).render(told), 2 if ".py" in name else 1)
            if content or not name.endswith(SUFFIX):
                made = out / name.removesuffix(SUFFIX).format(**told)
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(content)
                written.append(made.relative_to(out).as_posix())
    return tuple(sorted(written))


@cache
def _environment(folder: Path) -> Any:
    """Jinja's, of the templates of a kind: it compiles each once, which takes longer than to fill in all of them."""
    import jinja2  # noqa: PLC0415  only if a bundle is written

    environment = jinja2.Environment(  # noqa: S701  code is no HTML: text is refused but for filters
        loader=jinja2.FileSystemLoader([folder, folder.parent, PACKAGE]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_filtered,
    )
    environment.filters |= FILTERS
    environment.globals["inverse"] = _inverse
    environment.filters["product"] = math.prod
    return environment


MODEL_FOLDERS = {
    "android": "src/main/assets/",
    "ios": "Sources/Model/",
    "openvino": "model/",
    "edgetpu": "model/",
    "linux": "model/",
}
"""By kind: where in a bundle the network's own files go."""


def has(kind: str) -> bool:
    """Whether there are templates of a kind."""
    return (TEMPLATES / kind).is_dir()


def _inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def _filtered(value: Any) -> Any:
    if isinstance(value, Text):
        raise ValueError(f"{str(value)!r} is a name that people gave: write it through a filter ({', '.join(FILTERS)})")
    return value


def _tidy(text: str, most_empty: int) -> bytes:
    """No blanks at the ends of lines, few empty lines in a row, one line break at the end; nothing if that is all."""
    lines: list[str] = []
    for line in text.split("\n"):
        stripped = line.rstrip()
        if stripped or (any(lines) and any(lines[-most_empty:])):
            lines.append(stripped)
    content = "\n".join(lines).rstrip()
    return f"{content}\n".encode() if content else b""
