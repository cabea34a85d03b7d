"""What Google's compiler made of a file: which operators it left to the CPU."""

from collections import defaultdict
from pathlib import Path

from edgekit.nouns.base import Noun
from edgekit.waist import graph as waist
from edgekit.waist.graph import Graph, Operator

CUSTOM_OPERATOR = "CUSTOM:edgetpu-custom-op"
"""The operator that holds everything that runs on the Edge TPU."""


def is_compiled(file: Path) -> bool:
    """Whether a TFLite file needs an Edge TPU to run.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    return any(operator.name == CUSTOM_OPERATOR for graph in waist.read(file) for operator in graph.operators)


def leftovers(original: Graph, compiled: Graph) -> frozenset[int]:
    """The operators of the original, by index, that run on the CPU in the compiled file.

    An operator outside the custom one is found in the original by its kind and the names of its
    outputs, which the compiler keeps; failing that, by its kind and the shapes of its outputs, the
    last one first (the compiler leaves the end of a network).
    """
    remaining = [operator for operator in compiled.operators if operator.name != CUSTOM_OPERATOR]
    found: set[int] = set()
    for describe in (_by_names, _by_shapes):
        known = defaultdict[object, list[int]](list)
        for operator in original.operators:
            if operator.index not in found:
                known[describe(original, operator)].append(operator.index)
        unmatched = []
        for operator in reversed(remaining):
            candidates = known[describe(compiled, operator)]
            if candidates:
                found.add(candidates.pop())
            else:
                unmatched.append(operator)
        remaining = unmatched[::-1]
    return frozenset(found)


def _by_names(graph: Graph, operator: Operator) -> object:
    return operator.name, tuple(graph.tensors[i].name for i in operator.outputs)


def _by_shapes(graph: Graph, operator: Operator) -> object:
    return operator.name, tuple((graph.tensors[i].shape, graph.tensors[i].dtype) for i in operator.outputs)


class Score(Noun, frozen=True, kw_only=True):
    """How a forecast did on one kind of operator: counts of predicted and actual mapping."""

    mapped_as_predicted: int = 0
    mapped_not_predicted: int = 0
    predicted_not_mapped: int = 0
    left_as_predicted: int = 0

    @property
    def precision(self) -> float:
        """The share of operators predicted as mapped that are; 1 if none is predicted."""
        predicted = self.mapped_as_predicted + self.predicted_not_mapped
        return self.mapped_as_predicted / predicted if predicted else 1.0

    @property
    def recall(self) -> float:
        """The share of mapped operators that were predicted as mapped; 1 if none is mapped."""
        mapped = self.mapped_as_predicted + self.mapped_not_predicted
        return self.mapped_as_predicted / mapped if mapped else 1.0

    def __add__(self, other: "Score") -> "Score":
        """Counts of both together."""
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


def score(original: Graph, compiled: Graph, predicted: frozenset[int]) -> dict[str, Score]:
    """Compare a forecast (indices of operators predicted as mapped) with the compiled file, by kind."""
    left = leftovers(original, compiled)
    scores = defaultdict[str, Score](Score)
    for operator in original.operators:
        expected, actual = operator.index in predicted, operator.index not in left
        scores[operator.name] += Score(
            mapped_as_predicted=expected and actual,
            mapped_not_predicted=actual and not expected,
            predicted_not_mapped=expected and not actual,
            left_as_predicted=not expected and not actual,
        )
    return dict(scores)


def table(scores: dict[str, Score]) -> str:
    """Scores as lines of text, the total last."""
    rows = [*sorted(scores.items()), ("all", sum(scores.values(), Score()))]
    lines = [f"{'operator':34} {'mapped':>7} {'on CPU':>7} {'precision':>10} {'recall':>7}"]
    for name, row in rows:
        mapped = row.mapped_as_predicted + row.mapped_not_predicted
        left = row.left_as_predicted + row.predicted_not_mapped
        lines.append(f"{name:34} {mapped:7} {left:7} {row.precision:10.3f} {row.recall:7.3f}")
    return "\n".join(lines)
