"""Flow graphs and service maps before the real Graphviz; all that it read is compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pictured import FILES, HOSTILE_FILE
from subjects import HOSTILE, example_sagas, hostile_sagas, random_sagas

from sagalang.graph import lower
from sagalang.render.diagram import Participant, ParticipantKind, printable
from sagalang.render.graphs import engine as graphviz_engine
from sagalang.render.graphs.dot import emit
from sagalang.render.graphs.engine import NoPicture, draw
from sagalang.render.graphs.flow import flow
from sagalang.render.graphs.flow_graph import (
    Cluster,
    ClusterKind,
    EdgeKind,
    FlowEdge,
    FlowGraph,
    FlowKind,
    FlowNode,
)
from sagalang.render.graphs.service_map import (
    MapEdge,
    MapNode,
    Place,
    ServiceMap,
    Use,
    service_map,
    shown_names,
)
from sagalang.render.graphs.service_map_dot import emit as emit_dot
from sagalang.render.graphs.service_map_mermaid import emit as emit_mermaid
from sagalang.workspace import load

HERE = Path(__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"
ESCAPES = ("\\N", "\\G\\E\\T\\H\\L", "\\l", "\\\\N", "\\\\", "<>", "&#92;N")
"""What means something in labels of DOT only."""
SAGAS = {"examples": example_sagas, "hostile": hostile_sagas, "random": random_sagas}

pytestmark = pytest.mark.external
needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="run: apt-get install --no-install-recommends graphviz"
)
needs_wheel = pytest.mark.skipif(
    find_spec("pygraphviz") is None, reason="run: pip install pygraphviz"
)
needs_mermaid = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "mermaid" / "node_modules" / "mermaid").is_dir(),
    reason="run: npm install --no-audit --no-fund --prefix tests/external/mermaid",
)


# --- Reading back --------------------------------------------------------------------------------


def read(texts: Sequence[str]) -> list[dict[str, Any]]:
    """What `dot` made of each text. A process each: version 2.43 frees the layout of an edge with
    a label between nodes side by side twice, when the next graph begins."""
    found = []
    for text in texts:
        done = subprocess.run(
            ["dot", "-Tjson"], input=text.encode(), capture_output=True, timeout=300, check=True
        )
        assert not done.stderr, done.stderr.decode()
        found.append(json.loads(done.stdout))
    return found


def eights() -> list[tuple[str, ...]]:
    """The hostile texts, some to a picture."""
    texts = (*HOSTILE, *ESCAPES)
    return [texts[at : at + 8] for at in range(0, len(texts), 8)]


def bare(text: str) -> str:
    return "".join(printable(text).split())


def written(drawn: dict[str, Any]) -> str:
    """The text of a label as it was laid out, without blanks."""
    return bare("".join(op["text"] for op in drawn.get("_ldraw_", ()) if op["op"] == "T"))


def edge_between(edge: dict[str, Any], names: dict[int, str]) -> tuple[str, str]:
    ends = names[edge["tail"]], names[edge["head"]]
    return (ends[1], ends[0]) if edge.get("dir") == "back" else ends


def compare(graphs: Iterable[FlowGraph], **looks: str) -> None:
    graphs = list(graphs)
    for graph, found in zip(graphs, read([emit(each, **looks) for each in graphs]), strict=True):
        objects = found.get("objects", [])
        nodes = {o["name"]: written(o) for o in objects if not o["name"].startswith("cluster")}
        assert nodes == {node.id: shown(node) for node in graph.nodes}
        labels = Counter(written(o) for o in objects if o["name"].startswith("cluster"))
        assert labels == Counter(bare(cluster.label) for cluster in every(graph.clusters))
        names = {o["_gvid"]: o["name"] for o in objects}
        edges = Counter((*edge_between(e, names), written(e)) for e in found.get("edges", []))
        assert edges == Counter((e.source, e.target, bare(e.label)) for e in graph.edges)
        assert written(found).startswith(bare(graph.title + graph.doc + "".join(graph.notes)))


def shown(node: FlowNode) -> str:
    if node.kind in (FlowKind.FORK, FlowKind.JOIN, FlowKind.TOGETHER):
        return ""
    return bare(("POINT OF NO RETURN" if node.pivot else "") + "".join(node.label))


def every(clusters: tuple[Cluster, ...]) -> Iterator[Cluster]:
    for cluster in clusters:
        yield cluster
        yield from every(cluster.inner)


# --- Flow graphs ---------------------------------------------------------------------------------


@needs_dot
@pytest.mark.parametrize(
    ("sagas", "direction"),
    [
        ("examples", "TB"),
        ("examples", "LR"),
        ("hostile", "TB"),
        ("hostile", "LR"),
        ("random", "TB"),
    ],
)
def test_sagas_are_read_as_they_were_meant(sagas: str, direction: str) -> None:
    found = (flow(lower(program, name)) for program, name in SAGAS[sagas]())
    compare(found, direction=direction)


def hostile(texts: Sequence[str]) -> FlowGraph:
    """The texts in every place where a flow graph can have one."""
    some = cycle(texts)
    first = texts[0]
    nodes = []
    for at, kind in enumerate(FlowKind):
        text, who = next(some), 1 if at % 2 else None
        nodes.append(FlowNode(f"n{at}", kind, (text, text), who, at < 2, text, f"{at} {text}"))
    edges = tuple(
        FlowEdge(f"n{at}", f"n{at + 1}", kind, next(some))
        for at, kind in zip(range(len(nodes) - 1), cycle(EdgeKind), strict=False)
    )
    clusters = tuple(
        Cluster(kind, next(some), (f"n{at}",), (Cluster(kind, next(some), (f"n{at + 4}",)),))
        for at, kind in enumerate(ClusterKind)
    )
    cast = (
        Participant(first, ParticipantKind.ORCHESTRATOR, first),
        Participant(first, ParticipantKind.SERVICE, first),
    )
    return FlowGraph(first, cast, tuple(nodes), edges, clusters, first, tuple(texts))


@needs_dot
def test_hostile_texts_in_every_place() -> None:
    compare(hostile(texts) for texts in eights())


@needs_dot
@needs_wheel
@pytest.mark.parametrize("engine", ["dot", "wheel"])
def test_hostile_texts_in_tooltips_and_titles(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them, all in one text: each picture is a process."""
    if engine == "wheel":
        without_dot(monkeypatch)
    odd = ("\\N", "a\\", "\\\\l", "&#59;", "&lt;", '"', '\\"', "<b>x</b>", "</svg>", "%date()")
    text = " ".join(odd)
    graph = hostile([text])
    picture = ElementTree.fromstring(draw(emit(graph), "svg"))
    tips = {bare(e.attrib[TITLE]) for e in picture.iter() if TITLE in e.attrib}
    bars = (FlowKind.FORK, FlowKind.JOIN, FlowKind.TOGETHER)
    assert {bare(node.doc) for node in graph.nodes if node.kind not in bars} <= tips
    assert tips <= {bare(text), *(bare(n.doc) for n in graph.nodes), *(k.value for k in bars)}
    title = picture.find(f"{SVG}g/{SVG}title")
    assert title is not None
    assert bare(title.text or "") == bare(text)


