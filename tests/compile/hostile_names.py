"""Random programs whose names are at war with Python, with the generated module, and each other.

One template uses every construct that has a name; each name is drawn from a few words, so that
things of different kinds are called alike, or differ in nothing but their case.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final

WORDS: Final = {
    "keywords": "class def None True False lambda import from global nonlocal yield async await "
    "is pass with del raise try match case _ type",
    "builtins": "list str id print int tuple dict bool len sum max min object set range super "
    "property staticmethod repr hash iter next zip filter map ValueError Exception format",
    "dunders": "__init__ __class__ __doc__ __slots__ __name__ __dict__ __post_init__ __hash__ "
    "__call__ __private _ __ ___ mro name value args add_note with_traceback lower title",
    "imports": "Saga Call Decimal timedelta datetime UUID Any Mapping StrEnum dataclass field "
    "replace sys annotations run_main main SagaError SagaDefinition Service Policy Retry param "
    "command query rejects route item text exactly value_or divide largest smallest rounded "
    "make_map to_json error_name ErrorName Escalate python http Header Timeout "
    "BadValue Cancelled DEFAULT RELENTLESS Promises sagalang",
    "helpers": "SERVICES FAKES saga self cls key each caught caught_2 error result rows undo value "
    "entry names made answer ran as_price as_value every_item each_item branch test_one pytest "
    "Fakes undoes when send ALWAYS SagaText item_list item_identity word_is_wanted _list",
    "cases": "Order order ORDER oRDER order_ Order_ place_order PlaceOrder PLACE_ORDER placeOrder "
    "PriceResult price_result Order_2 order_2 l O I",
    "scripts": "größe Größe GRÖSSE grösse ﬁ fi ﬁeld straße ſ ℌ H ª ² x² 가 가 İ i ı 注文 заказ "
    "order_ub2_ _ub2_ µ μ ℃ 𝐱 x",
}


class Namer:
    """Draws names. `top` is never used twice in a program; the others are unique in their place."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        kinds = chance.sample(sorted(WORDS), 2)
        pool = [word for kind in kinds for word in WORDS[kind].split()]
        self.pool = chance.sample(pool, min(len(pool), 24))
        self._declared: set[str] = set()

    def top(self) -> str:
        """The name of a declaration."""
        return self.unlike(self._declared)

    def unlike(self, taken: set[str]) -> str:
        """A name that is not taken yet; from now on it is."""
        for _ in range(50):
            name = self.chance.choice(self.pool)
            if self.chance.random() < 0.3:
                name = self.chance.choice([name.upper(), name.lower(), name.title(), name + "_"])
            if name not in taken and name not in RESERVED and is_name(name):
                break
        else:
            name = f"n{len(taken)}"
        taken.add(name)
        return name

    def several(self, count: int) -> list[str]:
        taken: set[str] = set()
        return [self.unlike(taken) for _ in range(count)]


_OF_THE_LANGUAGE: Final = (
    "string int decimal bool duration datetime uuid json key list map null true false not and or "
    "if then else in for len sum min max contains lower upper round now race emit match while lock "
    "touches choreograph over secret step saga result BadValue Cancelled Timeout"
)
RESERVED: Final = frozenset(_OF_THE_LANGUAGE.split())
"""Words that mean something to the language where a name could stand."""


def is_name(text: str) -> bool:
    return re.fullmatch(r"[^\W\d]\w*", text) is not None


