"""What a SavedModel would run, read from its graphs before TensorFlow loads it.

Loading a SavedModel runs its initializers, and describing it may run its signatures. So every operator, in the
main graph and in every function, must be one that only computes (`edgekit.sources.keras.operators`). The
operators that save and restore stand in every SavedModel; they are let through if nothing but the saver
reaches them, and reading a model runs no part of the saver but its restoring, with the model's own path.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from edgekit.errors import InputError, first_line
from edgekit.sources.keras import containers
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.sources.keras.operators import PURE, RESTORING, SAVING


def check(path: Path, *, allow_unsafe: bool) -> None:
    """Refuse a SavedModel that leads out of its folder, or runs what does not only compute.

    Args:
        path: the folder.
        allow_unsafe: let any operator through.

    Raises:
        InputError: it does, or cannot be read.
    """
    _check_folder(path)
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((path / "saved_model.pb").read_bytes())
    except FAILURES as error:
        raise InputError(
            f"The SavedModel {path.name} cannot be read: {first_line(error)}",
            place=str(path),
            fix="save or copy it again, with its folder variables",
        ) from error
    for graph in model.meta_graphs:
        _check_assets(graph, path)
        _check_variables(graph, path)
        if not allow_unsafe:
            _Graph(graph).check(path)


def _check_folder(path: Path) -> None:
    """Links that stay inside are a copy's; all else than files and folders has no place in a model."""
    top = path.resolve()
    for inner in path.rglob("*"):
        if not inner.resolve().is_relative_to(top):
            raise containers.refused(path, f"has a link {inner.relative_to(path)} that leads out of it")
        if not (inner.is_file() or inner.is_dir()):
            raise containers.refused(path, f"holds {inner.relative_to(path)}, which is neither a file nor a folder")


def _check_assets(graph: Any, path: Path) -> None:
    for asset in graph.asset_file_def:
        inside = (path / "assets" / asset.filename).resolve()
        if not inside.is_relative_to((path / "assets").resolve()):
            raise containers.refused(path, f"takes {asset.filename} from outside")


def _width(dtype: int, path: Path) -> int:
    """Bytes of an element; a resource's are not known, and count as one."""
    try:
        return max(1, tf.as_dtype(dtype).size or 1)
    except TypeError as error:
        raise containers.refused(path, f"declares a variable of dtype {dtype}, which TensorFlow lacks") from error


def _check_variables(graph: Any, path: Path) -> None:
    """Variables are stored as they are, so that they cannot be larger than their files."""
    held = sum(file.stat().st_size for file in (path / "variables").glob("*") if file.is_file())
    declared = 0
    for node in graph.object_graph_def.nodes:
        if node.WhichOneof("kind") == "variable":
            size = math.prod(max(0, dimension.size) for dimension in node.variable.shape.dim)
            declared += size * _width(node.variable.dtype, path)
    if declared > held + containers.SMALL:
        raise containers.refused(
            path, f"declares {containers.in_gib(declared)} of variables, and holds {containers.in_gib(held)}"
        )
    containers.bound(declared, path)


class _Graph:
    """A graph with its functions, and what of it can be reached from where."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {function.signature.name: function for function in graph.graph_def.library.function}

    def check(self, path: Path) -> None:
        """Refuse operators that do not only compute.

        Raises:
            InputError: there is one; it is named with its function.
        """
        if len(self._functions) < len(self._graph.graph_def.library.function):
            raise containers.refused(path, "has two functions of the same name")
        run = self._reached(self._entries(), self._concrete())
        restored = self._reached([self._graph.saver_def.restore_op_name], [])
        for place, nodes in self._parts():
            for node in nodes:
                refused = node.op not in PURE | RESTORING | SAVING and not self._is_function(node.op)
                key = (place, "" if place else node.name)
                if node.op in RESTORING | SAVING:
                    refused = key in run or (node.op in SAVING and key in restored)
                if refused:
                    raise InputError(
                        f"The SavedModel {path.name} runs {node.op}, which edgekit does not know to do nothing "
                        "but compute.",
                        place=f"{path}: {place or 'the main graph'}, {node.name}",
                        fix="if you trust this model: --allow-unsafe",
                    )

    def _is_function(self, operator: str) -> bool:
        """Whether a node's operator is a call of a function: one that bears an operator's name is never called."""
        return operator in self._functions and op_def_registry.get(operator) is None

    def _parts(self) -> Iterator[tuple[str, Iterable[Any]]]:
        yield "", self._graph.graph_def.node
        for name, function in self._functions.items():
            yield name, function.node_def

    def _entries(self) -> Iterator[str]:
        """Tensors and nodes of the main graph that signatures and initializers name."""
        for signature in self._graph.signature_def.values():
            for tensor in (*signature.outputs.values(), *signature.inputs.values()):
                yield tensor.name
                yield from (tensor.coo_sparse.values_tensor_name, tensor.coo_sparse.indices_tensor_name)
                yield from (part.name for part in tensor.composite_tensor.components)
        for collection in self._graph.collection_def.values():
            yield from collection.node_list.value

    def _concrete(self) -> Iterator[str]:
        """Functions that the loaded object has, its initializers and its own savers among them."""
        objects = self._graph.object_graph_def
        yield from objects.concrete_functions
        for node in objects.nodes:
            yield from node.function.concrete_functions
            yield node.bare_concrete_function.concrete_function_name

    def _reached(self, tensors: Iterable[str], functions: Iterable[str]) -> set[tuple[str, str]]:
        """What runs if these are asked for: nodes as ``("", name)``, functions as ``(name, "")``.

        A node may bear the name of an operator or of a function.
        """
        pending = [("", _node(tensor)) for tensor in tensors] + [(name, "") for name in functions]
        reached: set[tuple[str, str]] = set()
        while pending:
            found = pending.pop()
            if found in reached:
                continue
            reached.add(found)
            function, name = found
            if function in self._functions:
                body = self._functions[function].node_def
                pending += [(called, "") for node in body for called in _called(node)]
            elif name in self._nodes:
                node = self._nodes[name]
                pending += [("", _node(source)) for source in node.input]
                pending += [(called, "") for called in _called(node)]
        return reached


def _node(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _called(node: Any) -> list[str]:
    """The functions that a node may call: by its attributes, or as its operator."""
    named = [node.op]
    for attribute in node.attr.values():
        named += [attribute.func.name, *(function.name for function in attribute.list.func)]
    return named
