"""The targets that there are."""

from edgekit import config
from edgekit.nouns.target import Target


def targets() -> list[Target]:
    """Every target, sorted by name: those of the current folder's ``targets/`` and the packaged ones.

    Raises:
        InputError: something in a target's file is wrong.
    """
    return [config.target(name) for name in config.target_names()]
