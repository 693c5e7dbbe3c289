"""Fakes keep exactly the promises of their contracts, with and without faults."""

from __future__ import annotations

from typing import Any

from shop_program import (
    AT,
    AUTH,
    PROGRAM,
    operation,
    param,
    replace,
    saga,
    service,
)

from sagalang.model.program import (
    Block,
    Call,
    Compensation,
    Const,
    Expr,
    Fault,
    KeyOf,
    Member,
    Operation,
    Policy,
    Program,
    Promises,
    Ref,
    ResultOf,
    Step,
)
from sagalang.model.types import KEY, STRING, RecordRef
from sagalang.runtime.fakes import FakeWorld, Kind, Reply
from sagalang.runtime.faults import PlannedFault, plan
from sagalang.runtime.values import Values

VALUES = Values(PROGRAM)
MONEY = VALUES.python_type(RecordRef("Money"))(amount=1, currency="EUR")
IN = ("o-1", MONEY)
AUTHORIZE, RELEASE, BOOK, FIND = (
    "Payment.authorize",
    "Payment.release",
    "Shipping.book",
    "Shipping.find",
)


def world(*faults: PlannedFault, program: Program = PROGRAM) -> FakeWorld:
    return FakeWorld(program, 7, values=VALUES if program is PROGRAM else None, faults=faults)


def fault(kind: str, operation: str = AUTHORIZE, **more: Any) -> PlannedFault:
    return PlannedFault(kind, operation, **more)


def kinds(*replies: Reply) -> list[str]:
    return [reply.kind.value for reply in replies]


def state(made: FakeWorld) -> list[tuple[str, str, int]]:
    return [(e.operation, e.effect, e.calls) for e in made.ledger]


def test_the_same_key_has_the_effect_of_once() -> None:
    made = world()
    first = made.deliver(AUTHORIZE, IN, "k", 0)
    assert first == made.deliver(AUTHORIZE, IN, "k", 5)
    assert first.value == VALUES.python_type(AUTH)(auth="auth-1")
    assert made.deliver(AUTHORIZE, ("o-2", MONEY), "k", 6).kind is Kind.KEY_REUSED
    assert made.deliver(AUTHORIZE, IN, None, 6).kind is Kind.KEY_MISSING
    assert made.deliver(AUTHORIZE, IN, "k2", 7).value.auth == "auth-2"
    assert state(made) == [(AUTHORIZE, "done", 2), (AUTHORIZE, "done", 1)]
    assert made.count(AUTHORIZE) == 5


def test_a_key_is_forgotten_in_time() -> None:
    made = world()
    made.deliver(AUTHORIZE, IN, "k", 0)
    made.deliver(AUTHORIZE, IN, "k", 86_399_999)
    assert made.effects(AUTHORIZE) == 1
    made.deliver(AUTHORIZE, IN, "k", 86_400_000)
    assert made.effects(AUTHORIZE) == 2


def test_without_a_key_every_call_has_an_effect() -> None:
    made = world()
    for _ in range(2):
        made.deliver(BOOK, ("o", "a"), None, 0)
    assert made.effects(BOOK) == 2


def test_a_compensation_by_key_undoes_and_fences() -> None:
    made = world()
    made.deliver(AUTHORIZE, IN, "k", 0)
    made.deliver(AUTHORIZE, IN, "other", 0)
    assert kinds(*(made.deliver(RELEASE, ("k",), "c", 1) for _ in range(2))) == ["answer"] * 2
    assert state(made) == [
        (AUTHORIZE, "undone", 1),
        (AUTHORIZE, "done", 1),
        (RELEASE, "none", 2),
    ]
    assert made.deliver(AUTHORIZE, IN, "k", 2).kind is Kind.FENCED
    assert made.effects(AUTHORIZE) == 1


def test_absent_ok_and_the_late_original() -> None:
    made = world(fault("arrives late", after=100))
    assert made.deliver(AUTHORIZE, IN, "k", 0).kind is Kind.SILENT
    assert made.deliver(RELEASE, ("k",), "c", 50).kind is Kind.ANSWER
    made.settle()
    assert made.effects(AUTHORIZE) == 0
    assert made.count(AUTHORIZE) == 1


def test_without_a_fence_the_late_original_lands() -> None:
    payment = PROGRAM.services["Payment"]
    release = replace(
        payment.operations["release"], promises=Promises(idempotent=True, absent_ok=True)
    )
    open_ = replace(payment, operations={**payment.operations, "release": release})
    program = replace(PROGRAM, services={"Payment": open_})
    made = world(fault("arrives late", after=100), program=program)
    made.deliver(AUTHORIZE, IN, "k", 0)
    made.deliver(RELEASE, ("k",), "c", 50)
    made.settle(99)
    assert made.effects(AUTHORIZE) == 0
    made.settle(100)
    assert made.effects(AUTHORIZE) == 1


def test_compensating_nothing_without_absent_ok() -> None:
    payment = PROGRAM.services["Payment"]
    release = replace(payment.operations["release"], promises=Promises(idempotent=True))
    program = replace(
        PROGRAM,
        services={
            "Payment": replace(payment, operations={**payment.operations, "release": release})
        },
    )
    assert world(program=program).deliver(RELEASE, ("k",), "c", 0).kind is Kind.ABSENT


