"""Streams: colour on a terminal, plain text in a pipe, results apart from progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import click

from sagalang.diagnostics import Diagnostic
from sagalang.text import Source

GREEN, RED, YELLOW, BLUE, DIM, BOLD, RESET = (
    "\x1b[32m",
    "\x1b[31m",
    "\x1b[33m",
    "\x1b[34m",
    "\x1b[2m",
    "\x1b[1m",
    "\x1b[0m",
)


def coloured(stream: TextIO) -> bool:
    """Whether to colour what goes to a stream: `NO_COLOR`, `FORCE_COLOR`, else a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def paint(code: str, text: str, on: bool) -> str:
    return f"{code}{text}{RESET}" if on and text else text


def progress(text: str) -> None:
    click.echo(text, err=True)


def show_diagnostics(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, Source],
    style: str,
    stream: TextIO | None = None,
) -> None:
    """Print diagnostics in one of the styles `full`, `concise`, `json`."""
    from sagalang.diagnostics import render

    out = stream or sys.stdout
    if style == "json":
        print(render.to_json(diagnostics, sources), file=out)
    elif style == "concise":
        for diagnostic in diagnostics:
            print(render.concise(diagnostic, sources), file=out)
    else:
        colour = coloured(out)
        for diagnostic in diagnostics:
            print(render.full(diagnostic, sources, colour=colour) + "\n", file=out)


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(d.is_error for d in diagnostics)
    parts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((errors, "error"), (len(diagnostics) - errors, "warning"))
        if count
    ]
    return ", ".join(parts)


def usage_error(message: str, advice: str | None = None) -> None:
    """Say what cannot be done and leave with status 2."""
    text = f"error: {message}"
    if advice:
        text += f"\n  = help: {advice}"
    click.echo(text, err=True)
    sys.exit(2)
