"""Compiles sagas to Python: typed program, view models, templates, files as data.

Invariant: imports nothing above the model and the runtime; writes no file.
"""

from sagalang.compile.generate import (
    Compiled,
    GeneratedFile,
    NotCompilable,
    compile_package,
    compile_program,
)
from sagalang.compile.templating import TemplateProblem

__all__ = [
    "Compiled",
    "GeneratedFile",
    "NotCompilable",
    "TemplateProblem",
    "compile_package",
    "compile_program",
]
