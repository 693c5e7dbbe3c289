"""The compiler with an edit in its source, beside the real one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from .edits import Mutant

PACKAGE = "sagalang.compile"


class DoesNotApply(AssertionError):  # noqa: N818 - says what it is
    """The compiler has changed: the edit's place is not there, or not once."""


def edited(mutant: Mutant) -> tuple[str, str]:
    """Path and edited source of the mutant's module. Raises `DoesNotApply`."""
    spec = find_spec(f"{PACKAGE}.{mutant.module}")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        times = source.count(mutant.old)
        raise DoesNotApply(f"{mutant.name}: its place is {times} times in {mutant.module}.py")
    return spec.origin, source.replace(mutant.old, mutant.new)


def compiler(mutant: Mutant) -> Callable[[Any], Any]:
    """`compile_program` of a fresh copy of the package with the edit in it."""
    path, source = edited(mutant)
    found = _Edited(f"{PACKAGE}.{mutant.module}", path, source)
    real = {name: kept for name, kept in sys.modules.items() if name.startswith(PACKAGE)}
    for name in real:
        del sys.modules[name]
    sys.meta_path.insert(0, found)
    try:
        made: Callable[[Any], Any] = importlib.import_module(PACKAGE).compile_program
    finally:
        sys.meta_path.remove(found)
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(real)
        sys.modules["sagalang"].compile = real[PACKAGE]  # type: ignore[attr-defined]
    return made


class _Edited(MetaPathFinder, Loader):
    """Finds one module, whose source it has."""

    def __init__(self, name: str, path: str, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return spec_from_loader(fullname, self, origin=self._path)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._path
        exec(compile(self._source, self._path, "exec"), module.__dict__)
