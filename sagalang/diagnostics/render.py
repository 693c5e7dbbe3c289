"""Diagnostics as text: `full` with the source line, `concise` one line each, `json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from unicodedata import combining, east_asian_width

from sagalang.diagnostics.diagnostic import Diagnostic, Label
from sagalang.diagnostics.registry import Severity
from sagalang.text import Source

_TAB = "    "
_RESET, _BOLD, _RED, _YELLOW, _BLUE, _CYAN = (
    "\x1b[0m",
    "\x1b[1m",
    "\x1b[1;31m",
    "\x1b[1;33m",
    "\x1b[1;34m",
    "\x1b[36m",
)


def concise(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> str:
    """`path:line:column: error[SG101] unknown-name: message`."""
    source = sources[diagnostic.span.file]
    line, column = source.position(diagnostic.span.start)
    return (
        f"{source.name}:{line}:{column}: {diagnostic.severity.value}"
        f"[{diagnostic.code}] {diagnostic.name}: {diagnostic.message}"
    )


def to_json(diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source]) -> str:
    """One JSON object: `format_version` and the diagnostics with offsets, lines and columns."""

    def label(item: Label) -> dict[str, object]:
        source = sources[item.span.file]
        start, end = source.position(item.span.start), source.position(item.span.end)
        return {
            "file": source.name,
            "start": {"offset": item.span.start, "line": start.line, "column": start.column},
            "end": {"offset": item.span.end, "line": end.line, "column": end.column},
            "text": item.text,
        }

    rows = [
        {
            "code": d.code,
            "name": d.name,
            "severity": d.severity.value,
            "message": d.message,
            "primary": label(d.primary),
            "secondary": [label(s) for s in d.secondary],
            "notes": list(d.notes),
            "help": d.help,
        }
        for d in diagnostics
    ]
    return json.dumps({"format_version": 1, "diagnostics": rows}, ensure_ascii=False, indent=2)


def full(diagnostic: Diagnostic, sources: Mapping[str, Source], *, colour: bool = False) -> str:
    """The diagnostic with its source lines, the places underlined, notes and help below."""

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if colour and text else text

    tint = _RED if diagnostic.severity is Severity.ERROR else _YELLOW
    source = sources[diagnostic.span.file]
    line, column = source.position(diagnostic.span.start)
    places = [(diagnostic.primary, "^", tint)] + [(s, "-", _BLUE) for s in diagnostic.secondary]
    numbers = [sources[p.span.file].position(p.span.start).line for p, _, _ in places]
    width = len(str(max(numbers)))
    pad = " " * width
    bar = paint(_BLUE, "|")

    out = [
        paint(tint, f"{diagnostic.severity.value}[{diagnostic.code}]")
        + paint(_BOLD, f": {diagnostic.message}"),
        f"{pad}{paint(_BLUE, '-->')} {source.name}" + (f":{line}:{column}" if source.text else ""),
        f"{pad} {bar}",
    ]
    order = sorted(
        range(len(places)),
        key=lambda i: (places[i][0].span.file != diagnostic.span.file, numbers[i], -i),
    )
    file, last = diagnostic.span.file, 0
    for index in order:
        label, mark, colour_code = places[index]
        number = numbers[index]
        here = sources[label.span.file]
        if label.span.file != file:
            file, last = label.span.file, 0
            at = here.position(label.span.start)
            out += [f"{pad} {bar}", f"{pad}{paint(_BLUE, ':::')} {here.name}:{at.line}:{at.column}"]
        if number != last:
            if last and number > last + 1:
                out.append(paint(_BLUE, "." * max(width, 3)))
            out.append(
                f"{paint(_BLUE, f'{number:>{width}} |')} {_expand(here.line(number))}".rstrip()
            )
        last = number
        out.append(f"{pad} {bar} " + _underline(here, label, mark, paint, colour_code))
    out.append(f"{pad} {bar}")
    if not source.text:  # it could not be read, or is empty: no line to show
        del out[2:]
    out += [f"{pad} = {paint(_BOLD, 'note')}: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        out.append(f"{pad} = {paint(_CYAN, 'help')}: {diagnostic.help}")
    if out[-1].endswith("|") or out[-1].endswith(bar):
        out.pop()
    return "\n".join(out)


def _underline(source: Source, label: Label, mark: str, paint, tint: str) -> str:  # type: ignore[no-untyped-def]
    number, column = source.position(label.span.start)
    text = source.line(number)
    before = _expand(text[: column - 1])
    end = source.position(label.span.end)
    stop = end.column - 1 if end.line == number else len(text)
    covered = _expand(text[: max(stop, column - 1)])[len(before) :]
    marks = mark * max(_width(covered), 1)
    tail = f" {label.text}" if label.text else ""
    return " " * _width(before) + str(paint(tint, marks + tail))


def _expand(text: str) -> str:
    """Tabs as spaces, control characters as `?`, so that columns line up and nothing is hidden."""
    return "".join(
        _TAB if c == "\t" else c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
