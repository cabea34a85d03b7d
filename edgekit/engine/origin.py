"""What a network is read from: its file or folder, the files beside it, and the user's code for it.

An answer in the cache belongs to a digest of all this. Since files can change while they are read, the
digest is taken again after each step that read them, and an answer that may be of other content is not kept.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit.engine import closure
from edgekit.engine.store import digest_of, file_digest, tree, tree_digest
from edgekit.errors import EdgekitError, InputError
from edgekit.host.companions import companion
from edgekit.nouns.model import SourceOptions


class Origin(msgspec.Struct, frozen=True):
    """Where a network comes from: ``parts`` are the digests of its files, by path."""

    path: Path
    companions: tuple[str, ...]
    code: str | None
    parts: dict[str, str]

    @property
    def sha256(self) -> str:
        """Digest of the contents: of the file or folder, its companions in their order, the code by its place."""
        return digest_of(list(self.parts.values()))

    def confirm(self) -> None:
        """See that nothing has changed since.

        Raises:
            InputError: something has; its name is told.
        """
        try:
            now = of(self.path, self.companions, self.code).parts
        except OSError as error:
            raise changed(self.path, str(error.filename or self.path)) from error
        for name in (*self.parts, *now):
            if self.parts.get(name) != now.get(name):
                raise changed(self.path, name)

    def reading[T](self, make: Callable[[Path], T]) -> Callable[[Path], T]:
        """A step that reads all this: it fails if that has changed meanwhile, so that nothing is kept of it."""

        def confirmed(out: Path) -> T:
            try:
                made = make(out)
            except EdgekitError:
                self.confirm()  # a complaint about a file that is just being written would mislead
                raise
            self.confirm()
            return made

        return confirmed


def changed(path: Path, name: str) -> InputError:
    """The complaint that a file did not stay as it was."""
    return InputError(f"{Path(name).name} changed while it was read.", place=str(path), fix="run it again")


def of(path: Path, companions: tuple[str, ...] = (), code: str | None = None) -> Origin:
    """The origin of a network, with its digests.

    Args:
        path: the model's file or folder.
        companions: names of files beside it that hold part of it.
        code: ``module:function`` of its custom objects, looked up in the current folder and beside it.

    Raises:
        InputError: a companion is not there, or lies elsewhere; a link leads out of the folder of a SavedModel.
        OSError: something cannot be read.
    """
    if path.is_dir():
        _refuse_links_out(path)
    parts = {str(path): tree_digest(path).sha256}
    for name in companions:
        parts[name] = file_digest(companion(path, name)).sha256
    if code is not None:
        parts |= {str(file): file_digest(file).sha256 for file in closure.files(code, (Path.cwd(), path.parent))}
    return Origin(path, companions, code, parts)


def of_model(path: Path, options: SourceOptions) -> Origin:
    """The origin of a model whose companions are not known yet; see `of`."""
    return of(path, code=options.custom_objects)


def _refuse_links_out(folder: Path) -> None:
    top = folder.resolve()
    for file in tree(folder):
        if not file.resolve().is_relative_to(top):
            raise InputError(
                f"{file.relative_to(folder)} is a link to a file outside of {folder.name}.",
                place=str(file),
                fix=f"name a copy in which files stand for links: cp -rL {folder.name} COPY",
            )
