"""The picture of a failure path says what the real machine does."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from path_pictures import aborted, agrees, takes_long, undoing
from path_world import Played, play, variants
from pictured import FILES, ORDER, ROOT, SHOP
from verify.chance import random_saga

from sagalang.graph import SagaGraph, lower
from sagalang.model import program as p
from sagalang.model.errors import OWN_REFUSALS
from sagalang.render.atlas import atlas
from sagalang.render.diagram import Fate, FragmentKind, NoteKind, messages
from sagalang.render.paths import Follower, Problem, parse, path_model
from sagalang.render.paths import Path as FailurePath
from sagalang.render.paths.whens import CallFault, When, labels
from sagalang.render.sequence import model
from sagalang.render.text import emit
from sagalang.workspace import load, load_text

SLOW = "SAGA_SLOW" in os.environ
CORPUS = sorted((ROOT / "tests" / "corpus" / "correct").glob("*.saga")) if SLOW else []
SEEDS = 1_500 if SLOW else 25
MANY = 12
"""Of sagas with so many operations only the atlas is compared, without SAGA_SLOW."""
KINDS = (
    "times out before effect",
    "times out after effect",
    "unavailable",
    "arrives late",
    "duplicated",
    "is not sent",
    "answers nonsense",
    "crash before",
    "crash after",
)
COUNT: Counter[str] = Counter()


# --- Against the machine -------------------------------------------------------------------------


def texts_of(graph: SagaGraph) -> Iterator[tuple[str, ...]]:
    """Every path of the atlas, and every kind of fault of every operation, once and for ever."""
    texts = {texts for entry in atlas(graph) for texts in entry.whens}
    others = labels(graph.program, graph.saga)
    for label in others if SLOW or len(others) < MANY else ():
        service, _, name = label.partition(".")
        operation = graph.program.services[service].operations[name]
        for kind in (*KINDS, *(f"rejects {r.error}" for r in operation.rejects)):
            if kind.startswith("crash"):
                texts.add((f"{kind} {label}",))
            else:
                texts |= {(f"{label} {kind}",), (f"{label} {kind}, always",)}
    yield from sorted(texts)


def compare(program: p.Program, saga: p.Saga) -> None:
    graph = lower(program, saga.name)
    follower = Follower(graph)
    tried = variants(program, saga)
    nested = any(isinstance(node.statement, p.ChildStep) for node in graph.nodes)
    for texts in texts_of(graph):
        whens = read(program, saga, *texts)
        COUNT["all"] += 1
        path = follower.follow(whens)
        if isinstance(path, Problem):
            COUNT["cannot happen"] += 1
            continue
        if any(isinstance(w, CallFault) and w.target.operation.startswith("saga ") for w in whens):
            COUNT["only said"] += 1  # a child saga is no service that could be told to fail
            continue
        played = []
        for variant in tried:
            one = play(program, saga, whens, variant)
            if one.asked and one.aborted == aborted(path.diagram):
                played.append(one)
                if agree(path, one, texts, nested):
                    break
        else:
            told = f"{saga.name}: {' and '.join(texts)}"
            assert not played, (
                f"{told}\n said {path.ending.kind} {path.ending.error}\n was {played}"
            )
            COUNT["not reached"] += 1
            continue
        COUNT["compared"] += 1
        COUNT[path.ending.kind] += 1


def agree(path: FailurePath, played: Played, texts: tuple[str, ...], nested: bool) -> bool:
    """The same end, and the same undone in an order that the picture allows."""
    ending, diagram = path.ending, path.diagram
    if played.kind == "long":
        return takes_long(diagram) or (nested and ending.kind in ("endless", "escalated"))
    unsent = any("is not sent" in text for text in texts)  # drawn as a note, not as an arrow
    if played.kind != ending.kind or not (unsent or agrees(undoing(diagram), played.undone)):
        return False
    if ending.kind == "escalated":
        return nested or {one.label for one in ending.open} == played.open
    # That a breaker opens depends on other calls than this one.
    said = ending.error if ending.kind == "compensated" else None
    return played.error == said or played.error in OWN_REFUSALS


def confusing(graph: SagaGraph) -> bool:
    """Whether a probe may find the call of another step: the fakes tell calls apart by their
    input, and two steps of these sagas may give the same."""
    asked = [
        node.label
        for node in graph.nodes
        if isinstance(node.statement, p.Step)
        and graph.program.operation(node.statement.call).probe is not None
    ]
    return len(set(asked)) < len(asked)


def read(program: p.Program, saga: p.Saga, *texts: str) -> tuple[When, ...]:
    found = [parse(program, saga.name, text) for text in texts]
    whens = tuple(when for when in found if not isinstance(when, Problem))
    assert len(whens) == len(texts), found
    return whens


@pytest.mark.parametrize("file", [*FILES, *CORPUS], ids=lambda file: file.stem)
def test_what_a_picture_undoes_is_what_the_machine_undoes(file: Path) -> None:
    program = load(str(file)).program
    for saga in program.sagas.values():
        if saga.id is not None:
            compare(program, saga)


def test_so_it_is_for_random_sagas() -> None:
    checked = 0
    for seed in range(SEEDS):
        loaded = load_text(random_saga(seed))
        if not loaded.has_errors and not confusing(lower(loaded.program, "Main")):
            checked += 1
            compare(loaded.program, loaded.program.sagas["Main"])
    assert checked > SEEDS / 8


def test_enough_paths_were_compared() -> None:
    """Runs after the sagas: were they never reached, the tests above would prove nothing."""
    if not COUNT:
        pytest.skip("needs the runs above")
    possible = COUNT["all"] - COUNT["cannot happen"] - COUNT["only said"]
    assert COUNT["compared"] > 150
    assert COUNT["compared"] > 0.8 * possible, dict(COUNT)
    assert {"completed", "compensated", "escalated"} <= set(COUNT)


# --- What a picture shows ------------------------------------------------------------------------

PROGRAMS = {file: load(str(file)).program for file in (ORDER, SHOP)}


def shown(file: Path, *texts: str) -> str:
    program = PROGRAMS[file]
    saga = program.sagas["PlaceOrder"]
    diagram = path_model(lower(program, saga.name), read(program, saga, *texts))
    assert not isinstance(diagram, Problem), diagram
    return emit(diagram)


def problem(file: Path, *texts: str) -> Problem:
    program = PROGRAMS[file]
    whens = []
    for text in texts:
        found = parse(program, "PlaceOrder", text)
        if isinstance(found, Problem):
            return found
        whens.append(found)
    diagram = path_model(lower(program, "PlaceOrder"), whens)
    assert isinstance(diagram, Problem)
    return diagram


def test_a_rejection_ends_the_picture() -> None:
    text = shown(ORDER, "Inventory.reserve rejects OutOfStock")
    wanted = ("OutOfStock", "refund(key of charge)", "fail(order.id)")
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)
    assert "compensated with OutOfStock" in text
    assert "confirm" not in text
    assert "break" not in text


def test_only_those_who_take_part_are_there() -> None:
    text = shown(ORDER, "Payment.charge rejects Declined")
    assert "Inventory" not in text


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    program = PROGRAMS[ORDER]
    saga = program.sagas["PlaceOrder"]
    whens = read(program, saga, "Payment.charge times out after effect")
    diagram = path_model(lower(program, saga.name), whens)
    assert not isinstance(diagram, Problem)
    lost = [m.text for m in messages(diagram.items) if m.fate is Fate.LOST]
    assert lost == ["ok"]
    text = emit(diagram)
    assert "its key is known" in text
    assert "completed" in text


def test_a_lost_request_is_drawn_once_and_counted() -> None:
    text = shown(ORDER, "Payment.charge times out before effect, always")
    assert text.count("charge(order.id, order.amount)") == 1
    assert "3 retries: none either" in text
    assert "it may have happened" in text
    assert "refund(key of charge)" in text


def test_the_service_is_asked_where_nothing_may_be_repeated_blindly() -> None:
    text = shown(SHOP, "Shipping.book times out before effect")
    assert "did it happen?" in text
    assert "waits until a late call" in text
    assert "completed" in text


def test_a_late_copy_is_refused_after_the_compensation() -> None:
    program = PROGRAMS[ORDER]
    saga = program.sagas["PlaceOrder"]
    whens = read(program, saga, "Payment.charge arrives late, always")
    diagram = path_model(lower(program, saga.name), whens)
    assert not isinstance(diagram, Problem)
    late = [m.text for m in messages(diagram.items) if m.fate is Fate.LATE]
    assert late == ["charge arrives late: is refused"]


def test_a_compensation_that_does_not_get_through_holds_back_what_depends_on_it() -> None:
    text = shown(
        SHOP, "Inventory.reserve rejects OutOfStock", "Payment.release unavailable, always"
    )
    assert "orders-oncall must undo Payment.release" in text
    assert "waiting until then: Orders.reject" in text
    assert "free(key of reserve)" in text
    assert "reject(order.id)" not in text


def test_a_key_that_is_forgotten_ends_the_repeating() -> None:
    text = shown(SHOP, "Payment.capture times out before effect, always")
    assert "retried again and again" in text
    assert "after 1d its key is forgotten" in text
    assert "somebody must settle Payment.capture: Timeout" in text


def test_what_a_service_did_under_a_key_it_does_not_refuse_later() -> None:
    found = problem(
        ORDER, "Payment.charge times out after effect", "Payment.charge rejects Declined"
    )
    assert "`Payment.charge rejects Declined` never happens on this path" in found.message


def test_turns_are_drawn_once() -> None:
    text = shown(SHOP, "Shipping.book times out before effect, always")
    assert text.count("did it happen?") < 5
    assert "the same" in text


def test_the_arm_with_the_fault_is_taken() -> None:
    program = PROGRAMS[SHOP]
    saga = program.sagas["PlaceOrder"]
    diagram = path_model(lower(program, saga.name), read(program, saga, "abort Refused"))
    assert not isinstance(diagram, Problem)
    assert "review.verdict == Verdict.Denied" in emit(diagram)
    kinds = [item.kind for item in diagram.items if hasattr(item, "arms")]
    assert kinds == [FragmentKind.PAR, FragmentKind.OPT]


def test_a_crash_is_a_break_in_time() -> None:
    text = shown(SHOP, "crash after Payment.capture")
    assert "the orchestrator dies" in text
    assert "(its key is known)" in text
    assert "completed" in text


def test_a_path_shows_no_value_even_where_it_is_told_one() -> None:
    text = shown(SHOP, 'Inventory.reserve rejects OutOfStock(sku: "4711")')
    assert "4711" not in text
    assert "OutOfStock" in text


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        (
            "Inventory.reserv rejects OutOfStock",
            "the service `Inventory` has no operation `reserv`",
            "did you mean `reserve`?",
        ),
        ("Inventry.reserve unavailable", "there is no service `Inventry`", "did you mean"),
        (
            "Inventory.reserve rejects Declined",
            "`Inventory.reserve` never rejects with `Declined`",
            "it rejects `OutOfStock`",
        ),
        ("Inventory.reserve sulks", "`sulks` is not a way in which a call can fail", "unavailable"),
        (
            'Inventory.reserve("4711", 2) rejects OutOfStock',
            "a picture is of every call of `Inventory.reserve`",
            "leave out the arguments",
        ),
        ('crash after Inventory.reserve("4711", 2)', "every call of `Inventory.reserve`", "leave"),
        ("no Revew", "`PlaceOrder` does not wait for `Revew`", "did you mean `Review`?"),
        ("abort Refuse", "`PlaceOrder` never aborts with `Refuse`", "did you mean `Refused`?"),
        ("abort Refused #2", "`PlaceOrder` has `abort Refused` only once", "count from 1"),
        ("cancelled after Review", "as soon as `Review` is there", "cancelled before Review"),
        ("cancelled before Orders.create", "`Orders.create` is not waited for", "after"),
        ("deadline after Order.create", "`PlaceOrder` has no step", "`Orders.create`"),
        ("undo of charge unavailable", "nothing undoes `charge`", "compensate"),
        ("Orders.create unavailable, 0 times", "from once to 1,000 times", "always"),
        ("", "does not say what goes wrong", "what can happen"),
        ("Inventory.free unavailable, always", "never happens on this path", "--when"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(text: str, message: str, advice: str) -> None:
    found = problem(SHOP, text)
    assert message in found.message
    assert advice in (found.advice or "")


NESTED = """
error No
event Go
service S {
  command do(x: string)   keyed, records rejections rejects No compensate undo(key)
  command undo(of: key)   idempotent, absent ok, fences late
  command open(x: string) keyed, records rejections compensate undo(key)
}
saga Inner(x: string) {
  step S.open(x)
  step S.do(x)
  wait go: Go within 1h else abort No
}
saga Main(x: string) { id x step S.open(x) step inner = saga Inner(x) sleep 5s }
"""


def nested(*texts: str) -> str:
    program = load_text(NESTED).program
    diagram = path_model(lower(program, "Main"), read(program, program.sagas["Main"], *texts))
    assert not isinstance(diagram, Problem), diagram
    return emit(diagram)


def flat(text: str) -> str:
    return " ".join(re.sub(r"[^\w.,()]+", " ", text).split())


def test_what_strikes_inside_a_child_saga_is_told_at_its_call() -> None:
    refused = flat(nested("S.do rejects No"))
    assert "S.do rejects No, inside saga Inner" in refused
    assert "saga Inner undoes its own" in refused
    died = flat(nested("crash after S.do"))
    assert "crash after S.do, inside saga Inner" in died
    assert "undoes its own" not in died


def test_what_only_a_child_saga_can_meet_is_refused_with_its_name() -> None:
    program = load_text(NESTED).program
    for text in ("no Go", "cancelled after S.do", "abort No"):
        found = parse(program, "Main", text)
        assert isinstance(found, Problem)
        assert found.advice == "saga Inner can: draw that one, `saga render FILE Inner --when …`"


def test_a_fault_of_the_calls_with_certain_arguments_names_the_steps() -> None:
    program = load_text(
        NESTED.replace("sleep 5s", 'step S.open("a") step last = S.open("b") sleep 5s')
    ).program
    found = parse(program, "Main", 'S.open("a") unavailable, always')
    assert isinstance(found, Problem)
    assert found.advice == (
        "leave out the arguments, or name the step that is meant: `S.open#1`, `S.open#2`, `last`"
    )


def test_what_must_be_found_out_about_one_iteration_is_known_of_those_before_it() -> None:
    program = load_text("""
