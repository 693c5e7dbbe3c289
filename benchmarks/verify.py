"""The verifier on generated sagas and on the examples: worlds, time, memory, and how they grow.

python benchmarks/verify.py [--seconds N] [--worlds N] [--quick]

Each row is a process of its own: every fault of the contracts, one crash, calls that arrive late.
Times are processor time, so that a busy machine shows less. What does not end within the limits is
`cut`, and the longer ones of its kind are not tried.

The peer is the enumeration of executions: the same saga and the same faults, one execution after
the other, and no world remembered. Where that does not end, its executions are counted instead (a
world has as many as its successors together), and the ratio is executions against worlds.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from operator import ge
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS, WORLDS = 60, 200_000
TARGETS = {"sequence of 10": 1, "sequence of 30": 5, "6 branches of 5": 5, "shop.saga": 5}
"""Seconds at most, with the reductions."""
MEGABYTES = 1_000

SEQUENCES = (3, 5, 10, 20, 30)
PARALLELS = (((1, 1),), ((2, 1), (3, 1), (4, 1)), ((2, 2), (3, 2), (4, 2)), ((6, 5),))
"""(branches, steps of each), the smaller ones first."""
EXAMPLES = ("order", "shop")
EXECUTIONS = (1, 2, 3, 4, 5)
WITHOUT: tuple[tuple[str, ...], ...] = (
    (),
    ("inert",),
    ("normal",),
    ("branches",),
    ("branches", "symmetry"),
    ("inert", "normal", "branches", "symmetry"),
)
"""`inert`: a late copy that can do nothing more is forgotten; `normal`: what decides nothing any
more is left out of a world; `branches`: branch by branch; `symmetry`: like branches are told apart
no longer, which counts only where not each is explored on its own."""

POLICY = "policy some { timeout 1s retry 2 times backoff 100ms jitter full }\n"


# --- Generated sagas ---------------------------------------------------------------------------


def service(steps: int) -> str:
    operations = "\n".join(
        f"  command do{number}(id: string) -> {{ n: string }} keyed compensate undo{number}(key)\n"
        f"  command undo{number}(of: key) idempotent, absent ok, fences late"
        for number in range(steps)
    )
    return f"{POLICY}service S {{\n  with some\n{operations}\n}}\n"


def sequence(steps: int) -> str:
    body = "\n".join(f"  step s{number} = S.do{number}(id)" for number in range(steps))
    return f"{service(steps)}saga T(id: string) {{\n  id id\n{body}\n}}\n"


def parallel(branches: int, steps: int) -> str:
    if branches == 1:
        return sequence(steps)
    body = "\n".join(
        "    branch {\n"
        + "\n".join(f"      step s{b}_{n} = S.do{b * steps + n}(id)" for n in range(steps))
        + "\n    }"
        for b in range(branches)
    )
    return (
        f"{service(branches * steps)}"
        f"saga T(id: string) {{\n  id id\n  parallel {{\n{body}\n  }}\n}}\n"
    )


# --- One row, in a process of its own ----------------------------------------------------------


class TimeUp(Exception):  # noqa: N818 - not an error
    pass


def _stop(*_: object) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # it comes every second from now on
    raise TimeUp


def program(what: str, numbers: list[int]) -> Any:
    from sagalang.workspace import load, load_text

    if what == "example":
        name = EXAMPLES[numbers[0]]
        loaded = load(str(ROOT / "examples" / name / f"{name}.saga"))
    else:
        loaded = load_text(sequence(*numbers) if what == "sequence" else parallel(*numbers))
    assert not loaded.has_errors, loaded.diagnostics[0]
    return loaded.program


def options(off: list[str]) -> Any:
    from sagalang.verify.world import Options

    return Options(
        inert="inert" not in off, normal="normal" not in off, symmetry="symmetry" not in off
    )


def explored(what: str, numbers: list[int], off: list[str], worlds: int) -> dict[str, Any]:
    from sagalang.verify.explore import Bounds
    from sagalang.verify.verify import Settings, verify

    read = program(what, numbers)
    (saga,) = (name for name, one in read.sagas.items() if one.id is not None)
    settings = Settings(
        options=options(off), bounds=Bounds(states=worlds), branches="branches" not in off
    )
    begun = time.process_time()
    verdict = verify(read, saga, settings=settings)
    return {
        "worlds": verdict.worlds,
        "steps": verdict.steps,
        "seconds": time.process_time() - begun,
        "complete": verdict.complete,
        "holds": verdict.holds,
    }


def enumerated(steps: int) -> dict[str, Any]:
    """Every execution, one after the other: the peer."""
    model = _model(steps)
    executions = visited = 0
    begun = time.process_time()
    ahead = [successor.world for successor in model.begin()]
    complete = True
    try:
        while ahead:
            visited += 1
            further = [successor.world for successor in model.successors(ahead.pop())]
            executions += not further
            ahead += further
    except TimeUp:
        complete = False
    seconds = time.process_time() - begun
    return {"executions": executions, "worlds": visited, "seconds": seconds, "complete": complete}


def counted(steps: int) -> dict[str, Any]:
    """How many executions there are, each world's counted once."""
    model = _model(steps)
    known: dict[Any, int | None] = {}
    below: dict[Any, list[Any]] = {}
    ahead = [(successor.world, False) for successor in model.begin()]
    first = [world for world, _ in ahead]
    while ahead:
        world, followed = ahead.pop()
        if followed:
            known[world] = sum(known[one] or 0 for one in below.pop(world)) or 1
        elif world not in known:
            known[world] = None
            below[world] = [successor.world for successor in model.successors(world)]
            ahead.append((world, True))
            for one in below[world]:
                assert known.get(one, 0) is not None, "an execution without an end"
                ahead.append((one, False))
    return {"executions": sum(known[world] or 0 for world in first), "worlds": len(known)}


