"""Entries as a durable engine keeps them: what is read back is what was written, exactly."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from compile import twin
from compile.test_corpus_runs import SAGAS, invented_input
from compile.test_examples_run import EXAMPLES, ORDER_INPUT, fault, faults, shop_input
from compile.test_random_sagas import protected, world_of
from hypothesis import given, settings
from hypothesis import strategies as st
from interpret import build
from interpret.test_properties import Maker, sequences
from interpret.test_settlement import OPEN, answer, play

from sagalang.interpret import run as interpret
from sagalang.machine.events import (
    Compensated,
    Completed,
    Escalated,
    How,
    OpenItem,
    Place,
    Purpose,
    Timer,
)
from sagalang.machine.frozen import FrozenMap, freeze
from sagalang.machine.outcomes import Failure, NotSent, Ok, Rejected, Unknown
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime import journal as j
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.codec import EncodeError
from sagalang.runtime.data import Members, Secret
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.entry_codec import EntryCodec, EntryError
from sagalang.runtime.entry_kinds import ENDS, ENTRIES, OUTCOMES
from sagalang.runtime.entry_types import ModuleTypes, ProgramTypes, Types
from sagalang.runtime.entry_wire import HELD
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.saga import SagaDefinition, SagaError, Service, command
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.shapes import is_enum, is_record, record_fields
from sagalang.runtime.sqlite.sealing import NoKeyError, Sealing
from sagalang.runtime.values import Values, decode_input
from sagalang.workspace import load

HERE = build.HERE


def module_of(program: p.Program) -> ModuleType:
    """Under a name that no other has: its records look for each other by that name."""
    file, name = twin.one_file(program), f"entry_codec_{len(sys.modules)}"
    module = sys.modules[name] = ModuleType(name)
    exec(compile(file.text, file.path, "exec"), module.__dict__)
    return module


@lru_cache
def made(path: Path) -> tuple[p.Program, ModuleType]:
    program = load(str(path)).program
    return program, module_of(program)


SHOP, SHOP_MODULE = made(EXAMPLES / "shop" / "shop.saga")
ORDER, ORDER_MODULE = made(EXAMPLES / "order" / "order.saga")


class Vault:
    """Seals by keeping the secret itself: nothing of it is in what it gives."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def seal(self, secret: bytes) -> str:
        self.kept.append(secret)
        return f"sealed{len(self.kept) - 1}"

    def unseal(self, sealed: str) -> bytes:
        return self.kept[int(sealed.removeprefix("sealed"))]


def refuse(secret: Any) -> Any:
    raise AssertionError("there is no secret here")


def codec_of(types: Types) -> EntryCodec:
    vault = Vault()
    return EntryCodec(types, vault.seal, vault.unseal)


def exact(value: Any) -> Any:
    """A value with the classes of all its parts, down to the exponents of decimals and the zones
    of times; errors by their fields, for they are equal to nothing but themselves."""
    kind = type(value)
    if isinstance(value, Mapping):
        return [kind.__name__, [(key, exact(item)) for key, item in value.items()]]
    if isinstance(value, tuple | list):
        return [kind.__name__, [exact(item) for item in value]]
    if is_record(kind):
        fields = [(f.attr, exact(getattr(value, f.attr))) for f in record_fields(kind)]
        if isinstance(value, Failure) and not dict(exact_fields(value.value)):
            fields[1] = ("value", None)  # an error without fields
        return [kind, fields]
    if isinstance(value, Enum):
        return [kind, value.name]
    if isinstance(value, datetime):
        return [repr(value.replace(fold=0)), value.utcoffset()]
    return [kind, repr(value)]


def exact_fields(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, 1) for f in record_fields(type(value))] if is_record(type(value)) else []


# --- Values ------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [Decimal(text) for text in ("-0", "2", "2.0", "0E-7", "1E+3", "-0.0", "9" * 40, "1E-9000")]
)
INTS = st.integers() | st.sampled_from([2**63, 2**64, -(2**70)])
ZONES = st.sampled_from(
    [
        UTC,
        timezone(timedelta(hours=2)),
        timezone(-timedelta(hours=3, minutes=30)),
        timezone(timedelta(minutes=53, seconds=28)),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/New_York"),
    ]
)
# ZoneInfo has no offsets at the very ends.
DATETIMES = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES) | st.just(  # noqa: DTZ001
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
)
JSON = st.recursive(
    TEXT | INTS | DECIMALS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
).map(freeze)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTS,
    bool: st.booleans(),
    Decimal: DECIMALS,
    timedelta: st.timedeltas(),
    datetime: DATETIMES,
    UUID: st.uuids(),
    Any: JSON,
    None: st.none(),
    type(None): st.none(),
}


