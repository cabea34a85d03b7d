"""Rewriting a waist by rules, each replacement proven apart, and all of them together on the whole main."""

import importlib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol, cast

from edgekit import rewrites
from edgekit.errors import Unsupported
from edgekit.nouns.model import Signature
from edgekit.rewrites import RULES, Optimized, proof, timing, whole
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.waist import graph

ROUNDS = 16
"""How often all rules are tried at most: what one leaves, another may take, and each time a block further on."""


class RuleModule(Protocol):
    """A module of this package with a rule; ``ROOTS`` are the operators at which it looks, None: all."""

    ROOTS: frozenset[str] | None

    def replacement(self, main: MainGraph, node: Node) -> Replacement | None:
        """What is to be replaced at an operator; None: nothing."""


class WaistOptimizer(rewrites.Optimizer):
    """See `edgekit.rewrites.Optimizer`."""

    def optimize(
        self,
        path: Path,
        signature: Signature,
        rules: tuple[str, ...],
        out: Path,
        probes: Path | None = None,
        *,
        timed: bool = False,
    ) -> Optimized:
        """See `edgekit.rewrites.Optimizer.optimize`."""
        before, made = len(MainGraph(graph.load(path)).nodes), out / "waist.tflite"
        if sum(prod(spec.shape) for spec in (*signature.inputs, *signature.outputs)) > proof.MOST_ELEMENTS:
            return Optimized(file=None, before=before, after=before)
        first, why = write(path, rules, made), ""
        for left_out in ("", *first.done):
            written = write(path, tuple(name for name in rules if name != left_out), made) if left_out else first
            if not written.done:
                break
            if not whole.agrees(path, made, signature, probes):
                why = why or "the network as a whole did not give the same"
            elif timed and timing.is_slower(path, made):
                why = why or "the network as a whole took longer on this host"
            else:
                break
        else:
            left_out, written = "any rule", Written(before, Counter(), first.done + first.refused)
        notes = tuple(f"rewritten: {written.done[rule.name]} {rule.told}" for rule in RULES if written.done[rule.name])
        if left_out:
            notes += (f"not rewritten by {left_out}: {why}",)
        if not written.done:
            made.unlink(missing_ok=True)
            return Optimized(file=None, before=before, after=before, notes=notes, refused=dict(written.refused))
        done, refused = tuple(written.done), dict(written.refused)
        return Optimized(file=made.name, before=before, after=written.after, done=done, notes=notes, refused=refused)

    def is_slower(self, before: Path, after: Path) -> bool:
        """See `edgekit.rewrites.Optimizer.is_slower`."""
        return timing.is_slower(before, after)


@dataclass(frozen=True)
class Written:
    """A file that was rewritten: operators left, how many replacements each rule made, and how many were not proven."""

    after: int
    done: Counter[str]
    refused: Counter[str]


def write(path: Path, rules: Iterable[str], made: Path) -> Written:
    """Write a file rewritten by rules, if they find anything."""
    main = MainGraph(graph.load(path))
    done, refused = rewrite(main, rules)
    if done:
        main.finish()
        made.write_bytes(graph.pack(main.model))
    return Written(len(main.nodes), done, refused)


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
