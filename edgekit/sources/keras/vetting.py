"""What a Keras configuration would run, read before any library sees the file.

A configuration is a program: a Lambda layer holds bytecode, a ``TFOpLambda`` calls a function by its name, and
both Keras libraries import whatever module a configuration names. So every object in it must be one of those
that `edgekit.sources.keras.allowed` lists, or the user's own; ``--allow-unsafe`` lets the rest through.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.sources.keras import allowed, containers, operators

_KERAS = re.compile(r"(tf_)?keras(\.\w+)*")
_LIBRARY = re.compile(r"((tf_)?keras|keras_(hub|nlp|cv)|tensorflow)(\.\w+)*")
_IDENTIFIER = re.compile(r"(\w+_)?(activation|initializer|regularizer|constraint)")
"""Keys whose value names a function or a class by one word."""

_UNASKED = "if you trust this file: --allow-unsafe"


@dataclass(frozen=True)
class Vetting:
    """Who asks, and what is let through.

    Args:
        path: the file, for complaints.
        known: names of custom objects that the user gave or registered.
        allow_unsafe: let through what is not known to only compute; foreign modules never.
    """

    path: Path
    known: frozenset[str]
    allow_unsafe: bool

    def check(self, config: dict[str, Any]) -> None:
        """Refuse what would run code that the user did not hand over.

        How the model was compiled is left out: it is loaded without.

        Raises:
            InputError: an object is neither among those that only compute nor among ``known``.
        """
        for item in objects({key: value for key, value in config.items() if key != "compile_config"}):
            if isinstance(item.get("class_name"), str):
                self._check_object(item)
                if item["class_name"] in allowed.CLASSES | allowed.OPTIMIZATION and isinstance(
                    item.get("config"), dict
                ):
                    self._check_words(item["config"])
                    self._check_functions(item, [key for key in item["config"] if f"{key}_type" in item["config"]])

    def _check_object(self, item: dict[str, Any]) -> None:
        name = item["class_name"]
        for key in ("module", "registered_name"):
            if not isinstance(item.get(key), str | None):
                raise containers.refused(self.path, f"has a {key} that is no text")
        if name == "Lambda":
            self._check_functions(item, _LAMBDA)
        elif name in {"TFOpLambda", "SlicingOpLambda"}:
            self._check_function_of_tensorflow(item)
        elif name == "TensorFlowOpLayer":
            self._check_operator_of_tensorflow(item)
        elif name == "__lambda__":
            self._unless_allowed(item, "holds Python bytecode (a lambda)", "which edgekit does not run unasked")
        elif name == "function":
            self._check_function(item)
        elif name == "__typespec__":
            self._check_class(item | {"class_name": str(item.get("spec_name"))})
        else:
            self._check_class(item)

    def _unless_allowed(self, item: dict[str, Any], does: str, remark: str) -> None:
        if self.allow_unsafe:
            return
        raise InputError(
            f"{_layer(item)} of {self.path.name} {does}, {remark}.",
            place=f"{self.path}: {_name(item)}",
            fix=_UNASKED,
        )

    def _check_functions(self, item: dict[str, Any], keys: Iterable[str]) -> None:
        """Settings that are functions: a Lambda's, and those of cells' wrappers, with a ``…_type`` beside them."""
        config = item["config"] if isinstance(item.get("config"), dict) else {}
        if self.allow_unsafe:
            return
        for key in keys:
            code, kind = _function(config.get(key)), config.get(f"{key}_type")
            plain = code is None or (key == "output_shape" and _is_shape(code))
            if (plain and key != "function") or (isinstance(code, str) and code in self.known and kind != "lambda"):
                continue
            holds = f"calls the function {code}" if isinstance(code, str) else "holds Python bytecode"
            raise InputError(
                f"The {item['class_name']} layer {_name(item)} of {self.path.name} {holds}, which edgekit does not run "
                "unasked.",
                place=f"{self.path}: layer {_name(item)}",
                fix=f"{_UNASKED}; better: replace the {item['class_name']} by a layer class and save again",
            )

    def _check_function_of_tensorflow(self, item: dict[str, Any]) -> None:
        config = item.get("config")
        symbol = str(config.get("function", "")) if isinstance(config, dict) else ""
        if not allowed.is_pure_function(symbol):
            self._unless_allowed(item, f"calls tf.{symbol}", "which edgekit does not know to do nothing but compute")

    def _check_operator_of_tensorflow(self, item: dict[str, Any]) -> None:
        """A layer of early Keras 2 around one operator of a graph; a node in another form than a table is not read."""
        config = item.get("config")
        node = config.get("node_def") if isinstance(config, dict) else None
        operator = str(node["op"]) if isinstance(node, dict) and "op" in node else "an operator that it does not name"
        if operator not in operators.PURE:
            self._unless_allowed(item, f"runs {operator}", "which edgekit does not know to do nothing but compute")

    def _check_function(self, item: dict[str, Any]) -> None:
        name, registered, module = item.get("config"), item.get("registered_name"), item.get("module")
        if not isinstance(name, str):
            self._unless_allowed(item, "names a function by something else than text", "which nothing writes")
            return
        pure = allowed.FUNCTIONS | self.known
        home = module in {None, "builtins"} or _matches(_KERAS, module)
        if home and name in pure and registered in {None, "function", name}:
            return
        if not self._is_known(name, registered if registered != "function" else name):
            self._refuse(item, name, module if module != "builtins" else None)

    def _check_class(self, item: dict[str, Any]) -> None:
        name, registered, module = item["class_name"], item.get("registered_name"), item.get("module")
        home = module in {None, "builtins"} or _matches(_KERAS, module)
        if home and name in allowed.CLASSES and registered in {None, name}:
            return
        if name in _SPECIFICATIONS and _matches(_LIBRARY, module):
            return
        if not self._is_known(name, registered):
            self._refuse(item, name, module)

    def _is_known(self, name: str, registered: Any) -> bool:
        """Whether the libraries find the user's own before they look into any module: by this one name."""
        return (registered if isinstance(registered, str) else name) in self.known

    def _refuse(self, item: dict[str, Any], name: str, module: Any) -> None:
        registered = item.get("registered_name")
        if isinstance(registered, str) and ">" in registered:  # somebody's own, whatever module it says
            raise missing_object(self.path, registered)
        library = _matches(_LIBRARY, module)
        if library or (module is None and name in _REACHING):
            does = f"uses {module}.{name}" if module is not None else f"is of the class {name}"
            self._unless_allowed(item, does, "which edgekit does not know to do nothing but compute")
        else:
            raise missing_object(self.path, name, module)

    def _check_words(self, item: dict[str, Any]) -> None:
        """Names in the places of functions, and names of files; a class of the user's own knows its settings itself."""
        for key, value in () if self.allow_unsafe else item.items():
            if _IDENTIFIER.fullmatch(key) and isinstance(value, str):
                if value not in allowed.FUNCTIONS | allowed.CLASSES | self.known:
                    raise missing_object(self.path, value)
            elif key in _ATTRIBUTES and not _are_public(value):
                raise containers.refused(self.path, f"names the attributes {value} in {key}, as nothing writes them")
            elif key == "vocabulary" and isinstance(value, str):
                raise InputError(
                    f"A layer of {self.path.name} takes its vocabulary from the file {value}.",
                    place=f"{self.path}: {item.get('name', key)}",
                    fix=f"save the model with its vocabulary inside; {_UNASKED}",
                )