def values_of(type_: Any, depth: int = 2) -> st.SearchStrategy[Any]:
    """Values of a Python type, as machine and transports hold them."""
    if type_ in SCALARS:
        return SCALARS[type_]
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        found = [mark for mark in args[1:] if isinstance(mark, Members)]
        if found:
            return st.sampled_from([name for name, _ in found[0].pairs])
        return values_of(args[0], depth)
    if origin is tuple and depth <= 0:
        return st.just(())
    if origin is tuple:
        return st.lists(values_of(args[0], depth), max_size=2).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, values_of(args[1], depth), max_size=2).map(FrozenMap)
    if is_record(type_):
        fields = {f.attr: values_of(f.type, depth - 1) for f in record_fields(type_)}
        return st.builds(type_, **fields)
    if is_enum(type_):
        return st.sampled_from(list(type_))
    (item,) = (arg for arg in args if arg is not type(None))
    return st.none() if depth <= 0 else st.none() | values_of(item, depth)


def a_field(name: str, type_: t.Type, wire: str = "") -> p.Field:
    return p.Field(name, type_, wire or name, "", HERE)


TREE = t.RecordRef("Tree")
RECORDS = {
    "Tree": p.Record(
        "Tree",
        (
            a_field("class", t.STRING, "the class"),
            a_field("color", t.EnumRef("Color")),
            a_field("pin", t.Secret(t.optional(t.INT))),
            a_field("twig", t.optional(TREE)),
            a_field("twigs", t.ListOf(t.Secret(TREE))),
        ),
        "",
        HERE,
    ),
    "Empty": p.Record("Empty", (), "", HERE),
}
ENUMS = {"Color": p.EnumDecl("Color", (("Red", "R"), ("name", "a name")), "", HERE)}

TYPES: st.SearchStrategy[t.Type] = st.recursive(
    st.sampled_from(
        [*t.PRIMITIVES.values(), t.NULL, t.EnumRef("Color"), TREE, t.RecordRef("Empty")]
    ),
    lambda inner: (
        inner.map(t.ListOf)
        | inner.map(t.MapOf)
        | inner.map(lambda item: t.optional(item))
        | inner.map(t.secret)
        | inner.map(lambda item: t.InlineRecord((("a", item, "wire"), ("_b", t.STRING, "_b"))))
    ),
    max_leaves=4,
)


def program_of(type_: t.Type) -> p.Program:
    """One in which a saga and an operation take and give this type."""
    value = build.param("x", type_)
    operation = build.operation("S.op", [value, value], result=type_, rejects=["Bad"])
    taking = dataclasses_replace(build.saga(build.step("S.op")), params=(value,), result=type_)
    made_ = build.program(taking, operations=[operation])
    bad = p.Record("Bad", (a_field("n", t.DECIMAL), a_field("at", t.DATETIME)), "", HERE)
    none = p.Record("No", (), "", HERE)
    return dataclasses_replace(made_, records=RECORDS, enums=ENUMS, errors={"Bad": bad, "No": none})


def dataclasses_replace(value: Any, **changes: Any) -> Any:
    from msgspec.structs import replace

    return replace(value, **changes)


class Color(StrEnum):
    RED = "R"
    name_ = "a name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    class_: str = field(metadata={"wire": "the class"})
    color: Color
    pin: Secret[int | None] = field(default=None, repr=False)
    more: Leaf | None = None
    all: tuple[Secret[Leaf], ...]
    named: Mapping[str, tuple[Secret[Decimal], ...]]
    json: Any
    when: datetime
    spans: tuple[timedelta, ...]
    ids: tuple[UUID | None, ...]


@dataclass(eq=False, kw_only=True)
class Bad(SagaError):  # noqa: N818
    n: Decimal
    at: datetime


@dataclass(eq=False, kw_only=True)
class No(SagaError):  # noqa: N818
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    __event_name__ = "Go"
    n: int


class Port:
    @command("S.op", rejects={Bad: 400, No: 409})
    async def op(self, x: Leaf, other: Leaf) -> Leaf:
        raise NotImplementedError


