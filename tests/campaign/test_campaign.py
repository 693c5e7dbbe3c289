"""Orchestrators and services die at random, again and again; then the books are checked.

`make campaign` does the same with 1,000 kills and prints its seed.
"""

from __future__ import annotations

import os
from pathlib import Path

from campaign.campaign import campaign

KILLS = 200 if "SAGA_SLOW" in os.environ else 30


def test_whatever_is_killed_every_saga_ends_and_the_books_balance(tmp_path: Path) -> None:
    told = campaign(tmp_path, seed=7, kills=KILLS)
    assert told.wrong == [], told
    assert told.kills == KILLS
    assert told.ends["completed"] > 3
    assert told.ends["compensated"] > 3


def test_services_that_forget_their_keys_are_found_out(tmp_path: Path) -> None:
    told = campaign(tmp_path, 7, 10, "forgetful")
    assert any("too often" in what for what in told.wrong)
