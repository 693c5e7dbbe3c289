"""The saga as a graph, what is undone when, and the check `retry-exceeds-deadline`."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import networkx as nx
import pytest

from sagalang import graph as g
from sagalang.graph.deadline import worst_case
from sagalang.graph.durations import duration, seconds
from sagalang.graph.undoing import NOTHING, calls_of
from sagalang.interpret.run import run
from sagalang.machine.events import Compensated, Purpose
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.values import Values
from sagalang.workspace import load, load_text

EXAMPLES = Path(__file__).parents[2] / "examples"
CONSTRUCTS = Path(__file__).parents[1] / "golden" / "mermaid" / "constructs.saga"
SERVICE = """
error No, Never
event Go
service S {
  with quick
  command do(x: string) -> { y: string }
    keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key)      idempotent, absent ok, fences late
  command last(x: string)    idempotent
  command slow(x: string)    keyed compensate undo(key) with quick
}
"""
QUICK = "policy quick { timeout 2s retry 4 times backoff 200ms * 2 up to 1s jitter full }"
CALL = 12_400
"""5 attempts of 2 s, and 200 + 400 + 800 + 1000 ms of back-off."""


def lowered(body: str, head: str = "", policy: str = QUICK, rest: str = "") -> g.SagaGraph:
    text = f"{policy}\n{SERVICE}\n{rest}\nsaga Main(x: string, xs: list<string>) {{\n"
    loaded = load_text(f"{text} id x {head}\n{body}\n}}")
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics]
    return g.lower(loaded.program, "Main")


def example(name: str) -> g.SagaGraph:
    return g.lower(load(str(EXAMPLES / name / f"{name}.saga")).program, "PlaceOrder")


# --- The graph ---------------------------------------------------------------------------------


def test_nodes_and_participants_of_the_order_example() -> None:
    graph = example("order")
    assert [(n.path, n.kind, n.pivot, n.undone_by) for n in graph.nodes] == [
        ("Orders.create", g.Kind.COMMAND, False, "Orders.fail"),
        ("Payment.charge", g.Kind.COMMAND, False, "Payment.refund"),
        ("Inventory.reserve", g.Kind.COMMAND, False, "Inventory.release"),
        ("Orders.confirm", g.Kind.COMMAND, True, None),
    ]
    assert [who.name for who in graph.participants] == ["Orders", "Payment", "Inventory"]


def test_parallel_relaxes_the_order_and_a_loop_knows_its_place() -> None:
    graph = example("shop")
    before = graph.happens_before
    assert set(before.successors("Orders.create")) == {"pay", "hold"}
    assert not nx.has_path(before, "pay", "hold")
    assert not nx.has_path(before, "hold", "pay")
    assert set(before.predecessors("charge")) == {"pay", "hold", "review"}
    assert next(n for n in graph.nodes if n.path == "hold").loops == ("for line",)
    assert set(graph.compensations.edges) == {("pay", "Orders.create"), ("hold", "Orders.create")}
    assert [w.role for w in graph.participants if w.name == "Review"] == [g.Role.EVENT]


def test_what_ends_the_saga_leads_to_nothing_and_a_handler_follows_its_body() -> None:
    graph = lowered(
        """
        attempt { step a = S.do(x) step b = S.do(a.y) abort Never } on Never { step c = S.do(x) }
        if x == "1" { step d = S.do(x) abort Never }
        for i in xs { step e = S.do(i) }
        step f = S.do(x)
        """
    )
    edges = set(graph.happens_before.edges)
    assert edges == {("a", "b"), ("b", "c"), ("c", "d"), ("c", "e"), ("e", "f"), ("c", "f")}


def test_graphs_are_made_once_and_cannot_be_changed() -> None:
    graph = example("order")
    assert graph.happens_before is graph.happens_before
    with pytest.raises(nx.NetworkXError):
        graph.happens_before.add_node("x")


def test_text_order_is_one_of_the_allowed_orders() -> None:
    graph = g.lower(load(str(CONSTRUCTS)).program, "BookTrip")
    at = {node.path: index for index, node in enumerate(graph.nodes)}
    assert all(at[a] < at[b] for a, b in graph.happens_before.edges)
    assert all(at[a] > at[b] for a, b in graph.compensations.edges)


def test_an_unknown_saga_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        g.lower(example("order").program, "Nothing")


def test_networkx_is_not_imported_by_the_check() -> None:
    code = (
        "import sys; from sagalang.workspace import load; from sagalang import graph as g;"
        f"l = load({str(EXAMPLES / 'order' / 'order.saga')!r});"
        "g.deadline_findings(g.lower(l.program, 'PlaceOrder'));"
        "sys.exit('networkx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- What is undone ----------------------------------------------------------------------------


def undone(failure: g.Failure) -> list[str]:
    steps = [call.step for call in calls_of(failure.undo)]
    return [step.path for step in steps]


def test_a_rejected_step_is_not_undone_itself_and_the_others_backwards() -> None:
    graph = lowered("step a = S.do(x) step b = S.do(a.y) step c = S.do(b.y) pivot step S.last(c.y)")
    found = g.failures(graph.program, graph.saga.body)
    assert [(f.errors, undone(f)) for f in found] == [
        (("No",), []),
        (("No",), ["a"]),
        (("No",), ["b", "a"]),
    ]
    assert found[0].undo == NOTHING


def test_beside_a_failing_branch_the_others_are_undone_as_far_as_they_came() -> None:
    graph = lowered(
        """
        step z = S.do(x)
        parallel {
          branch { step a = S.do(z.y) step b = S.do(a.y) }
          for i in xs, 2 at once { step c = S.do(i) }
        }
        """
    )
    _, first, second, third = g.failures(graph.program, graph.saga.body)
    assert undone(first) == ["c", "z"]
    assert undone(second) == ["a", "c", "z"]
    assert undone(third) == ["b", "a", "c", "z"]
    plan = third.undo
    assert isinstance(plan, g.UndoSequence)
    together = plan.items[0]
    assert isinstance(together, g.UndoTogether)
    assert together.partly
    assert isinstance(together.items[1], g.UndoEach)


def test_a_handled_failure_leaves_the_attempt_in_peace() -> None:
    graph = lowered(
        """
        attempt { step a = S.do(x) step b = S.do(a.y) } on No { step c = S.slow(x) }
        abort Never
        """
    )
    (failure,) = g.failures(graph.program, graph.saga.body)
    assert failure.errors == ("Never",)
    case = failure.undo
    assert isinstance(case, g.UndoCase)
    assert [[c.step.path for c in calls_of(arm)] for arm in case.arms] == [["b", "a"], ["c"]]


def test_an_arm_that_aborts_is_none_that_is_undone_later() -> None:
    graph = lowered('if x == "1" { step a = S.slow(x) abort Never } abort Never')
    first, second = g.failures(graph.program, graph.saga.body)
    assert undone(first) == ["a"]
    assert undone(second) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("order", "Declined"),
        ("order", "OutOfStock"),
        ("shop", "Declined"),
        ("shop", "OutOfStock"),
    ],
)
def test_the_machine_undoes_what_the_plan_says_in_an_order_the_graph_allows(
    name: str, error: str
) -> None:
    graph = example(name)
    failure = next(f for f in g.failures(graph.program, graph.saga.body) if error in f.errors)
    assert isinstance(failure.at, p.Step)
    done = compensations_run(graph, failure.at.call.label, error)
    if name == "order":
        assert done == undone(failure)
    # In the shop no other line need have been reserved beside the one that is out of stock.
    assert set(done) <= set(undone(failure))
    assert set(undone(failure)) - set(done) <= set(graph_loops(graph))
    for later, earlier in graph.compensations.edges:
        if later in done and earlier in done:
            last = len(done) - 1 - done[::-1].index(later)
            assert last < done.index(earlier)


def graph_loops(graph: g.SagaGraph) -> list[str]:
    return [node.path for node in graph.nodes if node.loops]


def compensations_run(graph: g.SagaGraph, label: str, error: str) -> list[str]:
    """The steps that the interpreter undoes when `label` is rejected, in its order."""
    program = graph.program
    values = Values(program)
    fault = PlannedFault("rejects", label, error=error)
    sample = program.constants["sample"].value

    async def main(clock: SimulatedClock) -> list[str]:
        world = FakeWorld(program, values=values, faults=[fault])
        from sagalang.interpret.run import build
        from sagalang.machine.evaluate import Scope, evaluate

        order = evaluate(sample, Scope(names={}, build=build(values), constants=program.constants))
        engine = MemoryEngine(clock, FakeTransport(world, clock, 10), lambda: 0.5)
        result = await run(program, graph.saga.name, {"order": order}, engine=engine, values=values)
        assert isinstance(result.outcome, Compensated)
        assert result.outcome.error.name == error
        return [
            entry.place.path
            for entry in result.journal
            if isinstance(entry, journal.Intent) and entry.purpose is Purpose.COMPENSATE
        ]

    return simulated(main)


# --- The worst case of a call ------------------------------------------------------------------


def policy(**changes: object) -> p.Policy:
    retry = {"retries": 4, "backoff": 200, "factor": Decimal(2), "cap": 1_000}
    own = {key: changes.pop(key) for key in tuple(changes) if key in (*retry, "jitter", "percent")}
    made = p.Retry(**{**retry, **own})  # type: ignore[arg-type]
    return p.Policy(timeout=2_000, retry=made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "time"),
    [
        (p.Policy(), 10_000),
        (p.Policy(timeout=3_000), 3_000),
        (policy(), 5 * 2_000 + 200 + 400 + 800 + 1_000),
        (policy(cap=None), 5 * 2_000 + 200 + 400 + 800 + 1_600),
        (policy(factor=Decimal(1), retries=1_000), 1_001 * 2_000 + 1_000 * 200),
        (policy(retries=1_000_000_000), 1_000_000_001 * 2_000 + 1_400 + 999_999_997 * 1_000),
        (policy(total=11_000), 11_000),
        (policy(total=60_000), CALL),
        (policy(bulkhead=p.Bulkhead(4, 8, 500)), CALL + 5 * 500),
        (policy(bulkhead=p.Bulkhead(4, 8, None)), CALL),
        (policy(jitter=p.Jitter.PROPORTIONAL, percent=50), 5 * 2_000 + 300 + 600 + 1_200 + 1_500),
        (policy(jitter=p.Jitter.DECORRELATED), 5 * 2_000 + 600 + 1_000 + 1_000 + 1_000),
        (policy(retries=None, total=30_000), 30_000),
    ],
)
def test_the_longest_a_call_may_take(made: p.Policy, time: int) -> None:
    found = worst_case(made)
    assert found is not None
    assert found.time == time


def test_retrying_for_ever_has_no_longest() -> None:
    assert worst_case(policy(retries=None)) is None


def test_durations_as_people_read_them() -> None:
    assert [duration(t) for t in (0, 5, 2_000, 90_000, 5_400_000, 86_400_000, 1_001)] == [
        "0s", "5ms", "2s", "1m30s", "1h30m", "1d", "1s1ms",
    ]  # fmt: skip
    assert [seconds(t) for t in (0, 12_400, 60_000, 1, 100_000)] == [
        "0s", "12.4s", "60s", "0.001s", "100s",
    ]  # fmt: skip


# --- The deadline ------------------------------------------------------------------------------


def finding(body: str, deadline: str, **parts: str) -> str | None:
    found = g.deadline_findings(lowered(body, f"deadline {deadline}", **parts))
    assert len(found) <= 1
    return found[0].message if found else None


@pytest.mark.parametrize(
    ("body", "time"),
    [
        ("step a = S.do(x) step b = S.do(a.y)", 2 * CALL),
        ("parallel { step S.slow(x) branch { step a = S.do(x) step S.slow(a.y) } }", 2 * CALL),
        ('if x == "1" { step S.slow(x) } else { step a = S.do(x) step S.slow(a.y) }', 2 * CALL),
        ('if x == "1" { step S.slow(x) step S.slow(x) abort Never } step S.slow(x)', 2 * CALL),
        ("for i in xs { step S.slow(i) }", CALL),
        ("for i in xs, 9 at once { step S.slow(i) step S.slow(i) }", 2 * CALL),
        ("attempt { step a = S.do(x) step S.do(a.y) } on No { step S.slow(x) }", 3 * CALL),
        ("step S.slow(x) pivot step S.last(x) step S.last(x)", CALL),
        ('if x == "1" { pivot step S.last(x) } else { step S.slow(x) }', CALL),
        ("step S.last(x) best effort", CALL),
        ("step a = S.do(x) wait _go: Go within 4h else null step S.slow(a.y)", 2 * CALL),
    ],
)
def test_the_longest_path_up_to_the_pivot(body: str, time: int) -> None:
    assert finding(body, f"{time}ms") is None
    message = finding(body, f"{time - 1}ms")
    assert message is not None
    assert seconds(time) in message
    assert seconds(time - 1) in message


def test_a_child_counts_with_its_own_calls_and_at_most_its_deadline() -> None:
    child = "saga Child(x: string) { step S.slow(x) step S.slow(x) }"
    body = "step c = saga Child(x) step S.slow(x)".replace("c = ", "")
    assert finding(body, f"{3 * CALL - 1}ms", rest=child) is not None
    assert finding(body, f"{3 * CALL}ms", rest=child) is None
    short = child.replace("{ step", "{ deadline 5s step", 1)
    assert finding(body, f"{CALL + 5_000}ms", rest=short) is None
    assert finding(body, f"{CALL + 4_999}ms", rest=short) is not None


def test_the_finding_prints_the_calls_the_seconds_and_what_is_left_out() -> None:
    graph = lowered(
        """
        step a = S.do(x)
        for i in xs { step S.slow(i) }
        sleep 5m
        wait _go: Go within 4h else abort Never
        step b = S.do(a.y) with endless
        pivot step S.last(b.y)
        """,
        "deadline 20s",
        QUICK + " policy endless { retry forever backoff 1s jitter full }",
    )
    (found,) = g.deadline_findings(graph)
    assert found.code == "SG403"
    assert not found.is_error
    assert found.message == (
        "up to the pivot, 2 calls with all retries may take 24.8s, and the deadline is 20s"
    )
    assert found.notes == (
        "`S.do`: 5 × 2s + 2s400ms back-off = 12.4s",
        "`S.slow`: 5 × 2s + 2s400ms back-off = 12.4s",
        "left out: `for i` beyond its first iteration, `sleep`, `wait _go` (up to 4h), "
        "`S.do`, which is retried for ever, `Retry-After`, the compensations",
    )
    source = graph.program.sources[found.span.file]
    assert source.slice(found.span) == "Main"
    assert source.slice(found.secondary[0].span).startswith("step a = S.do")


def test_many_calls_are_summed_up() -> None:
    body = " ".join(f"step s{i} = S.do(x)" for i in range(12))
    body += " pivot step S.last([" + ", ".join(f"s{i}.y" for i in range(12)) + "][0] ?? x)"
    (found,) = g.deadline_findings(lowered(body, "deadline 1s"))
    assert found.notes[8] == f"4 more: {seconds(4 * CALL)}"


def test_without_a_deadline_nothing_is_found_and_the_examples_fit() -> None:
    assert g.deadline_findings(lowered("step S.slow(x)")) == ()
    assert g.deadline_findings(example("shop")) == ()