async def saga_body(saga: Any, x: Leaf) -> Leaf:
    raise NotImplementedError


MAIN = SagaDefinition("Main", saga_body, errors=(Bad, No))
PORT = Service("S", None, Port)
COMPILED = ModuleTypes.around(MAIN)


def entries_of(types: Types, *kinds: type[j.Entry]) -> st.SearchStrategy[j.Entry]:
    """Entries of these kinds, in which the kind and the error are those of the outcome."""
    path = st.sampled_from(["S.op", "x/y"])
    places = st.builds(Place, path, st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple))
    argument = values_of(types.params("Main")["x"])
    answer_ = values_of(types.contract("S.op").result)
    failures = st.builds(
        Failure, st.just("Bad"), st.none() | values_of(types.error("Bad")), TEXT
    ) | st.builds(Failure, st.sampled_from(["No", "Timeout"]), st.none(), TEXT)
    items = st.builds(
        OpenItem, places, st.sampled_from(Purpose), TEXT, failures, TEXT, st.booleans()
    )
    waits = st.none() | st.integers(0, 2**40)
    outcomes = (
        st.builds(Ok, answer_, st.booleans())
        | st.builds(Rejected, failures, st.booleans())
        | st.builds(NotSent, failures, waits, st.booleans())
        | st.builds(Unknown, failures, waits, st.booleans())
    )
    ends = (
        st.builds(Completed, answer_)
        | st.builds(Compensated, failures)
        | st.builds(Escalated, st.lists(items, max_size=2).map(tuple))
    )
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        str | None: st.none() | TEXT,
        int: st.integers(0, 2**50),
        int | None: waits,
        bool: st.booleans(),
        Place: places,
        Purpose: st.sampled_from(Purpose),
        Timer: st.sampled_from(Timer),
        OpenItem: items,
        Ok | Rejected | NotSent | Unknown: outcomes,
        Completed | Compensated | Escalated: ends,
        tuple[Any, ...]: st.tuples(argument, argument),
    }

    def of(cls: type[j.Entry]) -> st.SearchStrategy[j.Entry]:
        fields = {f.attr: by_type.get(f.type, st.none()) for f in record_fields(cls)}
        fields["saga_id"] = st.just("id-1")
        if "label" in fields:
            fields["label"] = st.just("S.op")
        if cls is j.SagaStarted:
            fields |= {"saga": st.just("Main"), "args": st.fixed_dictionaries({"x": argument})}
        if cls is j.EventAccepted:
            fields |= {"event": st.just("Go"), "value": values_of(types.event("Go"))}
        if cls is j.Settlement and not isinstance(types, ModuleTypes):
            fields |= {"place": st.just(Place("S.op")), "purpose": st.just(Purpose.RESOLVE)}
            fields["value"] = answer_
        return st.builds(cls, **fields).map(consistent)

    return st.sampled_from(kinds).flatmap(of)


def consistent(entry: Any) -> Any:
    if not isinstance(entry, j.OutcomeRecorded | j.SagaFinished):
        return entry
    names = {cls: name for name, cls in {**OUTCOMES, **ENDS}.items()}
    error = getattr(entry.value, "error", None)
    kind = names[type(entry.value)]
    return dataclasses_replace(entry, kind=kind, error=None if error is None else error.name)


def test_all_kinds_of_entries_are_generated() -> None:
    every = [c for c in vars(j).values() if isinstance(c, type) and issubclass(c, j.Entry)]
    concrete = {c for c in every if not any(issubclass(o, c) for o in every if o is not c)}
    assert concrete == set(ENTRIES.values())


CALL: dict[str, Any] = {
    "at": 7,
    "saga_id": "o-1",
    "place": Place("pay"),
    "purpose": Purpose.STEP,
    "label": "S.op",
    "key": "k",
}
WITH_VALUES = list(HELD)
OTHERS = [cls for cls in ENTRIES.values() if cls not in HELD]


