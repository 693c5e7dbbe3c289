# ruff: noqa: E501 - a table of sagas, one a line
"""Small sagas: contracts with and without holes, and the ways in which steps are put together.

Each is a text; what the checker says to it does not matter here. `contract` writes the operations
of one service, so that every hole is one word.
"""

from __future__ import annotations

from typing import Final

UNDO: Final = "idempotent, absent ok, fences late"
FULL: Final = "keyed, records rejections rejects No compensate undo(key)"


def contract(
    do: str = FULL, undo: str = UNDO, more: str = "", name: str = "S", by: str = ""
) -> str:
    """A service with one command and what undoes it. `by`: the compensation's parameter."""
    of = by or ("of: key" if "(key)" in do else "a: string")
    return f"""
service {name} {{
  command do(a: string) {do}
  command undo({of}) {undo}
  {more}
}}
"""


def saga(
    body: str,
    services: str = "",
    *,
    policy: str = "timeout 1s",
    back: str = "timeout 1s",
    params: str = "",
    head: str = "",
    result: str = "",
) -> str:
    return f"""
error No, Gone, Late
error Fell {{ why: bool }}
enum Colour {{ Red, Blue }}
event Word {{ yes: bool }}
policy ahead {{ {policy} }}
policy back {{ {back} }}
service After {{
  command confirm(a: string) idempotent
  command tell(a: string)
  query ask(a: string) -> {{ yes: bool }} rejects Gone
  command choose(a: string) -> {{ yes: bool }} idempotent compensate unchoose(a)
  command unchoose(a: string) {UNDO}
}}
{services or contract()}
saga Main({params}) {result} {{
  id "x"
  compensate with back
  {head}
  {body}
}}
""".replace("service S {", "service S {\n  with ahead")


STEP: Final = 'step S.do("a")'
TWO: Final = 'step one = S.do("a") step two = S.do("b")'
AFTER: Final = 'pivot step After.confirm("z")'
ONCE: Final = "timeout 1s retry 1 times backoff 1s * 2 up to 5s jitter full"
EVER: Final = "timeout 1s retry forever backoff 1s * 2 up to 5s jitter full"
PROBE: Final = "query find(a: string) -> { id: string }?"
PROBED: Final = "-> { id: string } rejects No probe find(a) lands within 5m compensate undo(a)"

CONTRACTS: Final[dict[str, str]] = {
    "everything": contract(),
    "rejections not recorded": contract("keyed rejects No compensate undo(key)"),
    "no rejection": contract("keyed compensate undo(key)"),
    "two rejections": contract("keyed, records rejections rejects No, Gone compensate undo(key)"),
    "not fenced": contract(undo="idempotent, absent ok"),
    "absent not ok": contract(undo="idempotent, fences late"),
    "nothing promised of the undo": contract(undo=""),
    "keyed undo": contract(undo="keyed, absent ok, fences late"),
    "keyed undo, not fenced": contract(undo="keyed, absent ok"),
    "undo that rejects": contract(undo=f"{UNDO} rejects Gone"),
    "neither key nor probe": contract("rejects No compensate undo(a)"),
    "neither, not fenced": contract("rejects No compensate undo(a)", "idempotent, absent ok"),
    "neither, absent not ok": contract("rejects No compensate undo(a)", "idempotent"),
    "idempotent": contract("idempotent rejects No compensate undo(a)"),
    "idempotent, not fenced": contract("idempotent compensate undo(a)", "idempotent, absent ok"),
    "lands within": contract(
        "keyed, lands within 5m rejects No compensate undo(key)", "idempotent, absent ok"
    ),
    "lands within, nobody asks": contract(
        "lands within 5m rejects No compensate undo(a)", "idempotent, absent ok"
    ),
    "probed": contract(PROBED, more=PROBE),
    "probed, not fenced": contract(PROBED, "idempotent, absent ok", PROBE),
    "probed, absent not ok": contract(PROBED, "idempotent", PROBE),
    "probed, no time said": contract(PROBED.replace("lands within 5m", ""), more=PROBE),
    "by result": contract(
        "-> { id: string } keyed, records rejections rejects No compensate undo(result.id)",
        UNDO,
        by="id: string",
    ),
    "by result, not recorded": contract(
        "-> { id: string } keyed rejects No compensate undo(result.id)", UNDO, by="id: string"
    ),
    "by result, probed": contract(
        "-> { id: string } rejects No probe find(a) lands within 5m compensate undo(result.id)",
        UNDO,
        PROBE,
        by="id: string",
    ),
    "keyed and probed": contract(
        "-> { id: string } keyed, lands within 5m rejects No probe find(a) compensate undo(key)",
        UNDO,
        PROBE,
    ),
    "no compensation": contract("keyed rejects No"),
    "undo probed": contract(
        "keyed rejects No compensate undo(key)",
        "-> { id: string } absent ok, fences late, lands within 5m probe was(of)",
        "query was(of: key) -> { id: string }?",
    ),
    "undo probed, absent not ok": contract(
        "keyed rejects No compensate undo(key)",
        "-> { id: string } fences late, lands within 5m probe was(of)",
        "query was(of: key) -> { id: string }?",
    ),
}

