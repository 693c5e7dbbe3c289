"""What has to occur in the default run, as `features` names it."""

from __future__ import annotations

from typing import Final

_LANGUAGE: Final = """
abort; attempt; attempt: as; attempt: in attempt; attempt: on several; attempt: pivot
attempt: re-raises; attempt: several handlers
child; child: best_effort; child: escalate; child: pivot
compensate with; compensate with: escalate; deadline; several services; when compensated
expression: Comprehension; expression: Conditional; expression: ConstantRef; expression: Convert
expression: Index; expression: Interpolate; expression: MakeList; expression: MakeRecord
expression: ResultOf; expression: Update
for; for: at once; for: binds; for: by; for: in for
function: contains; function: len; function: lower; function: max; function: min; function: now
function: round; function: sum; function: upper
if; if: else; key; key(step); let; let: constant
jitter: decorrelated; jitter: equal; jitter: full; jitter: none; jitter: proportional
operator: !=; operator: *; operator: +; operator: -; operator: - (one); operator: /; operator: <
operator: <=; operator: ==; operator: >; operator: >=; operator: ??; operator: and
operator: not (one); operator: or
parallel; parallel: several steps
param: EnumRef; param: ListOf; param: MapOf; param: Optional; param: RecordRef; param: Secret
param: bool; param: datetime; param: decimal; param: duration; param: int; param: json; param: key
param: string; param: uuid
policy: breaker; policy: budget; policy: bulkhead; policy: per operation; policy: rate
policy: retry; policy: total; retry: forever
poll: Abort; poll: Escalation; poll: NoneType
probe; promise: absent_ok; promise: fences_late; promise: idempotent; promise: keyed
promise: lands_within; promise: records_rejections; rejects: plain; rejects: with fields
result: InlineRecord; result: ListOf; result: Null; result: Optional; result: RecordRef
result: int; result: string; return
saga gives: ListOf; saga gives: Null; saga gives: RecordRef; saga gives: decimal; saga gives: int
saga gives: string
sleep; sleep: until
step: after_pivot; step: best_effort; step: escalate; step: pivot
undo: by inputs; undo: by key; undo: by result; undo: none; undo: of the step
wait: Abort; wait: Escalation; wait: NoneType; wait: where
"""

_RUNS: Final = """
cancel; event; event: twice
ends: Compensated; ends: Completed; ends: Escalated
fault: answer lost; fault: answers; fault: crash after; fault: crash before; fault: crash during
fault: duplicated; fault: late; fault: not sent; fault: rejects; fault: request lost
fault: strange answer
journal: BreakerChanged; journal: EscalationRaised
journal: EventAccepted; journal: Interrupted; journal: ProbeStarted; journal: Queued
journal: Restarted; journal: Waiting; journal: EscalationSettled
settled: cancelled; settled: done of step; settled: done of step below; settled: not done of step
settled: refused; settled: retry of compensate; settled: retry of step
"""

REQUIRED: Final = frozenset(
    name for line in (_LANGUAGE + _RUNS).split("\n") for name in line.split("; ") if name
)