@pytest.mark.parametrize("cls", WITH_VALUES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_values_of_any_type(cls: type[j.Entry], data: st.DataObject) -> None:
    program = program_of(data.draw(TYPES))
    types = ProgramTypes(program, Values(program))
    round_trip(codec_of(types), data.draw(entries_of(types, cls)))


@pytest.mark.parametrize("cls", WITH_VALUES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_values_of_a_compiled_module(cls: type[j.Entry], data: st.DataObject) -> None:
    round_trip(codec_of(COMPILED), data.draw(entries_of(COMPILED, cls)))


@pytest.mark.parametrize(
    "outcome",
    [
        Ok(None, True),
        Rejected(Failure("No", None, "why"), True),
        NotSent(Failure("No", None, "why"), 5, False),
        Unknown(Failure("No", None, "why"), 5, False),
    ],
)
def test_nothing_of_an_outcome_is_lost(outcome: Any) -> None:
    entry = j.OutcomeRecorded(**CALL, kind="", error=None, value=outcome, unanswered=9)
    round_trip(codec_of(COMPILED), consistent(entry))


@given(entries_of(COMPILED, *OTHERS))
@settings(max_examples=120, deadline=None)
def test_entries_without_values(entry: j.Entry) -> None:
    round_trip(codec_of(COMPILED), entry)


def round_trip(codec: EntryCodec, entry: j.Entry, saga: str = "Main") -> bytes:
    written = codec.encode(saga, entry)
    found = codec.decode(saga, entry.saga_id, written)
    assert exact(found) == exact(entry)
    return written


# --- Runs --------------------------------------------------------------------------------------


class Journals:
    """Two runs of one saga, interpreted and then compiled, as their engines recorded them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.engines: list[MemoryEngine] = []
        begin = MemoryEngine.__init__

        def seen(engine: MemoryEngine, *args: Any, **options: Any) -> None:
            begin(engine, *args, **options)
            self.engines.append(engine)

        patch.setattr(MemoryEngine, "__init__", seen)

    def check(self, program: p.Program, values: Values, definition: Any) -> int:
        """Each entry is read back, and both write the same; the number of entries."""
        one, other = (engine.journal for engine in self.engines)
        interpreted = written(ProgramTypes(program, values), one)
        assert interpreted == written(ModuleTypes.around(definition), other)
        self.engines.clear()
        return len(one)


def written(types: Types, journal: Sequence[j.Entry]) -> list[bytes]:
    """In an order of their own: what ends at one moment may come in any."""
    codec, sagas = EntryCodec(types, lambda b: base64.b85encode(b).decode(), base64.b85decode), {}
    found = []
    for entry in journal:
        if isinstance(entry, j.SagaStarted):
            sagas[entry.saga_id] = entry.saga
        elif isinstance(entry, j.ChildStarted):  # it may be cancelled before it begins
            sagas[entry.child_id] = entry.saga
        found.append(round_trip(codec, entry, sagas[entry.saga_id]))
    return sorted(found)


@pytest.fixture
def journals() -> Iterator[Journals]:
    with pytest.MonkeyPatch.context() as patch:
        yield Journals(patch)


def run_twice(
    journals: Journals, program: p.Program, module: ModuleType, text: str, **more: Any
) -> int:
    values: list[Values] = []
    planned: Callable[[Values], Any] = more.pop("faults", lambda _: ())

    def capture(made_: Values) -> Any:
        values.append(made_)
        return planned(made_)

    twin.run_both(program, text, module=module, faults=capture, **more)
    name = more.get("saga") or next(iter(program.sagas))
    return journals.check(program, values[0], definition_of(module, name))


def definition_of(module: ModuleType, name: str) -> SagaDefinition[..., Any]:
    every = [d for d in vars(module).values() if isinstance(d, SagaDefinition)]
    return next(d for d in every if d.name == name)


@pytest.mark.parametrize("path", SAGAS, ids=lambda path: path.stem)
def test_every_run_of_the_corpora(path: Path, journals: Journals) -> None:
    program, module = made(path)
    for seed in range(4):
        chance = Random(seed)
        planned = misfortunes(program, chance) if seed else []
        for name, saga in program.sagas.items():
            if saga.id is None:
                continue  # another calls it
            text = invented_input(program, saga, seed)
            cancel = chance.choice([None, None, chance.randrange(100)])
            plan = faults(*planned)
            more = {"saga": name, "seed": seed, "cancel_after": cancel, "faults": plan}
            run_twice(journals, program, module, text, **more)


def misfortunes(program: p.Program, chance: Random) -> list[Any]:
    operations = [o for s in program.services.values() for o in s.operations.values()]
    found = []
    for operation in chance.sample(operations, min(3, len(operations))):
        if operation.rejects:
            error = chance.choice(operation.rejects).error
            found.append(fault("rejects", operation.label, error=error, remaining=2))
        kind = chance.choice(["times out after effect", "unavailable", "times out before effect"])
        found.append(fault(kind, operation.label, remaining=chance.choice([1, 30])))
    return found


def test_the_runs_of_the_shop(journals: Journals) -> None:
    for operation in [o for s in SHOP.services.values() for o in s.operations.values()]:
        for rejection in operation.rejects:
            planned = faults(fault("rejects", operation.label, error=rejection.error))
            run_twice(journals, SHOP, SHOP_MODULE, shop_input(), faults=planned)
        planned = faults(fault("unavailable", operation.label, remaining=30))
        assert run_twice(journals, SHOP, SHOP_MODULE, shop_input(), faults=planned) > 5


@given(st.integers(0, 2**32), sequences, st.none() | st.integers(0, 3_000))
@settings(max_examples=15, deadline=None)
def test_random_sagas(seed: int, shapes: Any, cancel_after: int | None) -> None:
    statements = Maker().sequence(shapes)[0]
    plain = build.program(build.saga(*statements))
    program = protected(
        dataclasses_replace(plain, errors={"No": p.Record("No", (), "", HERE)}), seed
    )
    module, values = module_of(program), Values(program)

    def engine(clock: SimulatedClock) -> MemoryEngine:
        world = world_of(seed)
        world.clock = clock
        found = MemoryEngine(clock, world, Random(seed).random)
        world.crash = lambda: found.crash("id-1")
        return found

    async def interpreted(clock: SimulatedClock) -> Any:
        return await interpret.run(
            program, "Main", {}, engine=engine(clock), cancel_after=cancel_after, values=values
        )

    async def generated(clock: SimulatedClock) -> Any:
        made_ = module.MAIN()
        return await compiled.run(made_, engine=engine(clock), cancel_after=cancel_after)

    one = written(ProgramTypes(program, values), simulated(interpreted).journal)
    assert one == written(ModuleTypes.around(module.MAIN), simulated(generated).journal)


def test_a_run_that_a_person_settled() -> None:
    down = {"S.do(b)": [build.lost_before]}
    result, _, _ = play(OPEN, down, answer(How.DONE, "by hand"))
    settled = [entry for entry in result.journal if isinstance(entry, j.Settlement)]
    assert settled[0].value == "by hand"
    values = Values(OPEN)
    assert written(ProgramTypes(OPEN, values), result.journal)


# --- Secrets -----------------------------------------------------------------------------------

CARD = "4242 4242 4242 4242"


def forms(secret: str) -> list[bytes]:
    """A secret as it could be found: itself, in base64 at any place of a longer text, in hex."""
    raw = secret.encode()
    inside = [base64.b64encode(b"x" * n + raw)[4 * (n > 0) :][:-4] for n in range(3)]
    urlsafe = [base64.urlsafe_b64encode(b"x" * n + raw)[4:][:-4] for n in range(3)]
    escaped = json.dumps(secret)[1:-1].encode()
    return [
        raw,
        escaped,
        *inside,
        *urlsafe,
        raw.hex().encode(),
        raw[::-1],
        base64.b32encode(raw)[:16],
    ]


def shop_run(journals: Journals, card: str) -> tuple[Values, list[j.Entry]]:
    values: list[Values] = []
    text = shop_input().replace('"tok"', json.dumps(card))
    planned = faults(fault("rejects", "Payment.authorize", error="Declined"))

    def capture(made_: Values) -> Any:
        values.append(made_)
        return planned(made_)

    twin.run_both(SHOP, text, module=SHOP_MODULE, faults=capture)
    return values[0], [entry for engine in journals.engines for entry in engine.journal]


def test_no_secret_is_in_the_bytes_of_a_run(journals: Journals) -> None:
    values, _ = shop_run(journals, CARD)
    one, other = (engine.journal for engine in journals.engines)
    for types, journal in (
        (ProgramTypes(SHOP, values), one),
        (ModuleTypes.around(definition_of(SHOP_MODULE, "PlaceOrder")), other),
    ):
        vault = Vault()
        codec = EntryCodec(types, vault.seal, vault.unseal)
        data = b"\n".join(codec.encode("PlaceOrder", entry) for entry in journal)
        assert [form for form in forms(CARD) if form in data] == []
        assert vault.kept == [json.dumps(CARD).encode()] * 2  # in the input, and in one call
        assert b'"address":"Main St 1","card":"sealed0"' in data
        assert any(form in b"before " + CARD.encode() for form in forms(CARD))


def test_secrets_are_sealed_wherever_they_lie() -> None:
    secret = t.Secret(t.STRING)
    inline = t.InlineRecord((("open", t.STRING, "open"), ("hidden", secret, "hidden")))
    every = t.InlineRecord(
        (
            ("list", t.ListOf(secret), "list"),
            ("map", t.MapOf(t.ListOf(inline)), "map"),
            ("whole", t.Secret(inline), "whole"),
            ("json", t.Secret(t.JSON), "json"),
            ("none", t.Secret(t.optional(t.STRING)), "none"),
            ("nones", t.ListOf(t.Secret(t.optional(t.STRING))), "nones"),
        )
    )
    program = program_of(every)
    values = Values(program)
    inner = values.make(inline, {"open": "seen", "hidden": CARD})
    value = values.make(
        every,
        {
            "list": (CARD, CARD),
            "map": FrozenMap({"k": (inner,)}),
            "whole": inner,
            "json": FrozenMap({"card": CARD}),
            "none": None,
            "nones": (None,),
        },
    )
    vault = Vault()
    codec = EntryCodec(ProgramTypes(program, values), vault.seal, vault.unseal)
    data = round_trip(codec, j.SagaStarted(at=1, saga_id="i", saga="Main", args={"x": value}))
    assert [form for form in forms(CARD) if form in data] == []
    assert json.loads(data)["args"]["x"] == {
        "list": ["sealed0", "sealed1"],
        "map": {"k": [{"open": "seen", "hidden": "sealed2"}]},
        "whole": "sealed3",
        "json": "sealed4",
        "nones": [None],
    }
    assert b"seen" in vault.kept[3]


def test_without_secrets_no_key_is_asked_for(journals: Journals) -> None:
    twin.run_both(ORDER, ORDER_INPUT, module=ORDER_MODULE)
    types = ModuleTypes.around(definition_of(ORDER_MODULE, "PlaceOrder"))
    codec = EntryCodec(types, refuse, refuse)
    for entry in journals.engines[1].journal:
        round_trip(codec, entry, "PlaceOrder")


def test_with_the_sealing_of_the_journal(journals: Journals, tmp_path: Path) -> None:
    values, entries = shop_run(journals, CARD)
    sealing = Sealing(tmp_path / "journal.db", {})
    types = ProgramTypes(SHOP, values)
    codec = EntryCodec(types, sealing.seal, sealing.open)
    data = codec.encode("PlaceOrder", entries[0])
    assert [form for form in forms(CARD) if form in data] == []
    again = Sealing(tmp_path / "journal.db", {})
    found = EntryCodec(types, again.seal, again.open).decode("PlaceOrder", "o-1", data)
    assert found == entries[0]
    without = Sealing(tmp_path / "other.db", {})
    with pytest.raises(NoKeyError):
        EntryCodec(types, refuse, without.open).decode("PlaceOrder", "o-1", data)


# --- The format --------------------------------------------------------------------------------


def simple() -> EntryCodec:
    program = program_of(t.DECIMAL)
    return EntryCodec(ProgramTypes(program, Values(program)), refuse, refuse)


PLACE = Place("pay", (("for", "a"),))
SAMPLES: list[tuple[j.Entry, str]] = [
    (
        j.Intent(**CALL, args=(Decimal("1.50"), None)),
        '{"is":"intent","t":7,"p":"pay","call":"S.op","key":"k","args":["1.50",null]}',
    ),
    (
        j.AttemptStarted(**{**CALL, "place": PLACE, "purpose": Purpose.POLL}, number=2, attempt=3),
        '{"is":"attempt started","t":7,"p":"pay","call":"S.op","try":3,'
        '"l":[["for","a"]],"for":"poll","key":"k","n":2}',
    ),
    (
        j.OutcomeRecorded(
            **CALL,
            kind="rejected",
            error="No",
            value=Rejected(Failure("No", None, "S.op answered 409")),
            unanswered=None,
        ),
        '{"is":"outcome","t":7,"p":"pay","call":"S.op","kind":"rejected","key":"k","error":"No",'
        '"detail":"S.op answered 409"}',
    ),
    (
        j.SagaFinished(
            at=9, saga_id="o-1", kind="completed", error=None, value=Completed(Decimal(2))
        ),
        '{"is":"saga finished","t":9,"kind":"completed","value":"2"}',
    ),
]


@pytest.mark.parametrize(("entry", "text"), SAMPLES)
def test_the_format_does_not_change_unnoticed(entry: j.Entry, text: str) -> None:
    assert simple().encode("Main", entry).decode() == text
    assert simple().decode("Main", "o-1", text.encode()) == entry


def test_fields_and_members_stand_under_their_names_in_the_language() -> None:
    """Not those on the wire, nor Python's: interpreted runs know only these."""
    leaf = Leaf(
        class_="c",
        color=Color.name_,
        all=(),
        named=FrozenMap(),
        json=Decimal(2),
        when=datetime(2030, 1, 31, tzinfo=UTC),
        spans=(timedelta(minutes=1),),
        ids=(None,),
    )
    assert codec_of(COMPILED).encode_args("Main", {"x": leaf}).decode() == (
        '{"x":{"class":"c","color":"name","all":[],"named":{},"json":2e0,'
        '"when":"2030-01-31T00:00:00+00:00","spans":["PT60S"],"ids":[null]}}'
    )


def test_fields_of_a_later_version_are_ignored() -> None:
    for entry, text in SAMPLES:
        later = {**json.loads(text), "colour": {"deep": [1.5, None]}}
        assert simple().decode("Main", "o-1", json.dumps(later).encode()) == entry


def test_a_kind_of_a_later_version_is_named() -> None:
    with pytest.raises(EntryError, match="a kind that this sagalang does not know: 'hoped'") as e:
        simple().decode("Main", "o-1", b'{"is":"hoped","t":1}')
    assert "version" in str(e.value.advice)


def test_what_the_definition_does_not_have_is_told() -> None:
    for name, value in (("call", "S.other"), ("saga", "Other"), ("event", "Gone")):
        texts = {
            "call": SAMPLES[0][1],
            "saga": '{"is":"saga started","t":1,"saga":"Main","args":{}}',
            "event": '{"is":"event","t":1,"event":"Go","id":"e","value":{"n":1}}',
        }
        other = json.dumps({**json.loads(texts[name]), name: value}).encode()
        with pytest.raises(EntryError, match="definition") as told:
            simple().decode("Main", "o-1", other)
        assert told.value.__context__ is None


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_are_an_entry_error(sample: tuple[j.Entry, str], data: st.DataObject) -> None:
    raw = bytearray(sample[1].encode())
    match data.draw(st.sampled_from(["cut", "flip", "swap", "noise"])):
        case "cut":
            raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
        case "flip":
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "swap":
            fields = json.loads(raw)
            name = data.draw(st.sampled_from(sorted(fields)))
            fields[name] = data.draw(st.sampled_from([None, [], {}, "", 1, 1.5, [[1]], "9e99"]))
            raw = bytearray(json.dumps(fields).encode())
        case _:
            raw = bytearray(data.draw(st.binary(max_size=40)))
    try:
        found = simple().decode("Main", "o-1", bytes(raw))
    except EntryError:
        return
    assert isinstance(found, j.Entry)
    simple().encode("Main", found)


@pytest.mark.parametrize("data", [b"", b"null", b"[" * 200_000, b'{"is":1}', b"\xff\xfe"])
def test_what_is_no_entry_at_all(data: bytes) -> None:
    with pytest.raises(EntryError, match="damaged") as told:
        simple().decode("Main", "o-1", data)
    assert told.value.advice
    assert told.value.__context__ is None


def test_a_value_of_another_type_is_refused_without_being_quoted() -> None:
    codec = codec_of(ModuleTypes.around(definition_of(SHOP_MODULE, "PlaceOrder")))
    for args in ({"order": CARD}, {"card": CARD}):
        entry = j.SagaStarted(at=1, saga_id="i", saga="PlaceOrder", args=args)
        with pytest.raises(EncodeError) as told:
            codec.encode("PlaceOrder", entry)
        assert CARD not in str(told.value)
        assert told.value.__context__ is None
    half = j.Alerted(at=1, saga_id="i", error="\ud800", text="")
    with pytest.raises(EncodeError, match="surrogate"):
        codec.encode("PlaceOrder", half)


# --- The input of a run ------------------------------------------------------------------------

VALUES_SAGA = Path(twin.__file__).parent / "sagas" / "values.saga"
INPUT: dict[str, Any] = {
    "text": "a",
    "i": 3,
    "d": 1.5,
    "b": True,
    "when": "2030-01-31T12:00:00Z",
    "u": "00000000-0000-0000-0000-000000000001",
    "j": {"a": [1, 2.5, None], "b": "x"},
    "m": {"one": 1, "two": 2},
    "l": [[1], []],
    "span": "PT90M",
    "k": CARD,
}


def inputs(**changes: Any) -> Iterator[tuple[RunInput, EntryCodec, dict[str, Any]]]:
    """The same input, interpreted and compiled."""
    program, module = made(VALUES_SAGA)
    text = json.dumps({"all": {**INPUT, **changes}})
    values, main = Values(program), definition_of(module, "Main")
    for types, args in (
        (ProgramTypes(program, values), decode_input(values, program.sagas["Main"], text)),
        (ModuleTypes.around(main), decode_arguments(main, text).recorded),
    ):
        yield RunInput(types), codec_of(types), args


def fingerprints(**changes: Any) -> set[str]:
    return {compare.fingerprint("Main", args) for compare, _, args in inputs(**changes)}


SAME: list[dict[str, Any]] = [
    {},
    {"d": 1.50},
    {"when": "2030-01-31T14:00:00+02:00"},
    {"m": {"two": 2.0, "one": 1}},
    {"j": {"b": "x", "a": [1.0, 2.50, None]}},
    {"span": "PT1H30M"},
    {"o": None},
    {"k": "another"},
]


@pytest.mark.parametrize("changes", SAME)
def test_equal_inputs_have_one_fingerprint_everywhere(changes: dict[str, Any]) -> None:
    # Written down, for it must be the same in any process and any version.
    assert fingerprints(**changes) == {
        "b6f221ee303b1dbc46b580745b3165a52cfdeb43f6e150a4a6d528d60f802750"
    }


OTHER: list[dict[str, Any]] = [
    {"d": 1.51},
    {"i": 4},
    {"b": False},
    {"when": "2030-01-31T12:00:01Z"},
    {"m": {"one": 1}},
    {"m": {"two": 1, "one": 2}},
    {"j": {"a": [1, 2.5, None], "b": "y"}},
    {"j": {"a": ["1", 2.5, None], "b": "x"}},
    {"l": [[], [1]]},
    {"l": [[1]]},
    {"o": "x"},
    {"span": "PT89M"},
    {"text": "b"},
]


def test_other_inputs_have_other_fingerprints() -> None:
    every = [fingerprints(**changes) for changes in [{}, *OTHER]]
    assert [len(found) for found in every] == [1] * len(every)
    assert len(set[str]().union(*every)) == len(every)


def test_a_fingerprint_tells_nothing_of_a_secret_and_same_compares_it() -> None:
    for (compare, codec, args), (_, _, other) in zip(inputs(), inputs(k="4"), strict=True):
        assert compare.has_secrets("Main")
        assert compare.fingerprint("Main", args) == compare.fingerprint("Main", other)
        kept = codec.decode_args("Main", codec.encode_args("Main", args))
        assert exact(kept) == exact(dict(args))
        assert compare.same("Main", kept, args)
        assert not compare.same("Main", kept, other)


def test_what_is_compared_without_a_key() -> None:
    types = ModuleTypes.around(definition_of(ORDER_MODULE, "PlaceOrder"))
    assert not RunInput(types).has_secrets("PlaceOrder")
    with pytest.raises(EntryError, match="damaged"):
        EntryCodec(types, refuse, refuse).decode_args("PlaceOrder", b'{"order": 1}')


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_input_of_any_type(data: st.DataObject) -> None:
    program = program_of(data.draw(TYPES))
    types = ProgramTypes(program, Values(program))
    args = {"x": data.draw(values_of(types.params("Main")["x"]))}
    codec, compare = codec_of(types), RunInput(types)
    kept = codec.decode_args("Main", codec.encode_args("Main", args))
    assert exact(kept) == exact(args)
    assert compare.same("Main", kept, args)
    assert compare.fingerprint("Main", kept) == compare.fingerprint("Main", args)
