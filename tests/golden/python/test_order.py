# Made by `saga compile` from order.saga; what follows: sha256 7d4d553d6a56c884
"""The scenarios of order.saga, run on fakes in simulated time."""

# isort: skip_file

from __future__ import annotations

from datetime import timedelta

from order import PLACE_ORDER, SAMPLE, SERVICES, Declined, OutOfStock
from sagalang.runtime.saga_testing import ALWAYS, Fakes, undoes, when

FAKES = Fakes(
    SERVICES,
    undoes("Orders.fail", "Orders.create", lambda made: (made["id"],)),
    undoes("Payment.refund", "Payment.charge", lambda made: (made.key,)),
    undoes("Inventory.release", "Inventory.reserve", lambda made: (made.key,)),
)


def test_no_stock_means_refund_and_a_failed_order() -> None:
    """no stock means refund and a failed order"""
    # order.saga:67
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when("Inventory.reserve", "rejects", error=OutOfStock, fields={"sku": "tea"}),
    )
    assert (ran.outcome, ran.error) == ("compensated", "OutOfStock")
    assert ran.first("Payment.refund") < ran.first("Orders.fail")
    assert not ran.left


def test_a_declined_payment_means_a_failed_order() -> None:
    """a declined payment means a failed order"""
    # order.saga:74
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.charge", "rejects", error=Declined))
    assert (ran.outcome, ran.error) == ("compensated", "Declined")
    assert ran.calls("Payment.refund") == 0
    assert not ran.left


def test_all_is_well() -> None:
    """all is well"""
    # order.saga:81
    ran = FAKES.run(PLACE_ORDER(SAMPLE))
    assert ran.outcome == "completed"
    assert ran.first("Payment.charge") < ran.first("Inventory.reserve")
    assert not ran.left


def test_the_answer_of_the_bank_is_lost_twice_and_the_money_is_taken_once() -> None:
    """the answer of the bank is lost twice, and the money is taken once"""
    # order.saga:87
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.charge", "times out after effect", times=2))
    assert ran.outcome == "completed"
    assert ran.calls("Payment.charge") == 3
    assert ran.effects("Payment.charge") == 1


def test_nobody_knows_whether_the_goods_are_reserved() -> None:
    """nobody knows whether the goods are reserved"""
    # order.saga:94
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when("Inventory.reserve", "times out after effect", times=ALWAYS),
    )
    assert (ran.outcome, ran.error) == ("compensated", "Timeout")
    assert ran.first("Inventory.release") < ran.first("Payment.refund")
    assert not ran.left


def test_a_charge_that_arrives_after_its_refund_is_refused() -> None:
    """a charge that arrives after its refund is refused"""
    # order.saga:101
    ran = FAKES.run(
        PLACE_ORDER(SAMPLE),
        when("Payment.charge", "arrives late", after=timedelta(hours=1)),
        when("Payment.charge", "unavailable", times=3),
    )
    assert ran.outcome == "compensated"
    assert ran.effects("Payment.charge") == 0
    assert not ran.left


def test_the_orchestrator_dies_between_the_money_and_the_goods() -> None:
    """the orchestrator dies between the money and the goods"""
    # order.saga:109
    ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.charge", "crash after"))
    assert ran.outcome == "completed"
    assert ran.effects("Payment.charge") == 1
