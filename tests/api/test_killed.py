"""A process that is killed amid a run: the next one goes on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import Started

import sagalang
from api.tea import CARD, FILE, Shop, order


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The journal of a process that was killed while `o-1` reserved its tea."""
    db, ledger = tmp_path / "journal.db", tmp_path / "ledger"
    tests = str(Path(__file__).parents[1])
    with Started(
        Path(__file__).with_name("mortal.py"), db, ledger, env={"PYTHONPATH": tests}
    ) as process:
        assert process.stdout.readline() == "reserving\n", process.communicate()
        process.kill()
        process.wait(30)
    assert len(ledger.read_text().split()) == 1
    return db


def test_the_run_goes_on_when_it_is_started_again(shop: Shop, killed: Path) -> None:
    with sagalang.open(FILE, db=killed, services=shop.services) as sagas:
        assert sagas.get("o-1").state == "running"
        assert not shop.calls, "nothing goes on before it is asked for"
        run = sagas.start("PlaceOrder", order())
        assert run.found
        assert run.result().value.card == CARD
    assert shop.calls == {"reserve": 1}, "the charge was on record"


def test_all_that_was_left_is_resumed(shop: Shop, killed: Path) -> None:
    with sagalang.open(FILE, db=killed, services=shop.services) as sagas:
        (run,) = sagas.resume()
        assert (run.id, run.result().outcome) == ("o-1", "completed")
        assert sagas.resume() == []
    assert shop.calls == {"reserve": 1}


def test_what_was_left_is_cancelled_and_undone(shop: Shop, killed: Path) -> None:
    with sagalang.open(FILE, db=killed, services=shop.services) as sagas:
        sagas.cancel("o-1")
        result = sagas.start("PlaceOrder", order()).result()
        assert result.outcome == "compensated"
    assert len(shop.refunded) == 1


def test_no_secret_stands_in_the_journal(killed: Path) -> None:
    for file in killed.parent.glob("journal.db*"):
        assert CARD.encode() not in file.read_bytes()
