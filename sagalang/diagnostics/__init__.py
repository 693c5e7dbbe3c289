"""What we tell a user about a text: values with a code, places, a sentence and a fix.

Invariant: nothing but the registry creates a code; renderers only read.
"""

from sagalang.diagnostics.diagnostic import Diagnostic, Label, diagnose
from sagalang.diagnostics.registry import CODES, Code, Severity, find, page

__all__ = ["CODES", "Code", "Diagnostic", "Label", "Severity", "diagnose", "find", "page"]