service P {
  command hold(x: string) -> { auth: string } keyed, records rejections compensate void(result.auth)
  command void(auth: string) idempotent, absent ok, fences late
}
saga Main(x: string, xs: list<string>) {
  id x
  for y in xs by y { if y == "a" { step P.hold(y) } step P.hold(y) }
}
""").program
    whens = read(program, program.sagas["Main"], "P.hold#1 times out before effect")
    diagram = path_model(lower(program, "Main"), whens)
    assert not isinstance(diagram, Problem), diagram
    text = emit(diagram)
    assert "compensated with Timeout" in text
    assert text.count("(finding out)") == 1


def test_the_way_on_which_all_goes_well_can_be_asked_for() -> None:
    text = shown(SHOP, "all goes well")
    assert "completed" in text
    assert "compensation" not in text
    found = problem(SHOP, "all goes well", "no Review")
    assert found.message == "`all goes well` only where nothing else happens"


def test_what_strikes_after_the_end_is_refused() -> None:
    found = problem(SHOP, "Orders.create unavailable, always", "abort Refused")
    assert found.message == (
        "`abort Refused` never happens on this path: the saga ends compensated with Unavailable"
        " without it"
    )


def test_without_a_fault_a_path_is_the_way_it_goes_well() -> None:
    program = PROGRAMS[ORDER]
    graph = lower(program, "PlaceOrder")
    path = path_model(graph, [])
    assert not isinstance(path, Problem)
    well = list(messages(path.items))
    whole = [m for m in messages(model(graph).items) if m.kind.value in ("call", "reply")]
    assert well == whole
    assert [n.kind for n in path.items if hasattr(n, "lines")][-1] is NoteKind.OUTCOME
