"""Compiles sagas to Python: typed program, view models, templates, files as data.

Invariant: imports nothing above the model and the runtime; writes no file.
"""

from sagalang.compile.generate import (
    INIT,
    Compiled,
    GeneratedFile,
    NotCompilable,
    compile_package,
    compile_program,
    package_files,
)
from sagalang.compile.templating import TemplateProblem

__all__ = [
    "INIT",
    "Compiled",
    "GeneratedFile",
    "NotCompilable",
    "TemplateProblem",
    "compile_package",
    "compile_program",
    "package_files",
]
