"""What `saga render` was asked for, and the picture made of it. Nothing is written here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from sagalang.cli.inputs import InputProblem
from sagalang.render.formats import ALL_FORMATS, FORMATS, GRAPH_FORMATS, VIEWS, by_suffix, suffixes
from sagalang.render.themes import fixed

if TYPE_CHECKING:
    from sagalang.diagnostics import Diagnostic
    from sagalang.model.program import Program
    from sagalang.render.diagram import SequenceDiagram
    from sagalang.render.listing import Listing
    from sagalang.render.words import Shown
    from sagalang.workspace import Loaded


@dataclass(frozen=True, slots=True)
class Wanted:
    """`direction`: of graphs, `TB` or `LR`, if it matters. `values`: literals are shown, those that
    are secret excepted."""

    view: str
    to: str
    theme: str
    direction: str | None
    values: bool
    whens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    content: str | bytes
    warnings: tuple[Diagnostic, ...] = ()


def wanted(
    view: str | None,
    to: str | None,
    output: str | None,
    theme: str,
    direction: str | None,
    values: bool,
    whens: Sequence[str],
) -> Wanted:
    """The request as a whole. Raises InputProblem where its parts do not fit together."""
    target = to or _by_output(output)
    if view is None:
        only_graphs = target is not None and target not in FORMATS
        view = "flow" if only_graphs else "sequence"
    formats = VIEWS[view]
    if target is None:
        target = formats[0]
    if target not in formats:
        fitting = [name for name, known in VIEWS.items() if target in known]
        raise InputProblem(
            f"a {view} cannot be drawn as {target}",
            f"it can be drawn as {', '.join(formats)}; {target} is for --as {' or '.join(fitting)}",
        )
    if direction is not None and formats is not GRAPH_FORMATS:
        raise InputProblem(
            f"--direction is for graphs; a {view} runs from top to bottom",
            "leave it out, or draw a graph: --as flow, --as map",
        )
    if theme != "light" and target in ("mermaid", "text"):
        raise InputProblem(
            f"{target} has no theme, it looks like what is around it",
            "leave out --theme, or draw it as svg, png, html or plantuml",
        )
    if whens and view != "sequence":
        raise InputProblem(
            f"--when is for sequence diagrams; a {view} shows all ways at once",
            "leave out --when, or leave out --as",
        )
    return Wanted(view, target, theme, direction, values, tuple(whens))


def _by_output(output: str | None) -> str | None:
    """The format that the name of the output asks for."""
    if output is None or output == "-":
        return None
    found = by_suffix(output)
    if found is None:
        raise InputProblem(
            f"{output} does not say what format it is to be",
            f"give --to {'|'.join(ALL_FORMATS)}, or a name that ends in one of {suffixes()}",
        )
    return found


def load(file: str) -> Loaded:
    """The checked file. What is wrong with it is shown, and ends the program: with status 1, or 2
    where it cannot be read."""
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.workspace import load as read

    loaded = read(file)
    if loaded.has_errors:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
        click.echo(f"{summary(loaded.diagnostics)}; nothing was drawn", err=True)
        unreadable = any(d.name == "unreadable-file" for d in loaded.diagnostics)
        sys.exit(2 if unreadable else 1)
    return loaded


def draw(loaded: Loaded, saga: str, request: Wanted) -> Picture:
    """The picture of one saga. Raises InputProblem."""
    from sagalang.graph import lower

    graph = lower(loaded.program, saga)
    text = listing_of(loaded, saga)
    match request.view:
        case "flow":
            from sagalang.render.graphs import dot
            from sagalang.render.graphs.flow import flow

            drawn = dot.emit(
                flow(graph), direction=request.direction or "TB", theme=fixed(request.theme)
            )
            return Picture(_laid_out(drawn, request.to))
        case "choreography":
            from sagalang.render import choreography

            warnings = choreography.diagnostics(graph)
            return Picture(emit(choreography.model(graph), request, text), warnings)
        case _:
            return Picture(emit(_sequence(loaded, saga, request), request, text))


def _sequence(loaded: Loaded, saga: str, request: Wanted) -> SequenceDiagram:
    from sagalang.graph import lower
    from sagalang.render import paths
    from sagalang.render.sequence import model

    graph = lower(loaded.program, saga)
    shown, worst = shown_in(request), worst_lines(loaded.program, saga)
    if not request.whens:
        return model(graph, shown, worst)
    whens = []
    for text in request.whens:
        found = paths.parse(loaded.program, saga, text)
        if isinstance(found, paths.Problem):
            raise InputProblem(found.message, found.advice)
        whens.append(found)
    diagram = paths.path_model(graph, whens, shown, worst)
    if isinstance(diagram, paths.Problem):
        raise InputProblem(diagram.message, diagram.advice)
    return diagram


def shown_in(request: Wanted) -> Shown:
    from sagalang.render import words

    return words.Shown(request.values)


def worst_lines(program: Program, saga: str) -> dict[str, str]:
    """Of each step, by its path, the most that its call may come to, in words."""
    from sagalang.graph import lower
    from sagalang.graph.durations import duration
    from sagalang.model.program import Step
    from sagalang.verify.worst_call import call_limits

    lines = {}
    for node in lower(program, saga).nodes:
        step = node.statement
        if isinstance(step, Step):
            limits = call_limits(program, program.operation(step.call), step.policy)
            calls = "no limit" if limits.attempts is None else str(limits.attempts)
            time = "no limit" if limits.time is None else duration(limits.time)
            lines[step.path] = f"at worst: calls {calls}, time {time}"
    return lines


def draw_map(programs: Sequence[Loaded], request: Wanted) -> Picture:
    """Which saga calls which operation of which service. Raises InputProblem."""
    from sagalang.render.graphs.service_map import service_map
    from sagalang.render.graphs.service_map_dot import emit as emit_dot
    from sagalang.render.graphs.service_map_mermaid import emit as emit_mermaid

    found = service_map(loaded.program for loaded in programs)
    if request.to == "mermaid":
        return Picture(emit_mermaid(found))
    text = emit_dot(found, direction=request.direction or "LR", theme=fixed(request.theme))
    return Picture(_laid_out(text, request.to))


def listing_of(loaded: Loaded, saga: str) -> Listing:
    from sagalang.render.listing import listing

    found = loaded.program.sagas[saga]
    return listing(loaded.program, found, loaded.sources[found.span.file])


def emit(diagram: SequenceDiagram, request: Wanted, text: Listing | None) -> str | bytes:
    """A sequence diagram in the format that was asked for. Raises InputProblem."""
    from sagalang.render import formats
    from sagalang.render.png import NoRenderer

    try:
        return formats.emit(diagram, request.to, request.theme, text)
    except NoRenderer as missing:
        raise InputProblem(str(missing)) from None


def _laid_out(text: str, to: str) -> str | bytes:
    if to == "dot":
        return text
    from sagalang.render.graphs.engine import NoPicture
    from sagalang.render.graphs.engine import draw as lay_out

    try:
        return lay_out(text, to)
    except NoPicture as missing:
        raise InputProblem(str(missing)) from None
