"""The saga as a flow graph: the ways forward, and the order of undoing beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import process_time

import networkx as nx
import pytest
from pictured import CONSTRUCTS, GOLDEN, GOLDENS, ORDER, SHOP, graph_in, graph_of
from verify.chance import random_saga

from sagalang import graph as g
from sagalang.render.graphs.dot import emit
from sagalang.render.graphs.flow import flow
from sagalang.render.graphs.flow_graph import (
    Cluster,
    ClusterKind,
    EdgeKind,
    FlowGraph,
    FlowKind,
    FlowNode,
)
from sagalang.workspace import load

RANDOM = 300 if "SAGA_SLOW" in os.environ else 40
SERVICE = """
error No, Never
event Go
service S {
  command do(x: string) -> { y: string }
    keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key)      idempotent, absent ok, fences late
  command last(x: string)    idempotent
}
service T {
  command act(x: string)     keyed compensate back(key)
  command back(of: key)      idempotent, absent ok, fences late
}
"""


def drawn(body: str, rest: str = "") -> FlowGraph:
    main = "saga Main(x: string, xs: list<string>, secret: secret string)"
    return flow(graph_of(f"{SERVICE}\n{rest}\n{main} {{\n  id x\n{body}\n}}"))


def edges(graph: FlowGraph, kind: EdgeKind) -> set[tuple[str, str, str]]:
    """The edges of a kind, between nodes named by their first line (bars by their kind)."""
    nodes = {node.id: node for node in graph.nodes}

    def called(name: str) -> str:
        node = nodes[name]
        text = node.label[0] if node.label else node.kind.value
        return f"undo {text}" if node.kind is FlowKind.COMPENSATION else text

    return {(called(e.source), called(e.target), e.label) for e in graph.edges if e.kind is kind}


def undoing(graph: FlowGraph) -> set[tuple[str, str]]:
    """The order of undoing between the paths of steps, without the bars where several begin."""
    nodes = {node.id: node for node in graph.nodes}
    order = nx.DiGraph((e.source, e.target) for e in graph.edges if e.kind is EdgeKind.UNDOING)
    for name in [n for n in order if nodes[n].kind is FlowKind.TOGETHER]:
        order.add_edges_from(
            (a, b) for a in order.predecessors(name) for b in list(order.successors(name))
        )
        order.remove_node(name)
    back = FlowKind.COMPENSATION
    return {
        (str(nodes[a].path), str(nodes[b].path))
        for a, b in order.edges
        if nodes[a].kind is back and nodes[b].kind is back
    }


def reached(graph: FlowGraph) -> set[str]:
    ways = nx.DiGraph((e.source, e.target) for e in graph.edges)
    return {graph.nodes[0].id, *nx.descendants(ways, graph.nodes[0].id)}


# --- Forward -------------------------------------------------------------------------------------


def test_a_sequence_leads_forward_and_is_undone_from_its_end() -> None:
    graph = drawn("  step S.do(x)\n  step T.act(x)\n  pivot step S.last(x)")
    assert edges(graph, EdgeKind.FORWARD) == {
        ("start", "S.do", ""),
        ("S.do", "T.act", ""),
        ("T.act", "S.last", ""),
        ("S.last", "completed", ""),
    }
    assert edges(graph, EdgeKind.UNDONE_BY) == {
        ("S.do", "undo S.undo", ""),
        ("T.act", "undo T.back", ""),
    }
    assert edges(graph, EdgeKind.UNDOING) == {
        ("undo T.back", "undo S.undo", ""),
        ("undo S.undo", "compensated", ""),
    }
    assert edges(graph, EdgeKind.FAILURE) == {("S.do", "compensated", "No")}
    assert [node.label[0] for node in graph.nodes if node.pivot] == ["S.last"]


def test_a_failure_enters_the_order_of_undoing_where_it_strikes() -> None:
    assert edges(flow(graph_in(ORDER)), EdgeKind.FAILURE) == {
        ("Payment.charge", "undo Orders.fail", "Declined"),
        ("Inventory.reserve", "undo Payment.refund", "OutOfStock"),
    }


def test_the_shop_undoes_side_by_side_what_was_done_side_by_side() -> None:
    graph = flow(graph_in(SHOP))
    assert edges(graph, EdgeKind.UNDOING) == {
        ("together", "undo Payment.release", ""),
        ("together", "undo Inventory.free", ""),
        ("undo Payment.release", "undo Orders.reject", ""),
        ("undo Inventory.free", "undo Orders.reject", ""),
        ("undo Orders.reject", "compensated", ""),
    }
    assert edges(graph, EdgeKind.FAILURE) == {
        ("Payment.authorize", "undo Inventory.free", "Declined or CardExpired"),
        ("Inventory.reserve", "together", "OutOfStock"),
        ("wait for Review", "together", "not within 4h: ReviewTimedOut"),
        ("review.verdict == Verdict.Denied?", "together", "yes: Refused"),
        ("Shipping.book", "logistics takes over", "else"),
    }


def test_clusters_hold_their_nodes() -> None:
    graph = flow(graph_in(SHOP))
    (parallel,) = graph.clusters
    (loop,) = parallel.inner
    label = {node.id: node.label[0] if node.label else node.kind.value for node in graph.nodes}
    assert parallel.kind is ClusterKind.PARALLEL
    assert [label[name] for name in parallel.nodes] == ["fork", "Payment.authorize", "join"]
    assert loop.label == "for each line in order.lines, 8 at once"
    assert [label[name] for name in loop.nodes] == ["Inventory.reserve"]


def test_a_loop_may_be_passed_when_its_body_never_ends_well() -> None:
    graph = drawn("  for y in xs by y { abort Never }\n  step S.last(x)")
    assert edges(graph, EdgeKind.FORWARD) >= {("start", "S.last", "")}
    assert edges(graph, EdgeKind.FAILURE) == {("start", "compensated", "Never")}


def test_a_handler_says_what_is_undone_before_it() -> None:
    graph = drawn("""
  attempt {
    step T.act(x)
    step S.do(x)
  } on No, Timeout {
    step S.last(x)
  }
  step T.act(x)""")
    assert edges(graph, EdgeKind.FAILURE) == {
        ("S.do", "first undo what was begun:", "No"),
        ("S.do", "first undo what was begun:", "Timeout"),
        ("T.act", "first undo what was begun:", "Timeout"),
    }
    rollbacks = [node.label[1:] for node in graph.nodes if node.kind is FlowKind.ROLLBACK]
    assert rollbacks == [("T.back",), ("S.undo", "T.back")]
    assert [cluster.label for cluster in graph.clusters] == ["attempt", "on No or Timeout"]
    assert edges(graph, EdgeKind.FORWARD) >= {
        ("first undo what was begun:", "S.last", ""),
        ("S.last", "T.act", ""),
        ("S.do", "T.act", ""),
    }


def test_names_that_are_only_bound_leave_no_trace() -> None:
    graph = drawn('  if x == "a" { let y = 1 }\n  let z = 2\n  step S.last(x)')
    assert [node.kind for node in graph.nodes] == [
        FlowKind.START,
        FlowKind.COMMAND,
        FlowKind.COMPLETED,
    ]


def test_waiting_in_vain_leads_to_the_team_or_on() -> None:
    graph = drawn("""
  wait a: Go within 1h else escalate "desk"
  wait b: Go within 2h else null
  step S.last(x)""")
    assert edges(graph, EdgeKind.FAILURE) == {("wait for Go", "desk takes over", "not within 1h")}
    assert [n.label[1] for n in graph.nodes if n.kind is FlowKind.WAIT] == [
        "within 1h",
        "within 2h, else goes on without",
    ]


def test_what_follows_the_last_compensation_stands_behind_it() -> None:
    graph = drawn("  step S.do(x)\n  when compensated { step S.last(x) best effort }")
    assert edges(graph, EdgeKind.UNDOING) == {("undo S.undo", "S.last", "")}
    assert ("S.last", "compensated", "") in edges(graph, EdgeKind.FORWARD)


def test_no_secret_is_written() -> None:
    rest = 'let token = "hunter2"'
    graph = drawn(
        '  step S.do("hunter3")\n  step U.use(token, "hunter4")',
        f"""
{rest}
service U {{
  command use(token: secret string, other: secret string)  keyed
}}""",
    )
    assert "hunter" not in repr(graph)
    assert "(token, &quot;…&quot;)" in emit(graph)


# --- Any saga ------------------------------------------------------------------------------------


def all_graphs() -> list[g.SagaGraph]:
    found = []
    for path in (SHOP, CONSTRUCTS):
        program = load(str(path)).program
        found += [g.lower(program, name) for name in program.sagas]
    for seed in range(RANDOM):
        found.append(graph_of(random_saga(seed)))
    return found


def test_every_node_is_reached_and_the_order_of_undoing_is_the_machines() -> None:
    for graph in all_graphs():
        picture = flow(graph)
        assert {node.id for node in picture.nodes} == reached(picture), graph.saga.name
        drawn_paths = [n.path for n in picture.nodes if n.kind is not FlowKind.COMPENSATION]
        for node in (*graph.nodes, *graph.farewell):
            assert drawn_paths.count(node.path) == 1
        assert undoing(picture) == set(graph.compensations.edges)
        pairs = {(e.source, e.target) for e in picture.edges if e.kind is EdgeKind.UNDONE_BY}
        owed = [node.path for node in graph.nodes if node.undone_by is not None]
        paths = {node.id: node.path for node in picture.nodes}
        assert sorted(owed) == sorted(str(paths[step]) for step, _ in pairs)
        assert all(paths[step] == paths[back] for step, back in pairs)


def test_every_node_stands_in_at_most_one_cluster() -> None:
    def names(clusters: tuple[Cluster, ...]) -> list[str]:
        return [n for c in clusters for n in (*c.nodes, *names(c.inner))]

    for graph in all_graphs():
        picture = flow(graph)
        found = names(picture.clusters)
        assert len(found) == len(set(found))
        assert set(found) <= {node.id for node in picture.nodes}


def test_the_way_back_has_no_circle_and_ends_compensated() -> None:
    for graph in all_graphs():
        picture = flow(graph)
        nodes = {node.id: node for node in picture.nodes}
        back = nx.DiGraph((e.source, e.target) for e in picture.edges if e.kind is EdgeKind.UNDOING)
        assert nx.is_directed_acyclic_graph(back)
        for name in back:
            if back.out_degree(name) == 0:
                after: FlowNode = nodes[name]
                assert after.kind is not FlowKind.COMPENSATION
                assert after.kind is not FlowKind.TOGETHER


# --- DOT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "saga", "name"), GOLDENS[:3])
def test_goldens(golden: Callable[[Path, str], None], source: Path, saga: str, name: str) -> None:
    graph = flow(graph_in(source, saga))
    golden(GOLDEN / "dot" / f"{name}.dot", emit(graph))


def test_a_service_has_one_colour() -> None:
    text = emit(flow(graph_in(SHOP)))
    fills: dict[str, set[str]] = {}
    for line in text.splitlines():
        for service in ("Orders", "Payment", "Inventory", "Shipping", "Notification"):
            if f"<B>{service}." in line:
                fills.setdefault(service, set()).add(line.split('fillcolor="')[1].split('"')[0])
    assert all(len(found) == 1 for found in fills.values())
    assert len({fill for found in fills.values() for fill in found}) == len(fills) == 5


def test_the_pivot_cannot_be_overlooked_and_stands_once() -> None:
    for theme in ("light", "dark"):
        assert emit(flow(graph_in(SHOP)), theme=theme).count("POINT OF NO RETURN") == 1


def test_themes_and_directions_differ_in_looks_only() -> None:
    graph = flow(graph_in(SHOP))
    texts = {
        (direction, theme): emit(graph, direction=direction, theme=theme)
        for direction in ("TB", "LR")
        for theme in ("light", "dark")
    }
    assert len(set(texts.values())) == 4
    assert len({text.count("\n") for text in texts.values()}) == 1
    with pytest.raises(ValueError, match="direction"):
        emit(graph, direction="up")
    with pytest.raises(ValueError, match="theme"):
        emit(graph, theme="pink")


def test_the_same_saga_gives_the_same_bytes() -> None:
    assert emit(flow(graph_in(SHOP))) == emit(flow(graph_in(SHOP)))


def contrast(first: str, second: str) -> float:
    """WCAG 2.1, relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, b, w = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * r + 0.7152 * b + 0.0722 * w

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(theme: str) -> None:
    from sagalang.render.graphs.dot_text import colours

    look = colours(theme)
    grounds = [fill for fill, _ in look.fills] + [look.paper, look.region]
    assert min(contrast(look.ink, ground) for ground in grounds) >= 7
    texts = (look.faint, look.failure, look.undoing)
    assert min(contrast(text, ground) for text in texts for ground in grounds[-2:]) >= 4.5
    assert contrast(look.on_pivot, look.pivot) >= 4.5


def test_two_hundred_steps_are_drawn_in_time() -> None:
    steps = "\n".join(f'  step s{n} = S.do("{n}")' for n in range(200))
    saga = graph_of(f"{SERVICE}\nsaga Main(x: string) {{\n  id x\n{steps}\n}}")
    began = process_time()
    graph = flow(saga)
    emit(graph)
    assert process_time() - began < 10, "0.5 s on a quiet machine"
    back = [node.path for node in graph.nodes if node.kind is FlowKind.COMPENSATION]
    assert undoing(graph) == {(b, a) for a, b in pairwise(map(str, back))}