@needs_dot
def test_the_check_itself_can_fail() -> None:
    graph = hostile(["x"])
    text = emit(graph).replace(">x<", ">y<", 1)
    assert text != emit(graph)
    assert read([text]) != read([emit(graph)])
    with pytest.raises(subprocess.CalledProcessError):
        read(["digraph { n0 [label=<<B>x>] "])


# --- Service maps --------------------------------------------------------------------------------


def maps() -> list[ServiceMap]:
    files = (*FILES, HOSTILE_FILE)
    found = [service_map([load(str(path)).program]) for path in files]
    found.append(service_map([load(str(path)).program for path in files]))
    return [*found, *map(hostile_map, eights())]


def hostile_map(texts: Sequence[str]) -> ServiceMap:
    nodes: list[MapNode] = []
    edges: list[MapEdge] = []
    for text in texts:
        first = len(nodes)
        nodes += (
            MapNode(Place.SAGA, text, text, (), text),
            MapNode(Place.SAGA, text, f"{text}2", (), text),
            MapNode(Place.SERVICE, text, text, (f"1{text}", f"2{text}"), text),
            MapNode(Place.EVENT, text, text, (), text),
        )
        uses = (Use.STEP, Use.COMPENSATION, Use.PROBE)
        edges += (MapEdge(first, first + 2, use, f"1{text}") for use in uses)
        edges.append(MapEdge(first + 1, first + 2, Use.POLL, f"2{text}"))
        edges.append(MapEdge(first + 1, first, Use.CHILD))
        edges.append(MapEdge(first, first + 3, Use.WAIT))
    return ServiceMap(tuple(nodes), tuple(edges))


