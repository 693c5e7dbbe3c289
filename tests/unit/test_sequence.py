"""From a saga to the neutral sequence model."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import pytest
from pictured import CONSTRUCTS, ORDER, SHOP, graph_in, graph_of

from sagalang.graph import lower
from sagalang.render import render
from sagalang.render.diagram import (
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    messages,
    printable,
)
from sagalang.render.mermaid import emit
from sagalang.render.sequence import model
from sagalang.workspace import load, load_text

SERVICE = """
error No, Never
event Go
policy quick { timeout 2s retry 4 times backoff 200ms * 2 up to 1s jitter full }
service S {
  command do(x: string) -> { y: string }
    keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key)      idempotent, absent ok, fences late
  command last(x: string)    idempotent
  command pay(x: string, card: secret string) keyed compensate undo(key)
}
"""


def drawn(body: str, rest: str = "", head: str = "") -> SequenceDiagram:
    saga = f"saga Main(x: string, xs: list<string>, card: secret string) {{ id x {head} {body} }}"
    return model(graph_of(f"{SERVICE} {rest} {saga}"))


def walk(items: tuple[Item, ...]) -> Iterator[Item]:
    for item in items:
        yield item
        if isinstance(item, Phase):
            yield from walk(item.items)
        if isinstance(item, Fragment):
            for arm in item.arms:
                yield from walk(arm.items)


def fragments(diagram: SequenceDiagram, kind: FragmentKind) -> list[Fragment]:
    found = (item for item in walk(diagram.items) if isinstance(item, Fragment))
    return [fragment for fragment in found if fragment.kind is kind]


def notes(diagram: SequenceDiagram, kind: NoteKind) -> list[tuple[str, ...]]:
    found = (item for item in walk(diagram.items) if isinstance(item, Note))
    return [note.lines for note in found if note.kind is kind]


def arrows(diagram: SequenceDiagram, items: tuple[Item, ...] | None = None) -> list[str]:
    names = [participant.name for participant in diagram.participants]
    return [
        f"{names[m.source]} > {names[m.target]} {m.kind.value} {m.text}"
        for m in messages(diagram.items if items is None else items)
    ]


# --- The examples ------------------------------------------------------------------------------


def test_the_order_saga_in_full() -> None:
    diagram = model(graph_in(ORDER))
    assert arrows(diagram) == [
        "PlaceOrder > Orders call create(order.id, order.sku, order.qty, order.amount)",
        "Orders > PlaceOrder reply ok",
        "PlaceOrder > Payment call charge(order.id, order.amount)",
        "Payment > PlaceOrder rejection Declined",
        "PlaceOrder > Orders compensation fail(order.id)",
        "Payment > PlaceOrder reply ok",
        "PlaceOrder > Inventory call reserve(order.id, order.sku, order.qty)",
        "Inventory > PlaceOrder rejection OutOfStock",
        "PlaceOrder > Payment compensation refund(key of charge)",
        "PlaceOrder > Orders compensation fail(order.id)",
        "Inventory > PlaceOrder reply ok",
        "PlaceOrder > Orders call confirm(order.id)",
        "Orders > PlaceOrder reply ok",
    ]
    assert notes(diagram, NoteKind.POLICY) == [("each call with up to 3 retries, timeout 2s",)]
    assert notes(diagram, NoteKind.PIVOT) == [("point of no return",)]
    assert notes(diagram, NoteKind.OUTCOME) == [
        ("compensated with Declined",),
        ("compensated with OutOfStock",),
        ("completed",),
    ]
    assert "it may have happened" in " ".join(notes(diagram, NoteKind.INFO)[0])


def test_what_the_shop_undoes_when_stock_runs_out() -> None:
    diagram = model(graph_in(SHOP))
    found = fragments(diagram, FragmentKind.BREAK)
    (broken,) = [f for f in found if f.arms[0].label.startswith("OutOfStock,")]
    refusal, phase, outcome = broken.arms[0].items
    assert isinstance(refusal, Message)
    assert isinstance(phase, Phase)
    assert arrows(diagram, phase.items) == [
        "PlaceOrder > Payment compensation release(key of authorize)",
        "PlaceOrder > Inventory compensation free(key of reserve)",
        "PlaceOrder > Orders compensation reject(order.id)",
    ]
    together = phase.items[0]
    assert isinstance(together, Fragment)
    assert together.kind is FragmentKind.PAR
    assert [arm.label for arm in together.arms] == ["as far as begun", ""]
    assert outcome == Note(("compensated with OutOfStock",), NoteKind.OUTCOME)


def test_participants_in_order_of_first_use() -> None:
    diagram = model(graph_in(SHOP))
    kinds = [(participant.name, participant.kind) for participant in diagram.participants]
    service = ParticipantKind.SERVICE
    assert kinds == [
        ("PlaceOrder", ParticipantKind.ORCHESTRATOR),
        ("Orders", service),
        ("Payment", service),
        ("Inventory", service),
        ("Review", ParticipantKind.ACTOR),
        ("Shipping", service),
        ("Notification", service),
    ]


def test_spans_lead_back_to_the_source() -> None:
    program = load(str(ORDER)).program
    diagram = model(lower(program, "PlaceOrder"))
    (source,) = program.sources.values()
    texts = {m.path: source.slice(m.span) for m in messages(diagram.items) if m.span}
    assert texts["Orders.confirm"] == "pivot step Orders.confirm(order.id)"


# --- Constructs --------------------------------------------------------------------------------


def test_every_construct_has_its_fragment() -> None:
    diagram = model(graph_in(CONSTRUCTS, "BookTrip"))
    assert {f.kind for f in walk(diagram.items) if isinstance(f, Fragment)} == set(FragmentKind)
    assert {m.kind for m in messages(diagram.items)} == set(MessageKind)
    assert {p.kind for p in diagram.participants} == set(ParticipantKind)


def test_breaks_of_a_parallel_part_follow_it_as_a_whole() -> None:
    diagram = drawn("parallel { step _a = S.do(x) if x == x { abort Never } }")
    kinds = [item.kind for item in diagram.items if isinstance(item, Fragment)]
    assert kinds == [FragmentKind.PAR, FragmentKind.BREAK, FragmentKind.BREAK]
    assert len(fragments(diagram, FragmentKind.BREAK)) == 2
    assert ("abort Never",) in notes(diagram, NoteKind.INFO)


def test_an_abort_that_is_handled_breaks_nothing() -> None:
    diagram = drawn("attempt { step a = S.do(x) abort Never } on Never, No { step S.pay(x, card) }")
    assert fragments(diagram, FragmentKind.BREAK) == []
    (critical,) = fragments(diagram, FragmentKind.CRITICAL)
    assert [arm.label for arm in critical.arms] == ["attempt", "Never or No"]
    assert arrows(diagram, critical.arms[1].items)[0] == "Main > S compensation undo(key of do)"


def labels_in(fragment: Fragment) -> list[str]:
    """The labels of all fragments in this one."""
    inside = (item for item in walk(fragment.arms[0].items) if isinstance(item, Fragment))
    return [arm.label for inner in inside for arm in inner.arms]


def phases_of(items: tuple[Item, ...]) -> list[Phase]:
    return [item for item in walk(items) if isinstance(item, Phase)]


def test_errors_of_one_handler_after_which_something_else_is_undone_are_told_apart() -> None:
    diagram = drawn("attempt { step S.do(x) } on No, Timeout { step S.pay(x, card) }")
    (critical,) = fragments(diagram, FragmentKind.CRITICAL)
    assert [arm.label for arm in critical.arms] == ["attempt", "No or Timeout"]
    differs, *handler = critical.arms[1].items
    assert isinstance(differs, Fragment)
    assert [arm.label for arm in differs.arms] == ["Timeout"]
    assert arrows(diagram, differs.arms[0].items) == ["Main > S compensation undo(key of do)"]
    assert phases_of(tuple(handler)) == []
    # Where the same is undone, there is nothing to tell apart.
    alike = drawn("attempt { step S.do(x) step S.last(x) } on Timeout, Unavailable { sleep 1s }")
    (critical,) = fragments(alike, FragmentKind.CRITICAL)
    assert isinstance(critical.arms[1].items[0], Phase)


def test_one_error_from_two_places_is_told_apart_by_the_place() -> None:
    diagram = drawn("attempt { step a = S.do(x) step S.do(x) } on No { sleep 1s }")
    (critical,) = fragments(diagram, FragmentKind.CRITICAL)
    differs = critical.arms[1].items[0]
    assert isinstance(differs, Fragment)
    assert [arm.label for arm in differs.arms] == ["No from S.do"]
    assert len(list(messages(differs.arms[0].items))) == 1


@pytest.mark.parametrize(
    ("head", "said", "complete"),
    [
        ("for y in xs", "each y before it, last first", "each y, last first"),
        ("for y in xs by y, 2 at once", "each other y begun, 2 at once", "each y, 2 at once"),
    ],
)
def test_an_iteration_that_is_refused_is_not_undone_itself(
    head: str, said: str, complete: str
) -> None:
    diagram = drawn(f"{head} {{ step S.do(y) }} step S.do(x)")
    own, later = fragments(diagram, FragmentKind.BREAK)
    assert labels_in(own) == [said]
    assert labels_in(later) == [complete]  # then every iteration is undone


def test_what_the_refused_iteration_did_before_is_undone_first() -> None:
    diagram = drawn("for y in xs { step S.pay(y, card) step S.do(y) }")
    (broken,) = fragments(diagram, FragmentKind.BREAK)
    (phase,) = phases_of(broken.arms[0].items)
    first, loop = phase.items
    assert isinstance(first, Message)
    assert first.text == "undo(key of pay)"
    assert isinstance(loop, Fragment)
    assert loop.arms[0].label == "each y before it, last first"
    texts = [message.text for message in messages(loop.arms[0].items)]
    assert texts == ["undo(key of do)", "undo(key of pay)"]


def test_an_abort_in_a_loop_undoes_what_the_iteration_did() -> None:
    diagram = drawn('for y in xs { if y == "" { step S.do(y) abort Never } }')
    never = [f for f in fragments(diagram, FragmentKind.BREAK) if f.arms[0].label == "Never"]
    (broken,) = never
    assert arrows(diagram, broken.arms[0].items) == ["Main > S compensation undo(key of do)"]


def test_a_loop_beside_a_failure_may_not_have_come_to_its_end() -> None:
    diagram = drawn("parallel { for y in xs { step S.pay(y, card) } step S.do(x) }")
    (broken,) = fragments(diagram, FragmentKind.BREAK)
    assert labels_in(broken) == ["each y begun, last first"]


def test_the_ways_of_an_attempt_say_whose_steps_they_undo() -> None:
    diagram = drawn("attempt { step S.do(x) } on Timeout { step S.do(x) } abort Never")
    (broken,) = fragments(diagram, FragmentKind.BREAK)[-1:]
    assert labels_in(broken) == [
        "what the attempt did, if it went well",
        "what was done instead, after Timeout",
    ]


def test_a_condition_that_aborts_is_the_break_itself() -> None:
    (broken,) = fragments(drawn('if x == "no" { abort Never }'), FragmentKind.BREAK)
    assert broken.arms[0].label == 'x == "no"'
    assert broken.arms[0].items == (
        Note(("nothing to undo, compensated with Never",), NoteKind.OUTCOME),
    )


def test_a_default_policy_is_not_mentioned() -> None:
    assert notes(drawn("step S.pay(x, card)"), NoteKind.POLICY) == []


def test_a_policy_that_differs_is_mentioned_at_its_call() -> None:
    diagram = drawn(
        "step S.pay(x, card) step S.pay(x, card) step S.pay(x, card) with quick"
        ' pivot step S.last(x) with quick else escalate "ops" step S.last(x)'
    )
    assert notes(diagram, NoteKind.POLICY) == [
        ("up to 4 retries, timeout 2s",),
        ("if that fails, ops takes over",),
        ("retry forever, timeout 10s",),
    ]
    assert notes(diagram, NoteKind.PIVOT) == [
        ("point of no return", "from here on up to 4 retries, timeout 2s")
    ]


def test_a_step_that_nobody_waits_for_is_never_a_failure() -> None:
    diagram = drawn("step S.do(x) best effort pivot step S.last(x)")
    assert fragments(diagram, FragmentKind.BREAK) == []


def test_a_value_without_a_name_is_not_shown_as_one() -> None:
    text = 'step S.pay("inn instead of ${x}", card) step S.pay("4711", "${card}!")'
    calls = [line.rpartition(" call ")[2] for line in arrows(drawn(text)) if " call " in line]
    assert calls == ['pay("…", card)', 'pay("…", "…")']


def test_no_value_is_shown_only_names() -> None:
    diagram = drawn('step S.pay("4711", card) step S.pay("${x} 4711", card)')
    text = emit(diagram)
    assert "4711" not in text
    assert "pay(#34;#8230;#34;, card)" in text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("not (d == d)", "not d == d"),
        ("d and (d or d)", None),
        ("(d or d) and d", None),
        ("(not d) and d", "not d and d"),
        ("(not d) == d", None),
        ("a - (b - c) > a - b - c", None),
        ("-(a + b) * c == 0", None),
        ("len(xs) > 3", None),
        ("xs[0] == 1", None),
        ("late > 1h30m", None),
        ("e == E.One", None),
        ("sum([i * 2 for i in xs if i > 2]) > 1", None),
        ("maybe != null", None),
        ("maybe ?? x == x", None),
        ("maybe ?? (maybe ?? x) == x", "maybe ?? maybe ?? x == x"),
        ("(d == d) == d", None),
        ("(if d then a else b) > c", None),
        ('x == "yes"', None),
        ('x == "${x} 4711"', "x == …"),
        ('card == "0815"', "card == …"),
        ('x == "' + "y" * 99 + '"', 'x == "' + "y" * 53 + "…"),
    ],
)
def test_conditions_as_they_are_written(written: str, shown: str | None) -> None:
    params = (
        "x: string, a: int, b: int, c: int, d: bool, e: E, xs: list<int>, late: duration,"
        " maybe: string?, card: secret string"
    )
    text = f"error Never enum E {{ One, Two }} saga Main({params}) {{ id x"
    loaded = load_text(f"{text} if {written} {{ abort Never }} }}")
    assert [d.message for d in loaded.diagnostics if d.is_error and d.code < "SG206"] == []
    diagram = model(lower(loaded.program, "Main"))
    (fragment,) = fragments(diagram, FragmentKind.BREAK)
    assert fragment.arms[0].label == (shown or written)


def test_a_long_saga_does_not_draw_everything_again_for_each_failure() -> None:
    begun = perf_counter()
    body = " ".join(f"step s{i} = S.do(x)" for i in range(200))
    names = ", ".join(f"s{i}.y" for i in range(200))
    diagram = drawn(f"{body} let all = [{names}] if len(all) > 3 {{ abort Never }}")
    text = emit(diagram)
    assert perf_counter() - begun < 10, "a second on a quiet machine"
    assert len(text) < 50_000, "Mermaid refuses longer texts"
    assert "compensations, from S.undo" in text


def test_a_model_drawn_twice_is_the_same() -> None:
    assert emit(model(graph_in(SHOP))) == emit(model(graph_in(SHOP)))
    assert model(graph_in(SHOP)) == model(graph_in(SHOP))


def test_render_names_what_it_cannot_do() -> None:
    program = load(str(CONSTRUCTS)).program
    with pytest.raises(ValueError, match="no such format: smoke"):
        render(program, "BookTrip", "smoke")
    with pytest.raises(KeyError):
        render(program, "Nothing")


# --- Texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c\x00", "a b c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\u2066x\u2069\ufeff", "x"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("שלום", "שלום"),
        ("\ud800x", "x"),
    ],
)
def test_nothing_invisible_is_printed(text: str, shown: str) -> None:
    assert printable(text) == shown