BY_INPUTS: Final = contract("keyed, records rejections rejects No compensate undo(a)")
BY_INPUTS_OPEN: Final = contract(
    "keyed, lands within 5m rejects No compensate undo(a)", "idempotent, absent ok"
)
BY_INPUTS_STRICT: Final = contract("keyed rejects No compensate undo(a)", "idempotent, fences late")

BODIES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "one step": (STEP, {}),
    "then the pivot": (f"{STEP} {AFTER}", {}),
    "then an abort": (f"{STEP} abort Gone", {}),
}

SHAPES: Final[dict[str, str]] = {
    "two steps": saga(TWO),
    "two, not fenced": saga(TWO, contract(undo="idempotent, absent ok")),
    "pivot that rejects": saga(f"pivot {STEP}"),
    "pivot that rejects, not recorded": saga(
        f"pivot {STEP}", CONTRACTS["rejections not recorded"], policy=ONCE
    ),
    "pivot with somebody to tell": saga(
        f'{STEP.replace("step", "step x =")} pivot step S.do("b") else escalate "t"'
    ),
    "after the pivot": saga(
        f'{STEP} {AFTER} step After.confirm("y") step After.tell("z") best effort'
    ),
    "tell when nobody answers": saga(
        f'{STEP} else escalate "team" after 1h', policy=EVER, head="deadline 6h"
    ),
    "tell": saga(f'{STEP} else escalate "team" step S.do("b")'),
    "best effort": saga('step After.tell("a") best effort step S.do("a")'),
    "no undo wanted": saga('step After.tell("a") compensate none "seen" step S.do("a")'),
    "no undo wanted, keyed": saga(f'{STEP} compensate none "seen" step y = S.do("b")', policy=ONCE),
    "attempt": saga(f'attempt {{ {STEP} }} on No {{ step alt = S.do("b") }}'),
    "attempt that catches doubt": saga(
        f'attempt {{ {STEP} }} on Timeout {{ step alt = S.do("b") }}'
    ),
    "attempt of two": saga(f"attempt {{ {TWO} }} on No {{ }}"),
    "attempt around the pivot": saga(
        'attempt { step x = S.do("a") pivot step y = S.do("b") } on No { }'
    ),
    "attempt after the pivot": saga(f"{AFTER} attempt {{ {STEP} }} on No {{ }}", policy=EVER),
    "parallel": saga('parallel { step one = S.do("a") step two = S.do("b") }'),
    "parallel, not fenced": saga(
        'parallel { step one = S.do("a") step two = S.do("b") }', CONTRACTS["not fenced"]
    ),
    "parallel and an abort": saga(
        'parallel { step one = S.do("a") branch { step c = After.choose("b") if c.yes { abort Gone } } }'
    ),
    "wait": saga(f"{STEP} wait word: Word within 1h else abort Late"),
    "wait for a yes": saga(f"{STEP} wait word: Word where word.yes within 1h else abort Late"),
    "wait or go on": saga('wait word: Word within 1h else null if word != null { step S.do("a") }'),
    "wait or tell": saga(f'{STEP} wait word: Word within 1h else escalate "team"'),
    "sleep": saga(f'{STEP} sleep 1h step y = S.do("b")'),
    "poll": saga(f'{STEP} poll p = After.ask("a") until p.yes every 1m within 1h else abort Late'),
    "ask first": saga(
        'step c = After.ask("a") if c.yes { step x = S.do("a") } else { step y = S.do("b") }'
    ),
    "choose": saga('step c = After.choose("a") if c.yes { abort Gone } step S.do("b")'),
    "condition": saga(
        'if ok { step x = S.do("a") } else { step y = S.do("b") abort Gone }', params="ok: bool"
    ),
    "conditions": saga(
        'if n > 5 { step x = S.do("a") } if n > 5 and c == Colour.Red { abort Gone }',
        params="n: int, c: Colour",
    ),
    "loop": saga("for x in xs { step S.do(x) }", params="xs: list<string>"),
    "loop, two at once": saga("for x in xs, 2 at once { step S.do(x) }", params="xs: list<string>"),
    "loop over two": saga('for x in ["b", "a"] by x { step S.do(x) }'),
    "return": saga(
        f'{STEP} if ok {{ return true }} step y = S.do("b") return false',
        params="ok: bool",
        result="-> bool",
    ),
    "deadline": saga(TWO, head="deadline 1h", policy=ONCE),
    "deadline and the pivot": saga(f"{STEP} {AFTER}", head="deadline 1h"),
    "total": saga(
        STEP, policy="timeout 1s total 3s retry 2 times backoff 1s * 2 up to 5s jitter full"
    ),
    "when compensated": saga(f'{STEP} when compensated {{ step After.tell("b") best effort }}'),
    "child": saga('step Kid = saga Child("a") step y = S.do("b")')
    + "saga Child(a: string) { step S.do(a) }",
    "child of two": saga('step saga Child("a") abort Gone')
    + 'saga Child(a: string) { step x = S.do(a) step y = S.do("b") }',
    "child with the pivot": saga(f'{STEP} pivot step saga Child("a")')
    + f"saga Child(a: string) {{ step c = S.do(a) {AFTER} }}",
}