def _model(steps: int) -> Any:
    from sagalang.verify.model import Model

    return Model(program("sequence", [steps]), "T", options=options([*WITHOUT[-1]]))


def row(given: dict[str, Any]) -> None:
    signal.signal(signal.SIGXCPU, _stop)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (given["limit"], hard))
    try:
        match given["do"]:
            case "explore":
                found = explored(given["what"], given["numbers"], given["off"], given["worlds"])
            case "enumerate":
                found = enumerated(*given["numbers"])
            case _:
                found = counted(*given["numbers"])
    except TimeUp:
        found = {"complete": False}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def child(**given: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--row", json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3_000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- Growth ------------------------------------------------------------------------------------


def law(points: list[tuple[int, int]]) -> str:
    """`a n^2 + b n + c` where that fits all points exactly, else the factor from step to step."""
    if len(points) > 2:
        (x, u), (y, v), (z, w) = points[:3]
        first, second = Fraction(v - u, y - x), Fraction(w - v, z - y)
        square = (second - first) / (z - x)
        linear = first - square * (x + y)
        fixed = u - square * x * x - linear * x
        fits = all(square * n * n + linear * n + fixed == count for n, count in points)
        if fits and (square == 0 or len(points) > 3):  # else any three points would
            return f"exactly {_polynomial(square, linear, fixed)}"
    factors = [(two[1] / one[1]) ** (1 / (two[0] - one[0])) for one, two in pairwise(points)]
    return "times " + ", ".join(f"{factor:.2f}" for factor in factors) + " per step"


def _polynomial(square: Fraction, linear: Fraction, fixed: Fraction) -> str:
    parts = [(square, " n^2"), (linear, " n"), (fixed, "")]
    told = " + ".join(f"{number}{power}" for number, power in parts if number)
    return told.replace("+ -", "- ")


# --- The tables --------------------------------------------------------------------------------


def show(name: str, off: list[str], found: dict[str, Any]) -> None:
    how = f"without {', '.join(off)}" if off else "all reductions"
    if not found["complete"]:
        print(f"{name:<18} {how:<32} cut", flush=True)
        return
    seconds = found["seconds"]
    target = TARGETS.get(name) if not off else None
    told = ""
    if target is not None:
        met = seconds <= target and found["peak"] <= MEGABYTES
        told = f"   target {target} s: {'met' if met else 'NOT MET'}"
    print(
        f"{name:<18} {how:<32} {found['worlds']:>8,} worlds {found['steps']:>9,} steps"
        f" {seconds:7.2f} s {found['worlds'] / seconds:6,.0f} worlds/s"
        f" {found['peak']:5.0f} MB  {'holds' if found['holds'] else 'BREACHES'}{told}",
        flush=True,
    )


def kind(
    what: str,
    cases: list[tuple[str, list[int]]],
    off: list[str],
    limits: dict[str, int],
    cuts: list[list[int]],
) -> list[tuple[int, int]]:
    """(first number, worlds) of each case that ends. `cuts`: the cases that did not."""
    points: list[tuple[int, int]] = []
    for name, numbers in cases:
        found: dict[str, Any] = {"complete": False}
        if not any(all(map(ge, numbers, smaller)) for smaller in cuts):
            found = child(do="explore", what=what, numbers=numbers, off=off, **limits)
        show(name, off, found)
        if found["complete"]:
            points.append((numbers[0], found["worlds"]))
        else:
            cuts.append(numbers)
    return points


def grows(points: list[tuple[int, int]]) -> None:
    if len(points) > 1:
        print(f"  worlds grow {law(points)}", flush=True)


def peer(limits: dict[str, int]) -> None:
    print("\nthe peer: executions one by one, without remembering worlds")
    cut = False
    for steps in EXECUTIONS:
        ours = child(do="explore", what="sequence", numbers=[steps], off=[], **limits)
        number = child(do="count", numbers=[steps], **limits)
        theirs: dict[str, Any] = {"complete": False}
        if not cut:
            theirs = child(do="enumerate", numbers=[steps], **limits)
        cut = not theirs["complete"]
        if "executions" not in number:
            print(f"sequence of {steps:<6} cut", flush=True)
            return
        executions = number["executions"]
        assert cut or theirs["executions"] == executions
        took = "cut" if cut else f"{theirs['seconds']:.2f} s"
        print(
            f"sequence of {steps:<6} {executions:>9.3g} executions {took:>9}"
            f"   ours {ours['worlds']:>6,} worlds {ours['seconds']:6.2f} s"
            f"   ratio {executions / ours['worlds']:.3g}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of processor time, a row")
    parser.add_argument("--worlds", type=int, default=WORLDS, help="a row")
    parser.add_argument("--quick", action="store_true", help="only with all reductions")
    parser.add_argument("--row")
    given = parser.parse_args()
    if given.row:
        row(json.loads(given.row))
        return
    limits = {"limit": given.seconds, "worlds": given.worlds}
    sequences = [(f"sequence of {n}", [n]) for n in SEQUENCES]
    parallels = [
        [(f"{k} branch{'es' if k > 1 else ''} of {m}", [k, m]) for k, m in kinds]
        for kinds in PARALLELS
    ]
    wholes = [(f"{name}.saga", [number]) for number, name in enumerate(EXAMPLES)]
    print(
        f"every fault, one crash, late arrivals; cut: {given.seconds} s or {given.worlds:,} worlds"
    )
    for off in [[*some] for some in WITHOUT[: 1 if given.quick else None]]:
        print()
        if not off or off[0] != "branches":  # a sequence has none
            grows(kind("sequence", sequences, off, limits, []))
        cuts: list[list[int]] = []
        for cases in parallels:
            grows(kind("parallel", cases, off, limits, cuts))
        for example in wholes:
            kind("example", [example], off, limits, [])
    peer(limits)


if __name__ == "__main__":
    main()
