"""Runs scenarios on a simulated clock, on fakes of the services, and says what came of each.

result = run(program, program.scenarios[0])
result.passed
"""

from sagalang.scenario.result import Course, Finding, Result, Unused
from sagalang.scenario.run import run
from sagalang.scenario.stage import Stage

__all__ = ["Course", "Finding", "Result", "Stage", "Unused", "run"]
