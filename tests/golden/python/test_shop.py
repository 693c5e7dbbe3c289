# Made by `saga compile` from shop.saga; what follows: sha256 bf74df1ba1d7a740
"""The scenarios of shop.saga, run on fakes in simulated time."""

# isort: skip_file

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from shop import (
    BIG,
    PLACE_ORDER,
    SAMPLE,
    SERVICES,
    BadAddress,
    CardExpired,
    Declined,
    Inventory,
    Money,
    OutOfStock,
    Review,
    Verdict,
)
from sagalang.runtime.saga_testing import ALWAYS, Fakes, SagaText, answers_for, send, undoes, when

FAKES = Fakes(
    SERVICES,
    undoes("Orders.reject", "Orders.create", lambda made: (made["id"],)),
    undoes("Payment.release", "Payment.authorize", lambda made: (made.key,)),
    undoes("Inventory.free", "Inventory.reserve", lambda made: (made.key,)),
    answers_for("Shipping.find", "Shipping.book", lambda made: (made["order"],)),
    texts={"PlaceOrder": SagaText(never_undone=("Notification.receipt",))},
)


def test_stock_runs_out_while_the_card_is_being_authorized() -> None:
    """stock runs out while the card is being authorized"""
    # shop.saga:111
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when(Inventory.reserve("B", 2), "rejects", error=OutOfStock, fields={"sku": "B"}),
    )
    assert (ran.outcome, ran.error) == ("compensated", "OutOfStock")
    assert ran.first("Payment.release") < ran.first("Orders.reject")
    assert ran.calls("Inventory.free") == 1
    assert not ran.left


def test_the_bank_took_the_request_the_answer_never_came() -> None:
    """the bank took the request, the answer never came"""
    # shop.saga:119
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when("Payment.authorize", "times out after effect", times=ALWAYS),
    )
    assert ran.outcome == "compensated"
    assert ran.calls("Payment.release") == 1
    assert not ran.left


def test_the_orchestrator_dies_right_after_the_point_of_no_return() -> None:
    """the orchestrator dies right after the point of no return"""
    # shop.saga:126
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.capture", "crash after"))
    assert ran.outcome == "completed"
    assert ran.effects("Payment.capture") == 1


def test_big_order_reviewer_on_holiday() -> None:
    """big order, reviewer on holiday"""
    # shop.saga:132
    ran = FAKES.run(
        PLACE_ORDER(replace(SAMPLE, total=Money(amount=Decimal("5000"), currency="EUR"))),
    )
    assert (ran.outcome, ran.error) == ("compensated", "ReviewTimedOut")


def test_all_is_well() -> None:
    """all is well"""
    # shop.saga:140
    ran = FAKES.run(PLACE_ORDER(SAMPLE))
    assert ran.outcome == "completed"
    assert ran.first("Payment.authorize") < ran.first("Payment.capture")
    assert ran.calls("Notification.receipt") == 1
    assert ran.took <= timedelta(seconds=1)


def test_the_card_is_declined_and_what_is_reserved_beside_it_is_freed() -> None:
    """the card is declined, and what is reserved beside it is freed"""
    # shop.saga:147
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.authorize", "rejects", error=Declined))
    assert (ran.outcome, ran.error) == ("compensated", "Declined")
    assert ran.calls("Payment.release") == 0
    assert not ran.left


def test_the_card_has_expired() -> None:
    """the card has expired"""
    # shop.saga:154
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.authorize", "rejects", error=CardExpired))
    assert (ran.outcome, ran.error) == ("compensated", "CardExpired")
    assert not ran.left


def test_big_order_approved_after_lunch() -> None:
    """big order, approved after lunch"""
    # shop.saga:160
    ran = FAKES.run(
        PLACE_ORDER(BIG),
        sends=[
            send(Review(verdict=Verdict.Approved, by="eve"), after=timedelta(hours=1, minutes=30)),
        ],
    )
    assert ran.outcome == "completed"
    assert ran.effects("Payment.capture") == 1


def test_big_order_denied() -> None:
    """big order, denied"""
    # shop.saga:166
    ran = FAKES.run(
        PLACE_ORDER(BIG),
        sends=[send(Review(verdict=Verdict.Denied, by="eve"), after=timedelta(minutes=5))],
    )
    assert (ran.outcome, ran.error) == ("compensated", "Refused")
    assert ran.calls("Payment.capture") == 0
    assert not ran.left


def test_the_customer_changes_their_mind_while_the_review_is_open() -> None:
    """the customer changes their mind while the review is open"""
    # shop.saga:173
    ran = FAKES.run(PLACE_ORDER(BIG), cancel_after=timedelta(hours=1))
    assert (ran.outcome, ran.error) == ("compensated", "Cancelled")
    assert not ran.left
    assert ran.took <= timedelta(hours=1)


def test_it_is_too_late_to_cancel_once_the_money_is_taken() -> None:
    """it is too late to cancel once the money is taken"""
    # shop.saga:180
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when("Shipping.book", "unavailable", times=5),
        cancel_after=timedelta(seconds=1),
    )
    assert ran.outcome == "completed"


def test_a_legacy_carrier_loses_an_answer_and_is_asked_before_it_is_called_again() -> None:
    """a legacy carrier loses an answer and is asked before it is called again"""
    # shop.saga:186
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Shipping.book", "times out after effect"))
    assert ran.outcome == "completed"
    assert ran.calls("Shipping.book") == 1
    assert ran.calls("Shipping.find") == 1


def test_the_carrier_does_not_know_the_address_people_have_to_look() -> None:
    """the carrier does not know the address: people have to look"""
    # shop.saga:195
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Shipping.book", "rejects", error=BadAddress))
    assert ran.outcome == "escalated"
    assert "Shipping.book" in ran.owed
    assert ran.effects("Payment.capture") == 1
    assert ran.calls("Orders.confirm") == 0


def test_no_receipt_is_no_reason_to_fail() -> None:
    """no receipt is no reason to fail"""
    # shop.saga:202
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Notification.receipt", "unavailable", times=ALWAYS))
    assert ran.outcome == "completed"
    assert ran.effects("Notification.receipt") == 0


def test_the_bank_is_down_for_an_hour_after_the_point_of_no_return() -> None:
    """the bank is down for an hour after the point of no return"""
    # shop.saga:208
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.capture", "unavailable", times=30))
    assert ran.outcome == "completed"
    assert ran.effects("Payment.capture") == 1
