"""One outage under many policies, and what the courses are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagalang.model.program import Operation, Policy
from sagalang.simulate.cases import Protection, cases
from sagalang.simulate.outage import BUCKET, Course, Setting, run
from sagalang.simulate.workers import Told, nobody, spread


@dataclass(frozen=True, slots=True)
class Result:
    strategy: str
    protection: Protection
    course: Course


def compare(
    operation: Operation, setting: Setting, strategies: Sequence[str], told: Told = nobody
) -> list[Result]:
    """The operation's policy with each strategy, under each protection; on all cores."""
    varied = list(cases(operation.policy, strategies))
    jobs = [(operation, policy, setting) for _, _, policy in varied]
    courses = spread(_run, jobs, told)
    return [
        Result(strategy, protection, course)
        for (strategy, protection, _), course in zip(varied, courses, strict=True)
    ]


def _run(job: tuple[Operation, Policy, Setting]) -> Course:
    return run(*job)


@dataclass(frozen=True, slots=True)
class Measures:
    """`normal`: attempts per `BUCKET` ms before the outage. `outage`: the load during the outage,
    as a multiple of it. `peak`: most attempts in one bucket after the service came back."""

    attempts: int
    normal: float
    outage: float
    peak: int


def measures(course: Course, setting: Setting) -> Measures:
    """`setting.down_at` must leave room for a bucket before it."""
    down = setting.down_at // BUCKET
    up = -(-setting.up_again // BUCKET)
    before, during, after = course.load[:down], course.load[down:up], course.load[up:]
    normal = sum(before) / len(before)
    return Measures(
        sum(course.load), normal, sum(during) / len(during) / normal, max(after, default=0)
    )
