"""Worlds that differ by an exchange of like parts are one.

An exchange of like parts (`alike`) is a renaming that maps the saga to itself. So whatever may
happen to a world may happen, renamed, to the renamed world, at the same number of faults: one of
the two need not be followed, and nothing is lost but what the other's places are called. The
machine is not quite blind to names: it begins parts in text order, up to the first that fails at
once; but whatever is still under way later has begun, and what else goes by text order (`wait`) is
not like. Values that decide nothing are left out of the comparison, for nothing depends on them.

Which of the renamed worlds stands for all is found by sorting: each part has a signature, what the
world holds of it under the first part's names, and the parts are put into the order of these. The
result is a renaming of the world whatever the signatures are: were they too coarse, less would be
merged, and never too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sagalang.machine import frames as f
from sagalang.machine.definition import Definition
from sagalang.machine.events import Place
from sagalang.machine.undo import Undo, entries
from sagalang.verify.alike import Like, likes, pattern
from sagalang.verify.model import Model
from sagalang.verify.renaming import Bare, Renaming, symbols
from sagalang.verify.values import Symbol
from sagalang.verify.world import World


def symmetry(model: Model) -> Symmetry | None:
    """The like parts of the model's saga; None where there are none, or they do not matter. Where
    steps may have the same inputs, it matters which have."""
    if not model.options.symmetry or model.interfaces or model.shared:
        return None
    definition = model.definition(())
    found = likes(definition, model.args)
    return Symmetry(definition, found) if found else None


class Symmetry:
    """What renames the worlds of one exploration. It remembers what it renamed, to be quick."""

    def __init__(self, definition: Definition, found: tuple[Like, ...]) -> None:
        self.likes = found
        bare = Bare(definition)
        self._bare = Renaming(definition, bare, None, ())
        self.parts = tuple(Parts(definition, bare, like) for like in found)
        self._known: dict[World, World] = {}
        """Most worlds come about in several ways."""

    def canonical(self, world: World) -> World:
        """The same world for all that differ by exchanges of like parts. It is for comparing, not
        for following: values that decide nothing are missing."""
        found = self._known.get(world)
        if found is None:
            found = self._bare.world(world)
            for parts in self.parts:
                order = parts.order(found)
                if order is not None:
                    found = parts.renaming(order).world(found)
            self._known[world] = found
        return found

    def mirrored(self, reached: set[tuple[str, str]], saga: str) -> set[tuple[str, str]]:
        """What is reached (as in `Exploration.reached`), and what is like it."""
        groups = [set(same) for like in self.likes for same in zip(*like.paths, strict=True)]
        found = set(reached)
        for name, what in reached:
            kind, _, rest = what.partition(" ")
            path, blank, error = rest.rpartition(" ") if kind == "abort" else (rest, "", "")
            for same in groups:
                if name == saga and path in same:
                    found |= {(saga, f"{kind} {other}{blank}{error}") for other in same}
        return found

    def kind(self, labels: tuple[str, ...]) -> object:
        """Equal for what a person must settle where only like parts differ: `labels` are as in
        `Exploration.escalations`."""
        for parts in self.parts:
            labels = parts.kind(labels)
        return labels


class Parts:
    """Like parts, in worlds."""

    def __init__(self, definition: Definition, bare: Bare, like: Like) -> None:
        self._definition, self._bare, self._like = definition, bare, like
        self._renamings: dict[tuple[int, ...], Renaming] = {}
        self._numbers: dict[Any, int] = {}
        self._mentions: dict[str, tuple[int, ...]] = {}
        self._words = {word: part for part, words in enumerate(like.words) for word in words}
        self._pattern = pattern(self._words)
        self._paths = {path: part for part, paths in enumerate(like.paths) for path in paths}
        self._iterations = {(like.loop, name): part for part, name in enumerate(like.identities)}
        self._indexes = {position: part for part, position in enumerate(like.positions)}
        count = len(like.positions)
        self._to_first = [self.renaming(_swap(count, part)) for part in range(count)]

    def renaming(self, to: tuple[int, ...]) -> Renaming:
        """Part n becomes part `to[n]`."""
        found = self._renamings.get(to)
        if found is None:
            found = Renaming(self._definition, self._bare, self._like, to)
            self._renamings[to] = found
        return found

    def order(self, world: World) -> tuple[int, ...] | None:
        """Which part becomes which, for the parts to be in order; None where they are."""
        signatures = [
            self._numbers.setdefault(signature, len(self._numbers))
            for signature in self._signatures(world)
        ]
        if all(one <= two for one, two in pairwise(signatures)):
            return None
        to = [0] * len(signatures)
        for place, part in enumerate(sorted(range(len(to)), key=signatures.__getitem__)):
            to[part] = place
        return tuple(to)

    def kind(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        if self._like.loop:
            return labels
        pairs = [label.partition(" ")[::2] for label in labels]
        mine: list[list[str]] = [[] for _ in self._to_first]
        for what, path in pairs:
            part = self._paths.get(path)
            if part is not None:
                index = self._like.paths[part].index(path)
                mine[part].append(f"{what} {self._like.paths[0][index]}")
        others = [f"{what} {path}" for what, path in pairs if path not in self._paths]
        return *others, *(str(some) for some in sorted(mine))

    def _signatures(self, world: World) -> Iterator[tuple[Any, ...]]:
        """For each part, all that the world holds of it, as if it were the first."""
        found: list[list[Any]] = [[] for _ in self._to_first]
        state = world.root
        if state.frame is not None:
            self._frame(state.frame, found)
        self._tree(state.tree, found)
        for failure in (state.error, state.held):
            self._value(None if failure is None else failure.value, found)
        loose: list[set[Any]] = [set() for _ in self._to_first]
        for flight in world.flights:
            part = self._part(flight.place)
            if part is not None:
                loose[part].add(self._to_first[part].flight(flight))
        for _, place, timer in world.timers:
            part = self._part(place)
            if part is not None:
                loose[part].add((self._to_first[part].place(place), timer))
        for (_, place), unit in world.units:
            part = self._part(place)
            if part is not None:
                loose[part].add((self._to_first[part].place(place), unit))
        for question, answer in world.answers.items():
            for part in self._mentioned(question):
                loose[part].add((self._to_first[part].text(question), answer))
        for some, more in zip(found, loose, strict=True):
            yield (*some, frozenset(more))

    def _frame(self, frame: f.Frame, found: list[list[Any]]) -> None:
        """What a frame holds of the parts."""
        like = self._like
        match frame:
            case f.Par(ref, branches):
                for index, branch in enumerate(branches):
                    part = self._indexes.get(index) if ref == like.ref and not like.loop else None
                    if part is not None:
                        found[part].append(self._to_first[part].frame(branch))
                    elif isinstance(branch, f.Done):
                        self._done(branch, found)
                    else:
                        self._frame(branch, found)
                return
            case f.Loop(ref=ref, active=active, done=done) if ref == like.ref:
                for index, inner in (*active, *done):
                    found[index].append(self._to_first[index].frame(inner))
                return
            case f.Loop(done=done):
                for _, ended in done:
                    self._done(ended, found)
            case f.Seq(names=names, undo=trees):
                for text in symbols(names):
                    self._text(text, found)
                for tree in trees:
                    self._tree(tree, found)
            case f.Try(tree=tree, failure=failure):
                self._value(None if failure is None else failure.value, found)
                if tree is not None:
                    self._tree(tree, found)
            case _:
                pass
        for inner in f.parts(frame):
            self._frame(inner, found)

    def _done(self, done: f.Done, found: list[list[Any]]) -> None:
        for text in symbols(done.binds):
            self._text(text, found)
        self._tree(done.undo, found)

    def _tree(self, tree: Undo, found: list[list[Any]]) -> None:
        for entry in entries(tree):
            part = self._part(entry.place)
            if part is not None:
                found[part].append(self._to_first[part].tree(entry))

    def _value(self, value: Any, found: list[list[Any]]) -> None:
        if isinstance(value, Symbol):
            self._text(value.text, found)

    def _text(self, text: str, found: list[list[Any]]) -> None:
        for part in self._mentioned(text):
            found[part].append(self._to_first[part].text(text))

    def _part(self, place: Place) -> int | None:
        if not self._like.loop:
            return self._paths.get(place.path)
        for pair in place.loops:
            if pair in self._iterations:
                return self._iterations[pair]
        return None

    def _mentioned(self, text: str) -> tuple[int, ...]:
        """The parts that the text of a symbol is about."""
        known = self._mentions.get(text)
        if known is None:
            known = tuple(sorted({self._words[word] for word in self._pattern.findall(text)}))
            self._mentions[text] = known
        return known


def _swap(count: int, part: int) -> tuple[int, ...]:
    to = list(range(count))
    to[0], to[part] = part, 0
    return tuple(to)
