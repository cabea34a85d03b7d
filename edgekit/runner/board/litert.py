"""TFLite files in an interpreter of LiteRT: ai-edge-litert, tflite-runtime or tensorflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .refusal import OTHER, Refusal, first_line

LIBRARIES = {"edgetpu": "libedgetpu.so.1"}
"""Delegates that are a library of this name, unless the order names another."""

ALIGNMENT = 64
"""Bytes to which tensors are aligned in the arena (``kDefaultTensorAlignment`` in TFLite's util.h)."""


class LiteRT:
    """A TFLite file in an interpreter."""

    arena_note = "arena unavailable: tensors of this file lie beside the arena, and addresses do not tell which do"

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        self._order, self._module = order, module
        self._load()
        self.names = [detail["name"] for detail in self._made.get_input_details()]
        nodes = self._made._get_ops_details()
        self._resources, self._fed = any(node["op_name"] == "ASSIGN_VARIABLE" for node in nodes), False

    def _load(self) -> None:
        order, module = self._order, self._module
        options: dict[str, Any] = {}
        if delegates := _delegates(order, module):
            options["experimental_delegates"] = delegates
        if order["delegate"] == "none":
            options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._made = module.Interpreter(model_path=order["model"], num_threads=order["threads"], **options)
            self._made.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Refusal("Unsupported", f"LiteRT cannot load the file: {first_line(error)}", OTHER) from error
        self.invoke = self._made.invoke

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input, which also defines its shape, and forget the state of earlier samples."""
        if self._resources and self._fed:  # nothing else resets resource variables
            self._load()
        self._fed = True
        details = self._made.get_input_details()
        resized = [detail for detail in details if tuple(detail["shape"]) != inputs[detail["name"]].shape]
        for detail in resized:
            self._made.resize_tensor_input(detail["index"], inputs[detail["name"]].shape)
        if resized:
            self._made.allocate_tensors()
        self._made.reset_all_variables()
        for detail in details:
            self._made.set_tensor(detail["index"], inputs[detail["name"]])

    def outputs(self) -> dict[str, Any]:
        """Every output by name, copied."""
        return {detail["name"]: self._made.get_tensor(detail["index"]) for detail in self._made.get_output_details()}

    def delegation(self) -> dict[str, Any] | None:
        """How much the delegate took, as fields of ``edgekit.nouns.profile.Delegation``; None without a delegate."""
        if self._order["delegate"] == "none":
            return None
        nodes = self._made._get_ops_details()
        stayed, taken = split(nodes)
        words = f"on LiteRT's own kernels: {', '.join(_counted(stayed))}" if stayed else ""
        share = "none" if not taken else "part" if stayed else "all"
        return {"delegate": self._order["delegate"], "share": share, "partitions": taken, "words": words}

    def stayed(self) -> list[str]:
        """The operators that no delegate took, with their number."""
        return _counted(split(self._made._get_ops_details())[0])

    def arena_bytes(self) -> int | None:
        """Length of the memory that the interpreter plans for activations if no delegate takes them over.

        Tensors that do not lie in the file lie in the arena, or each in memory of its own. The arena is what
        joins the first input without a gap; what happens to lie beside it is somewhere else in a second
        interpreter, so that only two equal readings are believed. None if there are no such.
        """
        content = Path(self._order["model"]).read_bytes()
        kind = self._module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        readings, kept = [], []
        try:
            for _ in range(2):
                made = self._module.Interpreter(model_content=content, experimental_op_resolver_type=kind)
                made.allocate_tensors()
                first, areas = _areas(made, content)
                readings.append(joined(areas, first))
                kept += [made, bytearray(len(content) // 2 + 12345)]  # another heap for the second
        except (RuntimeError, ValueError):  # the file needs its delegate
            return None
        return readings[0] if readings[0] == readings[1] else None


def _areas(made: Any, content: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Address of the first input, and begin and end of all tensors that do not lie in the file."""
    import numpy

    begin = int(numpy.frombuffer(content, numpy.uint8).__array_interface__["data"][0])
    areas = {}
    for detail in made.get_tensor_details():
        try:
            view = made.tensor(detail["index"])()
        except ValueError:  # not allocated yet, as the results of dynamic operators are
            continue
        address = view.__array_interface__["data"][0]
        if view.nbytes and not begin <= address < begin + len(content):
            areas[detail["index"]] = (address, address + view.nbytes)
    first = areas.get(made.get_input_details()[0]["index"], (0, 0))[0]
    return first, list(areas.values())


def joined(areas: list[tuple[int, int]], inside: int) -> int | None:
    """Bytes from the first to the last address of the areas that join one at ``inside``; None if there is none.

    Areas join if the gap between them is smaller than `ALIGNMENT`.
    """
    begin = end = 0
    for first, last in sorted(areas):
        if first >= end + ALIGNMENT:
            if begin <= inside < end:
                break
            begin = first
        end = max(end, last)
    return end - begin if begin <= inside < end else None


def split(nodes: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Operators that run on the interpreter's own kernels, and the number of partitions of a delegate.

    Delegating appends one node for each partition and leaves the nodes that it replaces in the list:
    they are those between the partition's outputs and its inputs.
    """
    plain = [node for node in nodes if not _is_delegate(node["op_name"])]
    partitions = [node for node in nodes if _is_delegate(node["op_name"])]
    maker = {int(tensor): i for i, node in enumerate(plain) for tensor in node["outputs"]}
    taken: set[int] = set()
    for partition in partitions:
        known = {int(tensor) for tensor in partition["inputs"]}
        todo = [int(tensor) for tensor in partition["outputs"]]
        while todo:
            tensor = todo.pop()
            i = maker.get(tensor)
            if tensor in known or i is None:
                continue
            known.add(tensor)
            taken.add(i)
            todo.extend(int(source) for source in plain[i]["inputs"])
    return [node["op_name"] for i, node in enumerate(plain) if i not in taken], len(partitions)


def _is_delegate(name: str) -> bool:
    return name == "DELEGATE" or "Delegate" in name


def _counted(names: list[str]) -> list[str]:
    return [f"{names.count(name)} {name}" for name in dict.fromkeys(names)]


def _delegates(order: dict[str, Any], module: Any) -> list[Any]:
    """The delegate that is a library, loaded."""
    if order["delegate"] in {"xnnpack", "none"}:
        return []
    library = order.get("library") or LIBRARIES.get(order["delegate"])
    if library is None:
        raise Refusal(
            "Unsupported",
            f"The delegate {order['delegate']} is no library on this kind of device.",
            "choose --delegate xnnpack or none, or name its library as delegate_library in the device's table",
        )
    try:
        return [module.load_delegate(library)]
    except (OSError, ValueError) as error:
        raise Refusal(
            "MissingTool",
            f"The delegate's library cannot be loaded: {library}: {first_line(error)}",
            "install it there, or name its path as delegate_library in the device's table",
        ) from error
