"""`saga render --atlas DIR`: a picture of every way to fail, and the pages that list them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click


def write_atlas(file: str, saga_name: str | None, folder: str, theme: str, values: bool) -> None:
    """Draw all failure paths of a saga into a folder. Raises InputProblem."""
    from sagalang.cli.drawing import load, worst_lines
    from sagalang.cli.inputs import InputProblem, choose_saga
    from sagalang.graph import lower
    from sagalang.render import atlas, svg, words
    from sagalang.render.atlas import page

    loaded = load(file)
    saga = choose_saga(loaded, saga_name).name
    graph = lower(loaded.program, saga)
    worst = worst_lines(loaded.program, saga)
    entries = atlas.atlas(graph, words.Shown(values), worst)
    pictures = {entry.slug: svg.emit(entry.diagram, theme) for entry in entries}
    index = atlas.index(entries, graph)
    files = {f"{slug}.svg": picture for slug, picture in pictures.items()}
    files["index.md"] = page.markdown(index, lambda slug: f"{slug}.svg")
    files["index.html"] = page.html(index, pictures)
    _refuse_another(Path(folder), files["index.md"])
    try:
        changed = sum(_written(Path(folder), name, text) for name, text in files.items())
    except OSError as error:
        raise InputProblem(f"cannot write {folder}: {error.strerror or error}") from None
    told = f"{changed} of {len(files)} files written" if changed else "unchanged"
    click.echo(f"{index.summary} {told}: {folder}", err=True)
    click.echo(f"next: open {Path(folder, 'index.html')}", err=True)


def _refuse_another(folder: Path, text: str) -> None:
    """Two atlases in one folder would leave the index of one among the pictures of both."""
    from sagalang.cli.inputs import InputProblem

    with contextlib.suppress(OSError, UnicodeDecodeError):
        there = (folder / "index.md").read_text("utf-8").partition("\n")[0]
        if there != text.partition("\n")[0]:
            raise InputProblem(
                f"{folder} has an index.md of something else: {there[:60]}",
                "name another folder",
            )


def _written(folder: Path, name: str, text: str) -> bool:
    from sagalang.cli.files import write_text

    return write_text(folder / name, text)
