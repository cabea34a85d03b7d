"""A call of a leaf's method as it crosses to a worker and back: by the annotations of the room's contract."""

import typing
from importlib import import_module
from typing import Any

import msgspec

from edgekit.engine import registry
from edgekit.errors import InputError


class Request(msgspec.Struct):
    """What a worker is asked to do: a method of a leaf, with its arguments as JSON values; no method only loads it."""

    room: str
    leaf: str
    method: str
    arguments: dict[str, Any]

    @property
    def place(self) -> str:
        """The file that the call is about, or the leaf."""
        for name, file in (("job", "source"), ("task", "waist")):
            if (job := self.arguments.get(name)) is not None:
                return str(job[file] if isinstance(job, dict) else getattr(job, file))
        return str(self.arguments.get("path", self.arguments.get("artifact", self.arguments.get("spec", self.leaf))))


def encoded(request: Request) -> bytes:
    """A request as a line of JSON.

    Raises:
        InputError: a file's name is no text.
    """
    try:
        return msgspec.json.encode(
            msgspec.structs.replace(request, arguments=msgspec.to_builtins(request.arguments, enc_hook=str))
        )
    except UnicodeEncodeError as error:
        named = _around(error)
        raise InputError(
            f"The name {named} is not UTF-8.", place=named, fix="rename the file or folder to plain text"
        ) from error


def arguments(request: Request) -> dict[str, Any]:
    """The arguments of a request as the method takes them."""
    hints = _hints(request)
    return {
        name: msgspec.convert(value, hints[name], dec_hook=lambda kind, text: kind(text))  # a Path, or a Path or None
        for name, value in request.arguments.items()
    }


def encoded_result(result: Any, place: str) -> msgspec.Raw:
    """What a method returned, as JSON.

    Raises:
        InputError: it holds text that is none.
    """
    try:
        return msgspec.Raw(msgspec.json.encode(result))
    except UnicodeEncodeError as error:
        raise InputError(
            f"It holds text that is not UTF-8: {_around(error)}.", place=place, fix="export it again"
        ) from error


def result(raw: msgspec.Raw, request: Request) -> Any:
    """What a method returned, decoded.

    Raises:
        msgspec.MsgspecError: it is not what the contract says.
    """
    return msgspec.json.decode(raw, type=_hints(request)["return"] if request.method else None)


def _hints(request: Request) -> dict[str, Any]:
    contract = getattr(import_module(f"edgekit.{request.room}"), registry.ROOMS[request.room])
    return typing.get_type_hints(getattr(contract, request.method))


def _around(error: UnicodeEncodeError) -> str:
    return ascii(error.object[max(0, error.start - 60) : error.end + 60])
