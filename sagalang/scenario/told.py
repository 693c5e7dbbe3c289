"""A result as diagnostics: the line that expected otherwise, and what was found."""

from __future__ import annotations

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.scenario.result import Result


def diagnostics(result: Result) -> tuple[Diagnostic, ...]:
    """What is to be said about a scenario that failed; nothing about one that passed."""
    if result.problem:
        help_ = None if result.findings else "say how it ends: `expect …`"
        return (diagnose("no-verdict", result.scenario.span, result.problem, help=help_),)
    return tuple(
        diagnose("expectation-not-met", found.expect.span, found.text, other=found.other)
        for found in result.findings
        if not found.met
    )
