"""Prints views through the templates, of which a user's folder may replace single blocks.

`DIR/module.py.jinja` begins with `{% extends "sagalang/module.py.jinja" %}` and holds the blocks
that it replaces; docs/compile.md lists them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import jinja2
from jinja2 import nodes

from sagalang.compile.scenario_views import TestsView
from sagalang.compile.view_models import ModuleView
from sagalang.diagnostics.suggest import nearest

_OURS: Final = "sagalang/"


class TemplateProblem(Exception):  # noqa: N818 - it is the user's, and told as a sentence
    """A template of the user that cannot be used: where, why, and what to do."""

    def __init__(self, where: str, why: str, advice: str | None = None) -> None:
        super().__init__(f"{where}: {why}")
        self.advice = advice


def printed(name: str, view: ModuleView | TestsView, folder: Path | None = None) -> str:
    """The text of a view. Raises `TemplateProblem`."""
    own = None if folder is None else folder / name
    if own is None or not own.is_file():
        if folder is not None and not any((folder / known).is_file() for known in _KNOWN):
            raise TemplateProblem(str(folder), f"there is no {' or '.join(_KNOWN)}", _WRITTEN)
        return _environment(None).get_template(_OURS + name).render({name.partition(".")[0]: view})
    environment = _environment(folder)
    _check(environment, own, name)
    try:
        text = environment.get_template(name).render({name.partition(".")[0]: view})
    except jinja2.TemplateSyntaxError as error:
        raise TemplateProblem(_syntax_place(own, error), error.message or "it is wrong") from None
    except jinja2.TemplateNotFound as error:
        raise TemplateProblem(str(own), f"there is no template `{error.name}`", _WRITTEN) from None
    except Exception as error:  # whatever an expression of a template may raise
        raise TemplateProblem(_raised_at(error, own), _told(error)) from None
    try:
        ast.parse(text)
    except SyntaxError as error:
        line = text.splitlines()[error.lineno - 1].strip() if error.lineno and text else ""
        why = f"what it gives is not Python: {error.msg}, at `{line}`"
        raise TemplateProblem(str(own), why) from None
    return text


_KNOWN: Final = ("module.py.jinja", "tests.py.jinja")
_WRITTEN: Final = (
    'a template begins with `{% extends "sagalang/module.py.jinja" %}`; see docs/compile.md'
)


def _environment(folder: Path | None) -> jinja2.Environment:
    ours = jinja2.PrefixLoader({_OURS.rstrip("/"): jinja2.PackageLoader("sagalang.compile")})
    loaders: list[jinja2.BaseLoader] = [ours]
    if folder is not None:
        loaders.append(jinja2.FileSystemLoader(folder))
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # what is made is Python; names are made safe by `naming`
    )


def _check(environment: jinja2.Environment, own: Path, name: str) -> None:
    """Jinja ignores a block that the extended template lacks; a misspelt one must not vanish."""
    try:
        tree = environment.parse(own.read_text(encoding="utf-8"))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateProblem(f"{own}:{error.lineno}", error.message or "it is wrong") from None
    except OSError as error:
        raise TemplateProblem(str(own), f"cannot read it: {error.strerror or error}") from None
    except UnicodeError:
        raise TemplateProblem(str(own), "this is not UTF-8 text") from None
    extended = [
        found.template.value
        for found in tree.find_all(nodes.Extends)
        if isinstance(found.template, nodes.Const)
    ]
    if extended != [_OURS + name]:
        why = "it does not extend ours"
        raise TemplateProblem(f"{own}:1", why, f'begin it with `{{% extends "{_OURS}{name}" %}}`')
    known = blocks(name)
    for block in tree.find_all(nodes.Block):
        if block.name not in known:
            meant = nearest(block.name, known)
            advice = f"did you mean `{meant}`?" if meant else f"there are {', '.join(known)}"
            where = f"{own}:{block.lineno}"
            raise TemplateProblem(where, f"there is no block `{block.name}`", advice)


def blocks(name: str) -> tuple[str, ...]:
    """The blocks of one of our templates, in order."""
    environment = _environment(None)
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, _OURS + name)
    return tuple(block.name for block in environment.parse(source).find_all(nodes.Block))


def _syntax_place(own: Path, error: jinja2.TemplateSyntaxError) -> str:
    return f"{error.filename or own}:{error.lineno}"


def _raised_at(error: BaseException, own: Path) -> str:
    """The innermost line of a template in the folder; Jinja puts templates into tracebacks."""
    where, at = str(own), error.__traceback__
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        if Path(file).parent == own.parent or Path(file).is_relative_to(own.parent):
            where = f"{file}:{at.tb_lineno}"
        at = at.tb_next
    return where


def _told(error: Exception) -> str:
    if isinstance(error, jinja2.UndefinedError):
        return str(error).replace("sagalang.compile.view_models.", "")
    return f"{type(error).__name__}: {error}"
