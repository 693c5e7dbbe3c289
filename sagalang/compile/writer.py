"""A Python function in the making: its lines, its variables, and the functions inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sagalang.compile import naming
from sagalang.compile.context import Module, annotation
from sagalang.compile.expressions import Env
from sagalang.compile.layout import WIDTH, Bracket, Doc, Prefix, Text, statement, wrap
from sagalang.model import program as p
from sagalang.model import types as t


@dataclass(slots=True)
class Function:
    """A Python function in the making: its lines, and its variables with their types."""

    module: Module
    saga: p.Saga
    names: naming.Names
    lines: list[str]
    types: dict[str, str]
    """What each variable is, or would be, annotated with."""
    free: set[str] = field(default_factory=set)
    """Variables whose scope has ended: one of the same name and type may take their place."""
    scopes: list[set[str]] = field(default_factory=list)
    """The variables of the scopes that are open, innermost last."""
    looping: set[str] = field(default_factory=set)
    """Variables that a loop around changes: a function made in it has to bind them at once."""
    loops: int = 0
    caught: list[str] = field(default_factory=list)
    """The variables of the `except` clauses around."""
    answers: p.Statement | None = None
    """The statement whose value the function returns at once."""

    def variable(self, name: str, shown: str) -> str:
        """A variable for a name that is bound here, with this type."""
        wanted = made = naming.safe(name)
        number = 2
        while made in self.names and not (made in self.free and self.types.get(made) == shown):
            made = f"{wanted.rstrip('_')}_{number}"
            number += 1
        if made not in self.names:
            self.names.claim(made)
        self.free.discard(made)
        self.types[made] = shown
        if self.scopes:
            self.scopes[-1].add(made)
        if self.loops:
            self.looping.add(made)
        return made


class Body:
    """Writes the statements of one function. `indent` is that of the statements."""

    def __init__(self, function: Function, indent: int) -> None:
        self.function = function
        self.module = function.module
        self.indent = indent

    # --- Lines ---------------------------------------------------------------------------------

    def line(self, text: str = "") -> None:
        self.function.lines.append(" " * self.indent + text if text else "")

    def write(self, prefix: str, doc: Doc, suffix: str = "") -> None:
        self.function.lines += statement(prefix, doc, self.indent, suffix)

    def deeper(self) -> Body:
        return Body(self.function, self.indent + 4)

    def comment(self, statement_: p.Statement) -> None:
        doc = getattr(statement_, "doc", "")
        for text in doc.splitlines():
            for part in wrap(text, WIDTH - self.indent - 2) or [""]:
                self.line(f"# {part}".rstrip())
        place = self.module.where(statement_.span)
        if not place:
            return
        where = f"# {place}"
        lines = self.function.lines
        # An `if` and its only statement often stand on one line.
        if not (len(lines) > 1 and lines[-1].endswith(":") and lines[-2].strip() == where):
            self.line(where)

    # --- Variables -----------------------------------------------------------------------------

    def variable(self, name: str, type_: t.Type, env: Env) -> str:
        """The variable of a name: the one that several ways share, or one of its own."""
        shared = env.targets.get(name)
        return shared or self.function.variable(name, annotation(self.module, type_))

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is bound inside, and not shared with the outside, ends here."""
        function = self.function
        function.scopes.append(set())
        try:
            yield
        finally:
            function.free |= function.scopes.pop()

    def callback(
        self,
        wanted: str,
        params: Sequence[tuple[str, str]],
        returns: str,
        doc: Doc,
        captured: Iterable[str],
    ) -> Doc:
        """A function as an argument: a lambda, or, where it uses what a loop changes, a function
        that binds it now."""
        changing = sorted(set(captured) & self.function.looping)
        if not changing:
            head = ", ".join(name for name, _ in params)
            return Prefix(f"lambda {head}: " if head else "lambda: ", doc)
        function = self.function
        shown = [f"{name}: {kind}" for name, kind in params]
        shown += [f"{name}: {function.types[name]} = {name}" for name in changing]
        name = function.variable(wanted, f"function {wanted}")
        head_doc = Bracket(Text(""), tuple(Text(param) for param in shown))
        self.write(f"def {name}", head_doc, f" -> {returns}:")
        self.deeper().write("return ", doc)
        self.line()
        return Text(name)


def spaced(lines: list[str]) -> list[str]:
    """Blank lines around the functions inside a function, as formatters want them."""
    made: list[str] = []
    for line in lines:
        if line.lstrip().startswith(("async def ", "def ")):
            indent = len(line) - len(line.lstrip())
            start = len(made)
            while start and made[start - 1].startswith(" " * indent + "#"):
                start -= 1
            if not _needs_none(made[:start], commented=start < len(made)):
                made.insert(start, "")
        made.append(line)
    while made and not made[-1]:
        made.pop()
    return made


def _needs_none(before: Sequence[str], *, commented: bool) -> bool:
    """Whether a function may follow these lines, or a comment and a function, without a blank."""
    if not before:  # the docstring of the outermost function
        return False
    last = before[-1].lstrip()
    # Other blocks than functions begin with a blank line, unless a comment stands there.
    in_function = last.startswith(("async def ", "def ", ") -> "))
    return not last or (last.endswith(":") and (commented or in_function))