SAME: Final = 'step one = S.do("a") step two = S.do("a")'
FALLS: Final = 'attempt { step two = S.do("a") step S.do("b") } on No { }'

TWINS: Final[dict[str, str]] = {
    "the same inputs": saga(SAME, BY_INPUTS),
    "the same inputs, then an abort": saga(f"{SAME} abort Gone", BY_INPUTS),
    "the same inputs, not fenced": saga(SAME, BY_INPUTS_OPEN),
    "the same inputs, absent not ok": saga(SAME, BY_INPUTS_STRICT),
    "the same inputs, undo that rejects": saga(
        SAME, contract("keyed compensate undo(a)", f"{UNDO} rejects Gone")
    ),
    "the same inputs, keyed undo": saga(
        f"{SAME} abort Gone", contract("keyed compensate undo(a)", "keyed, absent ok, fences late")
    ),
    "the same inputs before an attempt": saga(f'step one = S.do("a") {FALLS}', BY_INPUTS),
    "the same inputs before an attempt, not fenced": saga(
        f'step one = S.do("a") {FALLS}', BY_INPUTS_OPEN
    ),
    "the same inputs before an attempt, absent not ok": saga(
        f'step one = S.do("a") {FALLS}', BY_INPUTS_STRICT
    ),
    "the same inputs after an attempt": saga(f'{FALLS} step one = S.do("a")', BY_INPUTS),
    "the same inputs after an attempt, not fenced": saga(
        f'{FALLS} step one = S.do("a")', BY_INPUTS_OPEN
    ),
    "the same inputs beside an attempt": saga(
        f'parallel {{ step one = S.do("a") branch {{ {FALLS} }} }}', BY_INPUTS
    ),
    "the same inputs in branches": saga(
        'parallel { step one = S.do("a") step two = S.do("a") } abort Gone', BY_INPUTS
    ),
    "the same inputs beside others": saga(
        'step x = S.do("a") attempt { parallel { step one = S.do("a") step two = S.do("c") }'
        ' step S.do("b") } on No { }',
        BY_INPUTS,
    ),
    "the same inputs in a loop": saga(
        'for x in xs { step S.do("a") } abort Gone', BY_INPUTS, params="xs: list<string>"
    ),
    "the same inputs in a child": saga(
        'step one = S.do("a") attempt { step saga Child("a") step S.do("b") } on No { }', BY_INPUTS
    )
    + "saga Child(a: string) { step S.do(a) }",
    "the same inputs, best effort": saga(f'step one = S.do("a") best effort {FALLS}', BY_INPUTS),
}
"""Several steps that a compensation by inputs cannot tell apart."""


def every() -> dict[str, str]:
    found = {}
    for name, services in CONTRACTS.items():
        for how, (body, options) in BODIES.items():
            found[f"{name}: {how}"] = saga(body, services, **options)
        found[f"{name}: repeated"] = saga(STEP, services, policy=ONCE)
        found[f"{name}: undo repeated"] = saga(f"{STEP} abort Gone", services, back=ONCE)
    return {**found, **SHAPES, **TWINS}