def test_refusals_are_recorded_under_the_key_where_promised() -> None:
    made = world(fault("rejects", error="OutOfStock"))
    first = made.deliver(AUTHORIZE, IN, "k", 0)
    assert (first.error, first.value.sku) == ("OutOfStock", "sku-1")
    assert made.deliver(AUTHORIZE, IN, "k", 1) == first
    assert made.effects(AUTHORIZE) == 0
    capture = world(fault("rejects", "Payment.capture", error="Declined"))
    assert kinds(*(capture.deliver("Payment.capture", ("a",), "k", 0) for _ in range(2))) == [
        "rejected",
        "answer",
    ]


def test_what_is_stored_is_not_refused_afterwards() -> None:
    made = world(fault("times out after effect"), fault("rejects", error="Declined"))
    assert made.deliver(AUTHORIZE, IN, "k", 0).kind is Kind.SILENT
    assert made.deliver(AUTHORIZE, IN, "k", 1).kind is Kind.ANSWER


def test_faults_count_down_and_choose_by_arguments() -> None:
    made = world(
        fault("unavailable", args=("o-2", MONEY), remaining=None),
        fault("times out before effect", remaining=2),
    )
    replies = [made.deliver(AUTHORIZE, IN, "k", n) for n in range(3)]
    assert kinds(*replies) == ["silent", "silent", "answer"]
    for n in range(3):
        assert made.deliver(AUTHORIZE, ("o-2", MONEY), "k2", n).kind is Kind.UNAVAILABLE
    assert made.effects(AUTHORIZE) == 1


def test_a_duplicate_is_harmless_only_under_a_key() -> None:
    made = world(fault("duplicated"), fault("duplicated", BOOK))
    made.deliver(AUTHORIZE, IN, "k", 0)
    made.deliver(BOOK, ("o", "a"), None, 0)
    assert (made.effects(AUTHORIZE), made.effects(BOOK)) == (1, 2)
    assert made.count(AUTHORIZE) == 2


def test_returns_decides_the_answer_and_keeps_it() -> None:
    answer = VALUES.python_type(AUTH)(auth="mine")
    made = world(fault("returns", value=answer))
    assert [made.deliver(AUTHORIZE, IN, "k", n).value for n in range(2)] == [answer] * 2


def test_a_probe_tells_what_happened() -> None:
    made = world(fault("times out after effect", BOOK))
    assert made.deliver(FIND, ("o", None), None, 0).value is None
    made.deliver(BOOK, ("o", "a"), None, 0)
    assert made.deliver(FIND, ("o", None), None, 0).value.tracking == "tracking-1"
    assert made.deliver(FIND, ("other", None), None, 0).value is None


def step(compensation: Call) -> Step:
    order = Ref("order", STRING, AT)
    return Step(
        path="make",
        name="made",
        call=Call("Shop", "make", (order,), AT),
        type=AUTH,
        policy=Policy(),
        compensation=Compensation(compensation, False, Policy(), None),
        escalate=None,
        best_effort=False,
        pivot=False,
        after_pivot=False,
        doc="",
        span=AT,
    )


def shop(*args: Expr, absent_ok: bool = True) -> Program:
    made: tuple[Operation, ...] = (
        operation("Shop.make", param("order", STRING), result=AUTH),
        operation(
            "Shop.drop",
            *(param(f"p{n}", STRING) for n, _ in enumerate(args)),
            promises=Promises(idempotent=True, absent_ok=absent_ok),
        ),
    )
    body = Block((step(Call("Shop", "drop", args, AT)),))
    made_program: Program = replace(
        PROGRAM,
        services={"Shop": service("Shop", *made)},
        sagas={"S": replace(saga("S"), body=body)},
    )
    return made_program


def test_a_steps_own_compensation_is_recognized_by_inputs_result_and_key() -> None:
    order, other = Ref("order", STRING, AT), Ref("other", STRING, AT)
    result = Member(ResultOf(AUTH, AT), "auth", STRING, AT)
    for args, given in (
        ((order,), ("o-1",)),
        ((result,), ("auth-1",)),
        ((KeyOf("make", KEY, AT),), ("k-1",)),
        ((other, order), ("anything", "o-1")),
    ):
        made = world(program=shop(*args))
        made.deliver("Shop.make", ("o-1",), "k-1", 0)
        made.deliver("Shop.make", ("o-2",), "k-2", 0)
        wrong = (*given[:-1], "wrong")
        made.deliver("Shop.drop", wrong, None, 0)
        assert made.effects("Shop.make") == 2
        made.deliver("Shop.drop", given, None, 0)
        assert [e.key for e in made.left("Shop.make")] == ["k-2"]


def test_the_same_seed_gives_the_same_answers() -> None:
    runs = [
        [world().deliver(AUTHORIZE, IN, "k", 0), world().deliver("Books.note", ("a", 1), None, 0)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    other = FakeWorld(PROGRAM, 8, values=VALUES).deliver("Books.note", ("a", 1), None, 0)
    assert other.value != runs[0][1].value


def test_planned_faults_have_values() -> None:
    text = Const("B", STRING, AT)
    faults = [
        Fault("rejects", AUTHORIZE, None, "OutOfStock", (("sku", text),), span=AT, times=None),
        Fault("crash before", AUTHORIZE, None, span=AT),
    ]
    (planned,) = plan(PROGRAM, VALUES, faults)
    made = world(planned)
    assert made.deliver(AUTHORIZE, IN, "k", 0).value.sku == "B"
    assert planned.remaining is None