_LAMBDA = ("function", "output_shape", "mask")
"""Settings of a Lambda layer that are functions."""

_ATTRIBUTES = {"weight_attrs", "activation_attrs"}
"""Settings of the Model Optimization Toolkit: attributes of a layer, which it reads and writes."""


def _are_public(names: Any) -> bool:
    return isinstance(names, list) and all(
        isinstance(name, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names
    )


_SPECIFICATIONS = {"TensorSpec", "RaggedTensorSpec", "SparseTensorSpec", "KerasTensor"}
"""Descriptions of tensors."""

_REACHING = {
    "TFSMLayer",
    "JaxLayer",
    "FlaxLayer",
    "TorchModuleWrapper",
    "ClassMethod",
    "InstanceMethod",
    "FeatureSpace",
}
"""Layers of Keras that load or call what the file names, for the complaint alone: all others are refused likewise."""


_COUNTS = {"units", "filters", "input_dim", "output_dim", "key_dim", "value_dim", "num_heads", "kernel_size"}
"""Settings of layers each of which is a dimension of a weight."""

_SHAPES = {"batch_shape", "batch_input_shape", "input_shape", "target_shape"}


def check_sizes(config: dict[str, Any], stored: int, path: Path) -> None:
    """Refuse layers that are larger than the weights which the file holds, before anything of their size is made.

    Args:
        config: the model's configuration.
        stored: how many numbers its file holds.
        path: the file.

    Raises:
        InputError: a layer's weights are not there, or a shape is larger than memory.
    """
    for item in objects(config):
        for key, value in item.items():
            sizes = [size for size in (value if isinstance(value, list) else [value]) if type(size) is int]
            if key in _COUNTS and max(sizes, default=0) > max(stored, containers.SMALL):
                raise containers.refused(
                    path,
                    f"has a layer {item.get('name', '')} with {key} {max(sizes):,}, and weights for {stored:,} numbers",
                )
            if key in _SHAPES and math.prod(max(1, size) for size in sizes) >= 2**31:
                raise containers.refused(path, f"declares the shape {value} ({key}), which no target can hold")


def _matches(pattern: re.Pattern[str], module: Any) -> bool:
    return isinstance(module, str) and pattern.fullmatch(module) is not None


def objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every table in a configuration, outermost first; those with ``class_name`` are objects."""
    pending = deque([config])
    while pending:
        value = pending.popleft()
        if isinstance(value, dict):
            yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _name(item: dict[str, Any]) -> str:
    config = item.get("config")
    named = config.get("name") if isinstance(config, dict) else None
    return str(named or item.get("name") or item["class_name"])


def _layer(item: dict[str, Any]) -> str:
    config = item.get("config")
    is_layer = isinstance(config, dict) and "name" in config
    return f"The layer {_name(item)}" if is_layer else "A part"


def _function(code: Any) -> Any:
    """A Lambda's function as it is named, or as the code that it is."""
    if isinstance(code, dict):
        return code.get("config") if code.get("class_name") == "function" else code
    return code


def _is_shape(code: Any) -> bool:
    return isinstance(code, list) and all(size is None or isinstance(size, int) for size in code)


def missing_object(path: Path, name: str, module: Any = None) -> InputError:
    """The complaint about a class or function that the file only names."""
    where = f" (of the module {module})" if isinstance(module, str) else ""
    name = name.rsplit(">", maxsplit=1)[-1]  # registered as package>name
    return InputError(
        f"{path.name} uses {name}{where}, which is neither in Keras nor among the custom objects.",
        place=str(path),
        fix=f"--custom-objects yourmodule:function, where the function returns {{'{name}': {name}}}",
    )


def with_registered_names(config: dict[str, Any], custom: dict[str, Any]) -> dict[str, Any]:
    """Custom objects under the names that the file registered them by (``package>Name``) too."""
    names = (name for item in objects(config) for name in (item.get("class_name"), item.get("registered_name")))
    short = {name: name.rsplit(">", maxsplit=1)[-1] for name in names if isinstance(name, str)}
    return {name: custom[bare] for name, bare in short.items() if bare in custom} | custom
