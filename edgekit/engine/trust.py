"""Whether what a project's file would run may run: asked once for each content, as direnv does.

A folder with a model and an ``edgekit.toml`` may come from anybody. What the file says is data, but for a few
keys that make edgekit run code, reach a machine, or write elsewhere (`effects`). For these a person's word is
needed, which is kept by digest: of the file, of the code that it names, and of the model if that is code.
Flags are a person's own words and need none, and so does the user's own ``devices.toml``.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from edgekit import config
from edgekit.config import Project
from edgekit.config.toml import shown
from edgekit.engine import closure
from edgekit.engine.store import digest_of, file_digest, tree_digest
from edgekit.nouns.profile import DeviceConfig

CODE = frozenset({"custom_objects"})
"""Keys of a project whose value is code, however it is written."""

_PROGRAMS = ("python", "delegate_library", "key", "known_hosts")
"""Keys of a device that name files, which may lie in the project's folder."""


class TrustRequest(msgspec.Struct, frozen=True):
    """What a project's file asks for: its effects in words, and the digest by which trust is kept."""

    file: Path
    effects: tuple[str, ...]
    sha256: str

    @property
    def granted(self) -> bool:
        """Whether the user has trusted this content before."""
        return _record(self.sha256).is_file()

    def grant(self) -> None:
        """Remember that the user trusts it.

        Raises:
            OSError: the folder for settings cannot be written to.
        """
        record = _record(self.sha256)
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [str(self.file), *self.effects]
        record.write_text("".join(f"{ascii(line)[1:-1]}\n" for line in lines), encoding="ascii")


def _record(sha256: str) -> Path:
    return config.devices_file().parent / "trusted" / sha256


def request(
    file: Path, project: Project, said: Collection[str] = (), devices: Collection[str] = ()
) -> TrustRequest | None:
    """What a person must have looked at before a project is used; None if it holds data only.

    Args:
        file: the ``edgekit.toml``.
        project: what it holds.
        said: keys that the user's flags decide instead.
        devices: those of its devices that are to be used.

    Raises:
        OSError: a file that it names cannot be read.
    """
    found = effects(file, project, said, devices)
    if not found:
        return None
    folder = file.absolute().parent
    model = None if project.model is None else Path(project.model)
    beside = (Path.cwd(), folder, *(() if model is None else (model.parent,)))
    code = {path for name in _functions(project, said).values() for path in closure.files(name, beside)}
    for name in devices:
        code |= set(_programs(project.devices[name], folder))
    parts = [file_digest(file).sha256, *(file_digest(path).sha256 for path in sorted(code))]
    if project.allow_unsafe and model is not None and model.exists():
        parts.append(tree_digest(model).sha256)
    return TrustRequest(file, found, digest_of([found, parts]))


def effects(file: Path, project: Project, said: Collection[str] = (), devices: Collection[str] = ()) -> tuple[str, ...]:
    """What a project makes edgekit do beyond reading its data, a line for each key (see `request`)."""
    found = [f"{key} = {shown(name)} runs that Python code" for key, name in _functions(project, said).items()]
    if project.allow_unsafe and "allow_unsafe" not in said:
        found.append("allow_unsafe = true runs code from the model file")
    if project.output_folder is not None and "output_folder" not in said:
        place = Path(project.output_folder).resolve()
        if not place.is_relative_to(file.resolve().parent):
            found.append(f"output_folder = {shown(str(place))} writes outside of the project's folder")
    for name in devices:
        table = config.device_table(project.devices[name])
        keys = ", ".join(f"{key} = {shown(value)}" for key, value in table.items())
        found.append(f"[devices.{name}] reaches or runs: {keys}")
    return tuple(found)


def _functions(project: Project, said: Collection[str]) -> dict[str, str]:
    """Every key whose value is a function to call: whatever reads as one, and all that `CODE` holds."""
    values = {key: getattr(project, key) for key in project.__struct_fields__ if key not in said}
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    return {key: value for key, value in texts.items() if key in CODE or config.is_function(value)}


def _programs(device: DeviceConfig, folder: Path) -> tuple[Path, ...]:
    """The files in the project's own folder that a device would use."""
    named = [folder / value for key in _PROGRAMS if (value := getattr(device, key)) is not None]
    return tuple(path for path in named if path.is_file() and path.resolve().is_relative_to(folder.resolve()))
