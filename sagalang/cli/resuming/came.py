"""What became of runs that were gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagalang.machine.events import OpenItem
    from sagalang.runtime.sqlite import StoreError

KINDS = ("completed", "compensated", "escalated", "failed")


@dataclass(frozen=True)
class Ended:
    """`kind`: one of `KINDS`. `error`: of a compensated one. `owed`: of an escalated one.
    `problem`: why a failed one could not go on; it is as it was."""

    run_id: str
    saga: str
    kind: str
    error: str = ""
    owed: tuple[OpenItem, ...] = ()
    problem: str = ""
    advice: str | None = None


@dataclass
class Came:
    """`left`: the runs that were left under way. `stopped`: the signal that ended it all.
    `broken`: why nothing could be written any more."""

    ended: dict[str, Ended] = field(default_factory=dict)
    left: int = 0
    stopped: int = 0
    broken: StoreError | None = None

    def of(self, kind: str) -> list[Ended]:
        return [each for each in self.ended.values() if each.kind == kind]

    @property
    def status(self) -> int:
        if self.stopped:
            return 128 + self.stopped
        if self.broken is not None:
            return 2
        return 0 if all(each.kind == "completed" for each in self.ended.values()) else 1