@needs_dot
def test_service_maps_are_read_as_they_were_meant() -> None:
    found = maps()
    for drawn, map_ in zip(read([emit_dot(each) for each in found]), found, strict=True):
        assert [written(o) for o in drawn["objects"]] == [
            bare(name + "".join(node.operations))
            for name, node in zip(shown_names(map_), map_.nodes, strict=True)
        ]
        names = {o["_gvid"]: o["name"] for o in drawn["objects"]}
        uses = Counter(
            (names[e["tail"]], names[e["head"]], e["tooltip"], row(e)) for e in drawn["edges"]
        )
        assert uses == Counter(
            (f"n{e.source}", f"n{e.target}", e.use.value, wanted(map_, e)) for e in map_.edges
        )


def row(edge: dict[str, Any]) -> str:
    return str(edge.get("headport", "")).split(":")[0]


def wanted(map_: ServiceMap, edge: MapEdge) -> str:
    operations = map_.nodes[edge.target].operations
    return f"o{operations.index(edge.operation)}" if operations else ""


@needs_mermaid
def test_service_maps_are_read_by_mermaid_as_they_were_meant() -> None:
    found = maps()
    done = subprocess.run(
        ["node", str(HERE / "mermaid" / "flowcheck.mjs")],
        input=json.dumps([emit_mermaid(each) for each in found]),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    for answer, map_ in zip(json.loads(done.stdout), found, strict=True):
        assert answer["ok"], answer.get("error")
        names = shown_names(map_)
        services = [at for at, n in enumerate(map_.nodes) if n.place is Place.SERVICE]
        assert Counter(map(bare, answer["groups"])) == Counter(bare(names[at]) for at in services)
        single = [names[at] for at in range(len(names)) if at not in services]
        rows = [operation for at in services for operation in map_.nodes[at].operations]
        assert Counter(map(bare, answer["nodes"])) == Counter(map(bare, (*single, *rows)))
        assert len(answer["edges"]) == len(map_.edges)
        dotted = (Use.COMPENSATION, Use.PROBE, Use.POLL)
        assert [e["stroke"] == "dotted" for e in answer["edges"]] == [
            e.use in dotted for e in map_.edges
        ]


# --- Engines -------------------------------------------------------------------------------------

STARTS = {"svg": b"<?xml", "png": b"\x89PNG\r\n", "pdf": b"%PDF-"}
GRAPH = "digraph { a -> b [label=<<B>x</B>>] }"


def without_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert shutil.which("dot") is None


@needs_dot
@pytest.mark.parametrize("to", STARTS)
def test_the_program_draws(to: str) -> None:
    picture = draw(GRAPH, to)
    assert picture.startswith(STARTS[to])
    if to == "svg":
        assert picture == draw(GRAPH, to)
        assert b"Generated" not in picture
        assert len(list(ElementTree.fromstring(picture).iter(f"{SVG}text"))) == 3


@needs_wheel
@pytest.mark.parametrize("to", STARTS)
def test_the_wheel_draws_where_there_is_no_program(
    to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_dot(monkeypatch)
    picture = draw(GRAPH, to)
    assert picture.startswith(STARTS[to])
    if to == "svg":
        assert picture == draw(GRAPH, to)
        assert b"Generated" not in picture
        assert len(list(ElementTree.fromstring(picture).iter(f"{SVG}text"))) == 3


def test_without_both_it_says_what_to_install() -> None:
    """In a process without PATH in which the wheel cannot be found."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['pygraphviz'] = None\n"
            "from sagalang.render.graphs.engine import NoPicture, draw\n"
            "try: draw('digraph {}', 'svg')\n"
            "except NoPicture as problem: print(problem)",
        ],
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "apt install graphviz" in done.stdout
    assert "pip install 'sagalang[graphviz]'" in done.stdout


@needs_dot
def test_a_layout_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphviz_engine, "LIMIT", 0.05)
    endless = "digraph {" + "".join(f"a{i}->a{i * 7 % 3000};" for i in range(3000)) + "}"
    with pytest.raises(NoPicture, match=r"longer than 0\.05 s"):
        draw(endless, "svg")


@needs_dot
def test_what_graphviz_complains_about_is_told() -> None:
    with pytest.raises(NoPicture, match="syntax error"):
        draw("digraph {", "svg")


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="gif"):
        draw(GRAPH, "gif")
