"""What is installed here and what it makes possible. Nothing is imported, nothing is installed."""

import platform
import shutil

from edgekit import config, sources
from edgekit.engine import registry
from edgekit.engine.fingerprint import tool_versions
from edgekit.errors import MissingTool
from edgekit.host import compilers, sandbox
from edgekit.host.cachedir import cache_folder
from edgekit.nouns import leaves
from edgekit.nouns.results import Capability, Health


def doctor() -> Health:
    """Look at this environment."""
    return Health(
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cache=str(cache_folder()),
        tools=tool_versions(),
        parts=(*_sources(), *_targets(), *_devices(), *_meters(), *_compilers(), _sandbox()),
    )


def _missing(room: str, leaf: str) -> MissingTool | None:
    try:
        registry.require(room, leaf)
    except MissingTool as error:
        return error
    return None


def _part(kind: str, name: str, missing: MissingTool | None, detail: str = "") -> Capability:
    """What works, with a word about it, or what is missing."""
    if missing is None:
        return Capability(kind=kind, name=name, works=True, detail=detail)
    return Capability(kind=kind, name=name, works=False, detail=missing.problem, fix=missing.fix)


def _sources() -> list[Capability]:
    guests = {name: name for name in registry.names("sources") if not registry.built_in("sources", name)}
    return [
        _part("source", name, _missing("sources", leaf), _bringer("sources", name))
        for name, leaf in (sources.FORMATS | guests).items()
    ]


def _targets() -> list[Capability]:
    parts = []
    for name in config.target_names():
        backends = dict.fromkeys(variant.backend for variant in config.target(name).variants)
        parts.append(_part("target", name, next(filter(None, (_missing("backends", one) for one in backends)), None)))
    return parts


def _devices() -> list[Capability]:
    parts = []
    for kind in registry.names("drivers"):
        row, missing = leaves.driver(kind), _missing("drivers", kind)
        if missing is None and row.programs and not any(map(shutil.which, row.programs)):
            missing = MissingTool(f"{row.programs[0]} is not installed.", fix=row.program_fix)
        parts.append(_part("device", kind, missing, row.reaches or _bringer("drivers", kind)))
    return parts


def _bringer(room: str, name: str) -> str:
    """The distribution that brings a third-party leaf; empty for edgekit's own."""
    return ", ".join(f"from {found} {version}" for found, version in registry.distribution(f"{room}/{name}").items())


def _meters() -> list[Capability]:
    """Meters whose library is missing; what the others see, only a device can tell (`edgekit devices`)."""
    found = [(name, _missing("meters", name)) for name in registry.names("meters")]
    return [_part("meter", name, missing) for name, missing in found if missing is not None]


def _compilers() -> list[Capability]:
    return [
        Capability(
            kind="tool",
            name=compiler.name,
            works=bool(found),
            detail=found or compiler.without,
            fix="" if found else compiler.fix,
        )
        for compiler in compilers.COMPILERS
        for found in [compiler.find()]
    ]


def _sandbox() -> Capability:
    """What is in force where strangers' models are read."""
    walls = sandbox.in_force()
    whole = len(walls) == len(sandbox.WALLS)
    return Capability(
        kind="guard",
        name="sandbox",
        works=whole,
        detail=", ".join(walls) or "models are read with all that you may do",
        fix="" if whole else "use Linux 5.13 or later with Landlock, on x86-64 or arm64, for strangers' models",
    )
