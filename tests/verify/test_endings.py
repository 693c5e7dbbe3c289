"""Whatever comes when, a call comes to something: else its saga would wait for it for ever.

The machine sees to that in a run (tests/interpret); here the explorer must not lose it. Time is not
counted, so that a timer may fire, and the orchestrator die, before a call has done anything at all:
an orchestrator may be down for as long.
"""

from __future__ import annotations

from typing import Final

import pytest

from sagalang.verify.explore import ENDLESS, STUCK, Exploration, explore
from sagalang.verify.model import Model
from sagalang.verify.world import Options
from sagalang.workspace import load_text

from .sagas import CONTRACTS, ONCE, SHAPES, STEP, contract, saga

FOREVER: Final = "timeout 1s retry forever backoff 1s * 2 up to 1m jitter full"

BY_RESULT: Final = saga(STEP, CONTRACTS["by result"], policy=ONCE, back=FOREVER).replace(
    "compensate with back", 'compensate with back else escalate "desk"'
)
"""To learn the result it is asked under its key; with the key forgotten that ends at once."""

UNREPEATABLE: Final = saga(STEP, contract("compensate undo(a)"))
"""After a crash it is unknown, at once."""


def explored(text: str, options: Options) -> Exploration:
    loaded = load_text(text)
    assert not [d.message for d in loaded.diagnostics if d.is_error]
    found = explore(Model(loaded.program, "Main", options=options))
    assert found.complete
    return found


@pytest.mark.parametrize(
    ("text", "crashes"), [(BY_RESULT, 1), (UNREPEATABLE, 2)], ids=["by result", "unrepeatable"]
)
@pytest.mark.parametrize("reduced", [True, False])
def test_a_call_that_ends_at_once_is_interrupted_and_then_the_orchestrator_dies(
    text: str, crashes: int, reduced: bool
) -> None:
    found = explored(text, Options(crashes=crashes, inert=reduced, normal=reduced))
    assert not found.breaches
    assert set(found.outcomes) >= {"completed", "compensated", "escalated"}


@pytest.mark.parametrize("name", [*CONTRACTS, *SHAPES])
def test_no_contract_and_no_shape_leaves_a_saga_waiting_after_two_crashes(name: str) -> None:
    text = SHAPES.get(name) or saga(STEP, CONTRACTS[name], policy=ONCE, back=FOREVER)
    found = explore(Model(load_text(text).program, "Main", options=Options(crashes=2)))
    assert found.complete
    assert not {STUCK, ENDLESS} & set(found.breaches)
