"""What else there is to know about a call, for formats that show it on demand.

Policies, promises and times as the contract gives them: no argument, no header, no value.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagalang.graph.durations import duration
from sagalang.model import program as p
from sagalang.render import words


class Details:
    """The lines of each call of a saga. `worst`: the worst case of a step by its path, which
    another layer has worked out."""

    def __init__(self, program: p.Program, worst: Mapping[str, str]) -> None:
        self._program = program
        self._worst = worst

    def of(self, step: p.Step | p.ChildStep | p.Poll) -> tuple[str, ...]:
        if isinstance(step, p.ChildStep):
            lines = [f"runs saga {step.saga}", *_ends(step.escalate, None, step.best_effort)]
            if not (step.pivot or step.best_effort):
                lines.append(f"undone by the compensations of saga {step.saga}")
        elif isinstance(step, p.Poll):
            lines = [words.policy_in_full(step.policy), "a query: asking changes nothing"]
        else:
            lines = self._step(step)
        if step.path in self._worst:
            lines.append(self._worst[step.path])
        return tuple(line for line in lines if line)

    def _step(self, step: p.Step) -> list[str]:
        operation = self._program.operation(step.call)
        lines = [words.policy_in_full(step.policy), *self._contract(operation)]
        lines += self._undone(step, operation)
        return [*lines, *_ends(step.escalate, step.policy, step.best_effort)]

    def compensation(self, compensation: p.Compensation) -> tuple[str, ...]:
        """The lines of a call that undoes a step."""
        operation = self._program.operation(compensation.call)
        lines = [words.policy_in_full(compensation.policy), *self._contract(operation)]
        if operation.promises.absent_ok:
            lines.append("succeeds where there is nothing to undo")
        if operation.promises.fences_late:
            lines.append("after it, the late original is refused")
        return (*lines, *_ends(compensation.escalate, compensation.policy, False))

    def _contract(self, operation: p.Operation) -> list[str]:
        """What may be repeated, and what tells whether a call happened."""
        promises = operation.promises
        if operation.is_query:
            return ["a query: asking changes nothing"]
        lines = []
        if promises.keyed:
            where = (
                f"by field {promises.key_field}"
                if promises.key_field is not None
                else f"by header {promises.key_header}"
            )
            kept = f"the same key has the effect of once for {duration(promises.key_for)}"
            lines.append(f"keyed {where}: {kept}")
            if promises.records_rejections:
                lines.append("what it refused once it refuses again under the same key")
        if promises.idempotent:
            lines.append("idempotent: the same input twice has the effect of once")
        if not (promises.keyed or promises.idempotent):
            lines.append("never repeated blindly: neither keyed nor idempotent")
        if operation.probe is not None:
            lines.append(f"without an answer, {operation.probe.label} tells whether it happened")
        if promises.lands_within is not None:
            lines.append(f"a late call lands within {duration(promises.lands_within)} or never")
        return lines

    def _undone(self, step: p.Step, operation: p.Operation) -> list[str]:
        match step.compensation:
            case p.Compensation(call=call):
                promises = self._program.operation(call).promises
                if promises.fences_late:
                    late = "which refuses the late original"
                elif operation.promises.lands_within is not None:
                    late = "once a late call can no longer land"
                else:
                    late = "which does not refuse the late original"
                return [f"undone by {call.label}, {late}"]
            case p.NoCompensation(why=why):
                return [f"never undone: {why}"]
            case _ if not operation.is_query and not step.best_effort:
                return ["never undone: it is past the point of no return"] if step.pivot else []
            case _:
                return []


def _ends(escalate: p.Escalation | None, policy: p.Policy | None, best_effort: bool) -> list[str]:
    lines = []
    if escalate is not None:
        forever = policy is not None and words.retries_forever(policy)
        lines.append(words.takes_over(escalate, forever=forever))
    if best_effort:
        lines.append("best effort: the saga goes on without it")
    return lines
