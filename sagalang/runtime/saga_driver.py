"""The hands of a compiled saga: what `Driver` does, in the terms of compiled sagas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagalang.machine import events as m
from sagalang.machine import keys
from sagalang.model.program import Ms, Policy
from sagalang.runtime import driver
from sagalang.runtime.driver import Child
from sagalang.runtime.engine import BACKWARDS, Engine, Question, Session, StepCall
from sagalang.runtime.saga_calls import Call, SagaCall
from sagalang.runtime.saga_values import exact_context


class Driver(driver.Driver):
    """Carries out what a run decides. `now` is the instant of the event being worked on."""

    def __init__(
        self,
        saga: str,
        engine: Engine,
        session: Session,
        begin_child: Callable[[SagaCall[Any], str], Child],
    ) -> None:
        super().__init__(engine, session)
        self.saga = saga
        self.now: Ms = session.now()
        self.generations: dict[tuple[m.Place, str], int] = {}
        """How often a person asked for a fresh key: by place, and what the key is for."""
        self._begin_child = begin_child
        self.exactly = exact_context().run
        """Runs code of the saga, with exact decimals."""

    def key(self, place: m.Place, purpose: str = keys.STEP) -> str:
        generation = self.generations.get((place, purpose), 0) if self.generations else 0
        return keys.key(self.saga, self._saga_id, place.path, place.loops, purpose, generation)

    def renew(self, place: m.Place, purpose: str = keys.STEP) -> None:
        """A fresh key from now on: the last call under the old one certainly did nothing."""
        self.generations[place, purpose] = self.generations.get((place, purpose), 0) + 1

    def forget(self) -> None:
        super().forget()
        self.generations = {}

    def at(self, now: Ms) -> None:
        self.now = now

    def start_call(
        self,
        place: m.Place,
        purpose: m.Purpose,
        key: str | None,
        call: Call[Any],
        policy: Policy,
        *,
        probe: Call[Any] | None = None,
        deadline: Ms | None = None,
        number: int = 1,
        first_attempt: Ms | None = None,
        unanswered: Ms | None = None,
    ) -> None:
        """Make a call; `CallEnded` follows."""
        step = StepCall(
            place,
            purpose,
            call.contract,
            call.args,
            key,
            call.config(
                policy,
                deadline=deadline,
                resolve=purpose is m.Purpose.RESOLVE,
                patient=purpose in BACKWARDS,
            ),
            call.policy,
            None if probe is None else Question(probe.contract, probe.args, probe.policy),
            number,
        )
        self.make_call(step, first_attempt, unanswered)

    def start_child(self, place: m.Place, call: SagaCall[Any]) -> None:
        """Run a saga under this step's key; `ChildEnded` follows."""
        self.run_child(place, call.definition.name, self._begin_child(call, self.key(place)))
