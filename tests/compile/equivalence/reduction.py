"""Makes a saga and its case smaller as long as they still differ.

It works on the lines of the text, which is laid out with one statement a line. Hypothesis, which
shrinks choices, stays far from the smallest: one statement less makes others of all that follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from sagalang.runtime.fault_script import ScriptError

from .pairs import Difference, NotASaga, Subject
from .scripts import Case

Compare = Callable[[str, Case], object]


def smallest(found: Difference, compare: Compare) -> Difference:
    """A smaller pair of which `compare` raises a `Difference`: nothing more can be left out."""
    reached = 0
    while True:
        options = list(_smaller(found))
        # What was tried before is tried again at the end only: it seldom helps.
        for at in (*range(reached, len(options)), *range(min(reached, len(options)))):
            try:
                compare(*options[at])
            except Difference as difference:
                found, reached = difference, at
                break
            except (NotASaga, ScriptError):
                pass
        else:
            return found


def _smaller(found: Difference) -> Iterator[tuple[str, Case]]:
    text, case = found.text, found.case
    if case is None:
        return
    script = case.script
    for name in ("faults", "events"):
        kept = getattr(script, name)
        for at in range(len(kept)):
            fewer = (*kept[:at], *kept[at + 1 :])
            yield text, replace(case, script=replace(script, **{name: fewer}))
    for at in range(len(case.answers)):
        yield text, replace(case, answers=(*case.answers[:at], *case.answers[at + 1 :]))
    for simpler in (
        replace(case, seed=0),
        replace(case, spread=0),
        replace(case, script=replace(script, cancel=None)),
        replace(case, script=replace(script, latency=0)),
    ):
        if simpler != case:
            yield text, simpler
    lines = text.split("\n")
    for at in reversed(range(len(lines))):
        for fewer_lines in _without(lines, at):
            yield "\n".join(fewer_lines), case
    yield from _without_input(text, case)
    for match in re.finditer(r", \d at once| by [\w.]+(?= \{)| where .*(?= within)", text):
        yield text[: match.start()] + text[match.end() :], case


def _without(lines: list[str], at: int) -> Iterator[list[str]]:
    """Without the statement that begins here, and with only what is inside it."""
    line = lines[at]
    if not line.endswith("{"):
        yield lines[:at] + lines[at + 1 :]
        return
    depth = len(line) - len(line.lstrip())
    end = next(n for n in range(at + 1, len(lines)) if lines[n][depth : depth + 1] == "}")
    if line.lstrip().startswith("}"):  # a handler, or an `else`
        yield lines[:at] + lines[end:]
        return
    if lines[end].endswith("{"):
        last = next(n for n in range(end, len(lines)) if lines[n] == " " * depth + "}")
        yield lines[:at] + lines[last + 1 :]
        yield lines[:at] + lines[at + 1 : end] + lines[last + 1 :]
    else:
        yield lines[:at] + lines[end + 1 :]
        yield lines[:at] + lines[at + 1 : end] + lines[end + 1 :]


def _without_input(text: str, case: Case) -> Iterator[tuple[str, Case]]:
    """Without a parameter that nothing reads any more."""
    given: Mapping[str, Any] = case.script.input
    for name in given:
        if len(re.findall(rf"\b{name}\b", text[text.index("saga Main(") :])) == 1:
            head = re.sub(rf"(saga Main\([^{{]*?){name}: [\w<> ]+\??(, )?", r"\1", text)
            fewer = {key: value for key, value in given.items() if key != name}
            yield head.replace(", )", ")"), replace(case, script=replace(case.script, input=fewer))


def comparing(begin: Callable[[str], Subject]) -> Compare:
    return lambda text, case: begin(text).compare(case)
