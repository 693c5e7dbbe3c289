"""What is said where something is not right: one family of errors, a sentence and advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sagalang
from api.tea import CARD, FILE, Shop, order
from sagalang.runtime.sqlite import open_store


def test_all_errors_are_of_one_family() -> None:
    found = [getattr(sagalang, name) for name in sagalang.__all__]
    errors = [each for each in found if isinstance(each, type) and issubclass(each, Exception)]
    assert len(errors) > 8
    assert all(issubclass(each, sagalang.Error) for each in errors)


def test_a_file_with_errors_is_shown_as_the_checker_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "bad.saga"
    file.write_text('saga A() { id "a" step Nowhere.go() }')
    with pytest.raises(sagalang.InvalidProgram) as raised, sagalang.open(file):
        pass
    assert "bad.saga has an error" in raised.value.message
    assert "error[SG101]: there is no service `Nowhere`" in raised.value.rendered
    assert 'saga A() { id "a" step Nowhere.go() }' in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(sagalang.InvalidProgram, match="there is no such file"):
        sagalang.open(tmp_path / "none.saga").__enter__()


@pytest.mark.parametrize(
    ("saga", "given", "told"),
    [
        ("PlaceOrdr", order(), "there is no saga PlaceOrdr in .*; did you mean `PlaceOrder`"),
        ("PlaceOrder", order(qty="2"), "order.qty: expected an int, got a string"),
        ("PlaceOrder", order(qy=2), "unknown field `qy`; did you mean `qty`"),
        ("PlaceOrder", {"id": "o-1"}, "order.sku: this field is missing"),
        ("PlaceOrder", [order()], "order: expected an object, got a list"),
        ("PlaceOrder", None, "order"),
        ("PlaceOrder", order(id=" "), "an id cannot be empty"),
    ],
)
def test_input_that_does_not_fit_is_refused(
    shop: Shop, db: Path | None, saga: str, given: Any, told: str
) -> None:
    with (
        sagalang.open(FILE, db=db, services=shop.services) as sagas,
        pytest.raises(sagalang.InvalidInput, match=told) as raised,
    ):
        sagas.start(saga, given)
    assert CARD not in str(raised.value)
    assert not shop.calls


def test_a_run_that_is_not_there_is_named(shop: Shop, db: Path | None) -> None:
    with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        for ask in (sagas.get, sagas.cancel, sagas.resume):
            with pytest.raises(sagalang.NoSuchRun, match="there is no run z"):
                ask("z")


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ({"Paymnt": Shop()}, "there is no service Paymnt in .*did you mean `Payment`"),
        ({}, "nothing serves (Payment|Stock|Carrier)"),
        ({"Payment": object(), "Stock": Shop(), "Carrier": Shop()}, "has no function charge"),
    ],
)
def test_services_that_cannot_serve_are_refused_before_anything_is_called(
    services: dict[str, object], told: str
) -> None:
    with pytest.raises(sagalang.NotConnected, match=told):
        sagalang.open(FILE, services=services).__enter__()


def test_variables_that_are_not_set_are_named(tmp_path: Path) -> None:
    file = tmp_path / "web.saga"
    file.write_text(
        'service A { http "http://127.0.0.1:9" header "Authorization" env A_TOKEN\n'
        '  query q() -> string GET "/" }\n'
    )
    with pytest.raises(sagalang.NotConnected, match="A_TOKEN"):
        sagalang.open(file, environ={}).__enter__()
    with sagalang.open(file, environ={"A_TOKEN": CARD}):
        pass


def test_a_journal_of_another_process_is_waited_for_and_then_refused(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagalang.api.opening.PATIENCE", 0.1)
    db = tmp_path / "journal.db"
    with open_store(db, command="saga serve", now=0):
        with pytest.raises(sagalang.StoreError, match="saga serve") as raised:
            sagalang.open(FILE, db=db, services=shop.services).__enter__()
        assert raised.value.advice


def test_a_journal_that_is_none_is_refused(shop: Shop, tmp_path: Path) -> None:
    db = tmp_path / "journal.db"
    db.write_text("a letter")
    with pytest.raises(sagalang.StoreError):
        sagalang.open(FILE, db=db, services=shop.services).__enter__()
    assert db.read_text() == "a letter"
