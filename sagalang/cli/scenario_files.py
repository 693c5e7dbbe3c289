"""Finding .saga files, and the scenarios in them. Shared by `saga fmt`, `saga test` and pytest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagalang.diagnostics import Diagnostic
    from sagalang.model import program as p
    from sagalang.scenario import Result, Stage
    from sagalang.workspace import Loaded


class NotThereError(Exception):
    """A path that names no `.saga` file and no folder; the text is a plain sentence."""


@dataclass(frozen=True)
class Tested:
    """A scenario that was run. `wall`: seconds of real time."""

    stage: Stage
    result: Result
    wall: float

    @property
    def file(self) -> str:
        return self.result.scenario.span.file

    @property
    def title(self) -> str:
        return self.result.scenario.title


def find(paths: Sequence[str]) -> list[str]:
    """The `.saga` files that are named, and those in the folders that are named, at any depth.

    Hidden folders and virtual environments are passed over, unless they are named themselves.
    Raises `NotThereError`.
    """
    found: dict[str, None] = {}
    for path in paths:
        if os.path.isdir(path):
            found.update(dict.fromkeys(_inside(path)))
        elif os.path.exists(path):
            found[os.path.normpath(path)] = None
        else:
            raise NotThereError(f"there is no file or folder {path}")
    return list(found)


def _inside(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in ("node_modules", "__pycache__")
            and not os.path.exists(os.path.join(here, name, "pyvenv.cfg"))
        )
        for name in sorted(files):
            if name.endswith(".saga"):
                yield os.path.normpath(os.path.join(here, name))


def may_have_scenarios(path: Path) -> bool:
    """Whether it is worth reading the file: quick, and never wrongly False."""
    try:
        return b"scenario" in path.read_bytes()
    except OSError:
        return False


def own_scenarios(program: p.Program) -> tuple[p.Scenario, ...]:
    """Those of the file itself: imported ones run where they are declared."""
    return tuple(s for s in program.scenarios if s.span.file == program.main)


def load_file(path: str) -> Loaded:
    from sagalang.workspace import load

    return load(path)


def try_one(stage: Stage, scenario: p.Scenario, seed: int) -> Tested:
    from sagalang.scenario import run

    began = time.perf_counter()
    result = run(stage.program, scenario, seed, stage=stage)
    return Tested(stage, result, time.perf_counter() - began)


def failure_text(tested: Tested, *, colour: bool = False) -> str:
    """Why a scenario failed: the lines that expected otherwise, and what happened, drawn."""
    from sagalang.diagnostics.render import full

    sources = tested.stage.program.sources
    parts = [full(d, sources, colour=colour) for d in diagnostics(tested)]
    parts += notes(tested)
    drawn = picture(tested)
    if drawn:
        parts.append(drawn)
    return "\n\n".join(parts)


def diagnostics(tested: Tested) -> tuple[Diagnostic, ...]:
    from sagalang.scenario.told import diagnostics as told

    return told(tested.result)


def notes(tested: Tested) -> list[str]:
    """`note: line 12: this fault never struck: Payment.release`."""
    return [
        f"note: line {tested.stage.line(unused.span)}: {unused.text}"
        for unused in tested.result.unused
    ]


def picture(tested: Tested) -> str:
    """The sequence diagram of what happened, as text; empty where nothing did."""
    from sagalang.render.journal import model
    from sagalang.render.text import emit

    course, scenario = tested.result.course, tested.result.scenario
    if not course.journal:
        return ""
    return emit(model(tested.stage.program, scenario.saga, course.journal)).rstrip()
