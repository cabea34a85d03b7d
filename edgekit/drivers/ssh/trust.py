"""Whom a connection trusts: the board's host key, which is always checked, and the user's own key.

A host key that is not in ``known_hosts`` is never accepted; the complaint holds the command that
adds it, for the user to decide. There are no passwords: keys come from a file or from the agent.
"""

import os
from pathlib import Path
from shlex import quote
from typing import Any

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.nouns.profile import DeviceConfig

DEFAULT_PORT = 22
"""The port of SSH (RFC 4253 §4); a configured port of this value leaves the choice to ``~/.ssh/config``."""


def target(config: DeviceConfig) -> str:
    """``user@host``, as ``ssh`` takes it."""
    return f"{config.user}@{config.host}" if config.user else str(config.host)


def ssh_command(config: DeviceConfig) -> str:
    """The command that logs in on a board, for a user to type."""
    port = [f"-p {config.port}"] if config.port != DEFAULT_PORT else []
    return " ".join(["ssh", *port, *identity(config), target(config)])


def identity(config: DeviceConfig) -> list[str]:
    """The option of ``ssh`` and ``ssh-copy-id`` that names the configured key."""
    return [f"-i {quote(str(Path(config.key).expanduser()))}"] if config.key else []


def place(name: str, config: DeviceConfig) -> str:
    """A device for complaints: its id and where it is."""
    port = f":{config.port}" if config.port != DEFAULT_PORT else ""
    return f"device {name} ({target(config)}{port})"


class KnownHosts:
    """The host keys that the user accepted. ``known`` tells whether there are any for the board.

    Args:
        name: the device's id, for complaints.
        config: how it is reached.

    Raises:
        InputError: the file cannot be read or understood.
    """

    def __init__(self, name: str, config: DeviceConfig) -> None:
        self._name, self._config = name, config
        self.path = Path(config.known_hosts or "~/.ssh/known_hosts").expanduser()
        self._asked = ("", "", 0)
        self.known = False
        try:
            text = self.path.read_text(encoding="utf8") if self.path.exists() else ""
            self._hosts = asyncssh.import_known_hosts(text)
        except (OSError, ValueError) as error:
            raise InputError(
                f"The file of accepted host keys cannot be read: {error}.",
                place=str(self.path),
                fix=f"mend or remove the line, or name another file as known_hosts in [devices.{name}]",
            ) from error

    def match(self, host: str, address: str, port: int | None) -> Any:
        """The keys accepted for a host, in the form that asyncssh asks for."""
        self._asked = host, address, port or DEFAULT_PORT
        found = self._hosts.match(host, address, port)
        self.known = any((found[0], found[1], found[3]))
        return found

    def algorithms(self) -> list[str]:
        """Kinds of host keys to ask the board for: those it is known by, then all others, as OpenSSH does.

        Only so does a board that has no key of the known kind show the one that it has. Empty, for
        asyncssh's own choice if the configured name is not in the file.
        """
        port = self._config.port if self._config.port != DEFAULT_PORT else None
        keys, authorities = self._hosts.match(str(self._config.host), "", port)[:2]
        known = [*(get_default_certificate_algs() if authorities else ()), *(a for k in keys for a in k.sig_algorithms)]
        every = dict.fromkeys([*known, *get_default_public_key_algs()])
        return [name.decode("ascii") for name in every] if known else []

    def complaint(self) -> EdgekitError:
        """Why the board's key was not accepted, with the commands that mend it."""
        host, _, port = self._asked
        host = host or str(self._config.host)
        scan = f"ssh-keyscan{f' -p {port}' if port != DEFAULT_PORT else ''} {quote(host)} >> {quote(str(self.path))}"
        proof = "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the board"
        if not self.known:
            return DeviceError(
                f"The host key of {host} is not known.",
                place=f"{place(self._name, self._config)}, {self.path}",
                fix=f"{scan}, then {proof}",
            )
        return DeviceError(
            f"The host key of {host} is not the one that was accepted before: "
            "the board was set up anew, or another machine answers in its place.",
            place=f"{place(self._name, self._config)}, {self.path}",
            fix=f"if it was set up anew: ssh-keygen -R {quote(self._entry())} -f {quote(str(self.path))} && {scan}, "
            f"then {proof}",
        )

    def _entry(self) -> str:
        """The name under which the file holds the host: with the port, unless only the plain name is there."""
        host, address, port = self._asked
        if (
            port == DEFAULT_PORT
            or self._hosts.match(host, address, None)[0] == self._hosts.match(host, address, port)[0]
        ):
            return host
        return f"[{host}]:{port}"


async def client_keys(name: str, config: DeviceConfig) -> dict[str, Any]:
    """Options of a connection for the user's own key.

    Without a configured file the agent and the usual files are tried, as ``ssh`` does. A file that a
    passphrase protects is never opened: the agent has to hold it.

    Raises:
        InputError: the file is missing or is no private key.
        DeviceError: it is protected and no agent holds it.
    """
    if config.key is None:
        return {}
    file = Path(config.key).expanduser()
    try:
        return {"client_keys": [asyncssh.read_private_key(file)], "agent_path": None}
    except asyncssh.KeyImportError as error:
        if "passphrase" not in str(error).lower():
            raise InputError(
                f"The file is no private key: {error}.",
                place=f"{file}, key of {place(name, config)}",
                fix=f"name the private key, not the .pub beside it, as key in [devices.{name}]",
            ) from error
    except asyncssh.KeyEncryptionError:
        pass  # a passphrase is needed
    except OSError as error:
        raise InputError(
            f"The private key cannot be read: {error.strerror}.",
            place=f"{file}, key of {place(name, config)}",
            fix=f"correct key in [devices.{name}], or make one: ssh-keygen -t ed25519 -f {quote(str(file))}",
        ) from error
    return await _from_agent(name, config, file)


async def _from_agent(name: str, config: DeviceConfig, file: Path) -> dict[str, Any]:
    """Options that take a protected file's key from the agent."""
    path = os.environ.get("SSH_AUTH_SOCK")
    public = file.with_name(file.name + ".pub")
    wanted = asyncssh.read_public_key(public).public_data if public.is_file() else None
    held = await _held(path)
    if not held or (wanted is not None and wanted not in held):
        start = "" if path and held is not None else 'eval "$(ssh-agent)" && '
        raise DeviceError(
            "The private key is protected by a passphrase, and no agent holds it.",
            place=f"{file}, key of {place(name, config)}",
            fix=f"{start}ssh-add {quote(str(file))}",
        )
    return {"client_keys": [], "agent_path": path, "agent_identities": None if wanted is None else [wanted]}


async def _held(path: str | None) -> set[bytes] | None:
    """The public keys that the agent holds; None if there is no agent."""
    if not path:
        return None
    try:
        async with asyncssh.connect_agent(path) as agent:
            return {pair.public_data for pair in await agent.get_keys()}
    except (OSError, ValueError):
        return None