def text(seed: int) -> str:
    """A program of hostile names; the same seed gives the same one. Not every one is accepted:
    some words mean something to the language where they came to stand."""
    draw = Namer(Random(seed))
    item, wide, enum, event, full, gone, policy, rate, sample, other = (
        draw.top() for _ in range(10)
    )
    service, main, child = draw.top(), draw.top(), draw.top()
    put, find, drop, ping, quote, tell = draw.several(6)
    a, b, c, d = draw.several(4)
    e, f, g, h, i, j, k = draw.several(7)
    red, blue = draw.several(2)
    at, who = draw.several(2)
    left, size = draw.several(2)
    slot, price = draw.several(2)
    p1, p2, p3 = draw.several(3)
    q1 = draw.several(1)[0]
    taken = {rate, enum, full, item, sample, other}
    basket, n, m = (draw.unlike(taken) for _ in range(3))
    got, y, z, v, w, s1, s2, s3, sums, once, pairs = (draw.unlike(taken) for _ in range(11))
    loop, loop2, loop3, x, x2, caught, caught2, ask, came = (draw.unlike(taken) for _ in range(9))
    return f"""
record {item} {{ {a}: string, {b}: int, {c}: decimal?, {d}: secret string }}
record {wide} {{
  {e}: list<{item}>, {f}: map<decimal>, {g}: string? as "g-g", {h}: {enum}, {i}: {item}?,
  {j}: list<list<int>>, {k}: datetime?
}}
enum {enum} {{ {red} as "r", {blue} }}
error {full} {{ {left}: int, {size}: {enum} }}
error {gone}
event {event} {{ {at}: string, {who}: {enum} }}
policy {policy} {{ timeout 1s  retry 2 times backoff 1s * 2 up to 10s jitter full }}
let {rate} = 1.5 + 2
let {sample} = {item}({a}: "a", {b}: 1, {d}: "secret")
let {other} = [{{ {a}: "b", {b}: 2, {c}: 7, {d}: "s" }}]

service {service} {{
  with {policy}
  command {put}({p1}: {wide}, {p2}: {enum}, {p3}: string?) -> {{ {slot}: string, {price}: decimal }}
    keyed
    rejects {full}
    probe {find}({p2}, key)
    lands within 1m
    compensate {drop}(result.{slot})
  query {find}({p2}: {enum}, {p1}: key) -> {{ {slot}: string, {price}: decimal }}?
  command {drop}({q1}: string) idempotent, absent ok, fences late
  command {ping}({p1}: int) keyed rejects {gone} compensate {tell}(key)
  command {tell}({p2}: key) idempotent, absent ok, fences late
  query {quote}({p3}: list<{item}>) -> {{ {a}: string, {b}: int, {c}: int, {d}: string }}
}}

saga {child}({n}: {wide}, {m}: int) -> string {{
  step {got} = {service}.{put}({n}, {n}.{h}, null)
  return {got}.{slot}
}}

saga {main}({basket}: {wide}, {n}: int, {m}: {item}) -> {item} {{
  id "p-${{{n}}}"
  step {got} = {service}.{put}({basket}, {enum}.{red}, {basket}.{g})
  let {y} = [{x}.{a} for {x} in {basket}.{e} if {x}.{b} > 0 or {x}.{a} != {got}.{slot}]
  let {z} = [{x}[0] ?? {n} for {x} in {basket}.{j}]
  let {sums} = sum([{x}.{c} ?? {rate} for {x} in {basket}.{e}]) + {got}.{price} / 2
  step {s1} = {service}.{quote}([{{ {a}: "q", {b}: {n}, {c}: 2, {d}: "x" }}])
  parallel {{
    step {s2} = saga {child}({basket}, 1)
    branch {{
      step {service}.{ping}({n})
      let {once} = "${{{n}}} ${{{enum}.{blue}}} ${{{basket}.{h}}}"
      let {pairs} = {got}.{slot}
    }}
    for {loop} in {basket}.{e} by {loop}.{a}, 2 at once {{
      step {s3} = {service}.{ping}({loop}.{b}) compensate {service}.{tell}(key)
      let {v} = {loop}.{a}
      let {w} = {loop}.{b} + {n}
    }}
  }}
  for {loop2} in {basket}.{e} {{
    step {loop3} = {service}.{put}(
      {basket} with {{ {i}: {loop2}, {g}: {v}[0] }}, {basket}.{h}, null
    )
  }}
  attempt {{
    step {service}.{ping}({n} + len({w}) + len({loop3}))
    step {service}.{put}({basket}, {enum}.{blue}, {y}[0] ?? {s2})
    if {n} > 1000 {{ abort {full}({left}: 1, {size}: {enum}.{red}) }}
  }} on {full} as {caught} {{
    if {caught}.{size} == {enum}.{red} {{
      abort {full}({left}: {caught}.{left}, {size}: {caught}.{size})
    }}
    attempt {{
      step {service}.{put}({basket}, {caught}.{size}, {once})
    }} on {full}, Timeout as {caught2} {{
      step {service}.{put}({basket}, {caught}.{size}, "${{{caught}.{left}}} ${{{caught2}.name}}")
        compensate {service}.{drop}("${{{caught2}.name}} ${{{caught}.{left}}}")
      if {n} > 1000 {{ abort {gone} }}
    }}
  }} on {gone}, Timeout as {caught2} {{
    step {service}.{ping}(1) compensate {service}.{tell}(key)
    step {service}.{drop}({caught2}.name) compensate none "why"
  }}
  wait {came}: {event} where {came}.{at} == {pairs} or {came}.{who} == {basket}.{h}
    within 1h else null
  poll {ask} = {service}.{quote}({basket}.{e})
    until {ask}.{b} >= 0 and {ask}.{a} != {got}.{slot} every 1m within 1h else abort {gone}
  step {service}.{ping}({basket}.{j}[0][0]) best effort
  let {x2} = if {came} == null then {sums} else {rate}
  if ({z}[0] ?? 0) == 99 {{ return {m} }}
  return {{ {a}: {once} , {b}: {s1}.{b}, {c}: {x2}, {d}: {m}.{d} }}
  when compensated as {caught} {{
    step {service}.{drop}("${{{caught}.name}} ${{{n}}}") best effort
  }}
}}

scenario "{main} {item}" of {main}(
  {wide}({e}: [{sample}], {f}: {{ {a}: 1, b: 2 }}, {h}: {enum}.{red}, {j}: [[1]]), 1, {sample}
) {{
  when {service}.{put} rejects {full}({left}: 1, {size}: {enum}.{blue})
  when {service}.{ping}(1) times out after effect
  send {event}({at}: "x", {who}: {enum}.{red}) after 1m
  expect {service}.{ping} 0 times
}}
scenario "{service}" of {child}(
  {wide}({e}: [{sample}], {f}: {{ }}, {h}: {enum}.{red}, {j}: [[1]]), 1
) {{
  expect completed
  expect nothing left
}}
"""
