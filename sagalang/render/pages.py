"""The templates of HTML pages. Every text in them is escaped, unless it is marked as safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagalang.render.diagram import printable

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """With the filter `printable`. A template that names what nobody gave it raises."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("sagalang.render"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    found.filters["printable"] = printable
    return found
