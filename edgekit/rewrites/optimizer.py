"""Rewriting a waist by rules, each replacement proven apart, and all of them together on the whole main."""

import importlib
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice
from math import prod
from pathlib import Path
from typing import Protocol, cast

from edgekit import rewrites
from edgekit.errors import Unsupported
from edgekit.nouns.model import Signature
from edgekit.rewrites import RULES, Optimized, proof
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array

WHOLE_DB = 100.0
"""What the rewritten network must agree with the original to, on random inputs: roundings add up on the way."""

ROUNDS = 16
"""How often all rules are tried at most: what one leaves, another may take, and each time a block further on."""


class RuleModule(Protocol):
    """A module of this package with a rule; ``ROOTS`` are the operators at which it looks, None: all."""

    ROOTS: frozenset[str] | None

    def replacement(self, main: MainGraph, node: Node) -> Replacement | None:
        """What is to be replaced at an operator; None: nothing."""


class WaistOptimizer(rewrites.Optimizer):
    """See `edgekit.rewrites.Optimizer`."""

    def optimize(self, path: Path, signature: Signature, rules: tuple[str, ...], out: Path) -> Optimized:
        """See `edgekit.rewrites.Optimizer.optimize`."""
        model, made = graph.load(path), out / "waist.tflite"
        main = MainGraph(model)
        if sum(prod(spec.shape) for spec in (*signature.inputs, *signature.outputs)) > proof.MOST_ELEMENTS:
            return Optimized(file=None, before=len(main.nodes), after=len(main.nodes))
        before, (done, refused) = len(main.nodes), rewrite(main, rules)
        if not done:
            return Optimized(file=None, before=before, after=before, refused=dict(refused))
        main.finish()
        made.write_bytes(graph.pack(model))
        if not agrees(path, made, signature):
            made.unlink()
            note = "not rewritten: the network as a whole did not give the same"
            return Optimized(file=None, before=before, after=before, notes=(note,), refused=dict(done + refused))
        notes = tuple(f"rewritten: {done[rule.name]} {rule.told}" for rule in RULES if done[rule.name])
        return Optimized(file=made.name, before=before, after=len(main.nodes), notes=notes, refused=dict(refused))


def rewrite(main: MainGraph, names: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Apply rules, in place, until none finds anything.

    Returns:
        How many replacements each made, and how many each proposed that were not proven.
    """
    done, refused, chosen = Counter[str](), Counter[str](), tuple(names)
    last = tuple(rule.name for rule in RULES if rule.last and rule.name in chosen)
    for _ in range(ROUNDS):
        before = done.total()
        for name in chosen:
            if name not in last:
                _apply(main, name, done, refused)
        if done.total() == before:
            break
    for name in last:
        _apply(main, name, done, refused)
    return done, refused


def _apply(main: MainGraph, name: str, done: Counter[str], refused: Counter[str]) -> None:
    """Try one rule on every operator, and on what it makes; a bound on the work keeps it from going in circles."""
    rule = cast(RuleModule, importlib.import_module(f"edgekit.rewrites.{name}"))
    roots = rule.ROOTS
    waiting = deque(node for node in main.nodes if not node.gone and (roots is None or node.name in roots))
    for _ in range(4 * len(waiting)):
        if not waiting:
            break
        node = waiting.popleft()
        found = None if node.gone else _proposal(rule, main, node)
        if found is None or not main.applies(found):
            continue
        if not proof.holds(main, found):
            refused[name] += 1
            continue
        near = [main.maker[t] for one in found.old for t in one.inputs if t in main.maker]
        main.apply(found)
        done[name] += 1
        waiting.extend(one for one in (*found.new, *near) if not one.gone and (roots is None or one.name in roots))


def _proposal(rule: RuleModule, main: MainGraph, node: Node) -> Replacement | None:
    """What a rule makes of an operator; nothing of one that is not as the schema or LiteRT wants it."""
    try:
        return rule.replacement(main, node)
    except (IndexError, KeyError, ValueError, TypeError, Unsupported):
        return None


def agrees(original: Path, rewritten: Path, signature: Signature) -> bool:
    """Whether two files give the same for inputs made up; what neither can be run on does not count."""
    tensors = {number: (spec.shape, spec.dtype) for number, spec in enumerate(signature.inputs)}
    below = {number: spec.index_below for number, spec in enumerate(signature.inputs) if spec.index_below}
    for probe in islice(proof.probes(tensors, 1, below), 0, None, 2):  # zeros, and ordinary numbers
        given = {spec.name: probe[number][None] for number, spec in enumerate(signature.inputs)}
        before, after = _outputs(original, given), _outputs(rewritten, given)
        if before is None and after is None:
            continue
        if (
            before is None
            or after is None
            or any(not proof.alike(before[name], after[name], WHOLE_DB) for name in before)
        ):
            return False
    return True


def _outputs(path: Path, given: dict[str, Array]) -> dict[str, Array] | None:
    try:
        return run.run(path, given, threads=run.host_threads())
    except Unsupported:
        return None
