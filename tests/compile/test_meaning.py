"""The version of a compiled saga changes with its meaning, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from sagalang.compile.meaning import Meanings
from sagalang.format import format_text
from sagalang.model.program import Program
from sagalang.text import Source
from sagalang.workspace import load, load_text

from .test_corpus_runs import SAGAS
from .twin import checked

TEXT = """
error Other { why: string }, No
policy firm { timeout 1s }
policy calm extends firm { timeout 2s }
policy idle { timeout 9s }
let LIMIT = 10
record Thing { id: string, size: int }
record Unused { id: string }
service S {
  with calm
  command do(thing: Thing) keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
saga Main(thing: Thing) -> string {
  id thing.id
  step S.do(thing)
  step saga Child(thing)
  return "at most ${LIMIT}"
}
saga Child(thing: Thing) { step S.do(thing) }
saga Alone(id: string) { id id  sleep 1h }
let SAMPLE = Thing(id: "t-1", size: 1)
scenario "all is well" of Main(SAMPLE) { expect completed }
"""


def versions(program: Program) -> dict[str, str]:
    meanings = Meanings(program)
    return {name: meanings.of(saga) for name, saga in program.sagas.items()}


BEFORE = versions(checked(TEXT))


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("timeout 1s", "timeout 3s", {"Main", "Child"}),
        ("let LIMIT = 10", "let LIMIT = 11", {"Main"}),
        ("rejects No", "rejects Other", {"Main", "Child"}),
        ("size: int }", "size: int? }", {"Main", "Child"}),
        ("saga Child(thing: Thing) {", "saga Child(thing: Thing) {  sleep 1s ", {"Main", "Child"}),
        ("sleep 1h", "sleep 2h", {"Alone"}),
        ("at most", "up to", {"Main"}),
        ("timeout 9s", "timeout 8s", set()),
        ("record Unused { id: string }", "", set()),
        ("all is well", "it ends", set()),
        ("size: 1)", "size: 2)", set()),
        ("  step saga", '  // "Sends it.\n  step saga', set()),
        ("saga Main", "/// Does it all.\nsaga Main", set()),
        ("Thing { id: string, size: int }", "Thing {\n  id: string,\n  size: int,\n}", set()),
    ],
)
def test_it_changes_with_what_the_saga_leads_to(old: str, new: str, changed: set[str]) -> None:
    assert old in TEXT
    after = versions(checked(TEXT.replace(old, new, 1)))
    assert {name for name in BEFORE if BEFORE[name] != after[name]} == changed


def test_it_is_the_same_in_whichever_files_the_declarations_stand() -> None:
    head, tail = TEXT.split("saga Main")
    main = f'import "head.saga"\nsaga Main{tail}'
    loaded = load_text(main, "main.saga", {"head.saga": head})
    assert not loaded.has_errors
    assert versions(loaded.program) == BEFORE


@pytest.mark.parametrize("path", SAGAS, ids=[f"{p.parent.name}-{p.stem}" for p in SAGAS])
def test_comments_and_layout_change_nothing(path: Path) -> None:
    program = load(str(path)).program
    sources = {name: laid_out_anew(source) for name, source in program.sources.items()}
    assert versions(replace(program, sources=sources)) == versions(program)


def laid_out_anew(source: Source) -> Source:
    formatted = format_text(source).text
    assert formatted is not None
    return Source(source.name, formatted.replace("\n", '  // " a note }\n\n'))
