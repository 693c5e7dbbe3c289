"""Scenarios as pytest functions that run the compiled module on fakes; it needs no parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sagalang.compile import naming, reads
from sagalang.compile.context import CannotCompile, Module
from sagalang.compile.expressions import Env, render_for
from sagalang.compile.fake_views import fakes
from sagalang.compile.imports import imports_of_tests
from sagalang.compile.layout import (
    Bracket,
    Doc,
    Prefix,
    Text,
    call,
    docstring,
    statement,
)
from sagalang.compile.literals import milliseconds, string
from sagalang.compile.package import names_read
from sagalang.compile.scenario_views import TestsView, TestView
from sagalang.compile.steps import error_class
from sagalang.compile.views import borrow_all
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.expressions import may_fail

_TESTING: Final = "sagalang.runtime.saga_testing"
_LONGEST: Final = 80
"""Of a test's name; the line around it must fit as well."""


@dataclass(slots=True)
class Tools:
    """Names that the tests import, under names that the module's own things leave free."""

    module: Module
    used: dict[str, str] = field(default_factory=dict)

    def use(self, name: str) -> str:
        if name not in self.used:
            self.used[name] = self.module.taken.claim(name)
        return self.used[name]


def tests_view(modules: tuple[Module, ...]) -> TestsView:
    """The tests of the program's scenarios, which run on its modules, the main one last."""
    main = modules[-1]
    program = main.program
    nothing = p.Program(program.main, {})
    module = Module(program, nothing, (*main.path[:-1], f"test_{main.path[-1]}"), modules)
    module.borrow(main, "SERVICES")
    for other in modules:
        borrow_all(module, other)
    tools = Tools(module)
    names = _Names(module.taken.claim("FAKES"), module.taken.claim("ran"))
    made_fakes = fakes(module, tools.use, names.fakes)
    tests = tuple(_test(module, tools, names, scenario) for scenario in program.scenarios)
    helpers = tuple(module.helper_texts)
    texts = [made_fakes, *helpers, *(_body(test) for test in tests)]
    read = names_read("\n".join(texts))
    # A test that turned out to be one to skip may have asked for more.
    module.imports &= read
    tools.used = {wanted: claimed for wanted, claimed in tools.used.items() if claimed in read}
    return TestsView(
        docstring(f"The scenarios of {_base(program)}, run on fakes in simulated time.", 0),
        imports_of_tests(module, read, tools.used, any(test.skip for test in tests)),
        made_fakes,
        helpers,
        tests,
    )


@dataclass(frozen=True, slots=True)
class _Names:
    fakes: str
    ran: str


def _base(program: p.Program) -> str:
    return program.main.replace("\\", "/").rsplit("/", 1)[-1] or "standard input"


# --- One scenario ------------------------------------------------------------------------------


def _test(module: Module, tools: Tools, names: _Names, scenario: p.Scenario) -> TestView:
    wanted = naming.snake(scenario.title)[:_LONGEST].strip("_")
    name = module.taken.claim(f"test_{wanted}")
    answers = len(module.inline)
    doc = docstring(f"{scenario.title}\n\n{scenario.doc}".strip(), 4)
    where = module.where(scenario.span)
    try:
        if not scenario.expects:
            raise CannotCompile(scenario.span, "it expects nothing, so it proves nothing")
        lines = [*_run(module, tools, names, scenario)]
        for expect in scenario.expects:
            lines += _expect(module, names.ran, expect, scenario)
        if len(module.inline) > answers:
            raise CannotCompile(scenario.span, "it has a record that the module has no class for")
    except CannotCompile as found:
        why = f"{found.what} ({module.where(found.span)})"
        return TestView(name, doc, where, string(why), ())
    return TestView(name, doc, where, "", tuple(lines))


def _known(module: Module, expr: p.Expr, what: str, type_: t.Type, home: Module) -> Doc:
    """An expression of constants, as a value of what `home` declares."""
    if may_fail(expr):
        raise CannotCompile(expr.span, f"{what} may have no value")
    doc = render_for(home, module, expr, type_, Env({}))
    if reads.mentions(expr, (p.Binary, p.Apply)):
        return call(module.use("exactly"), Prefix("lambda: ", doc))
    return doc


def _run(module: Module, tools: Tools, names: _Names, scenario: p.Scenario) -> list[str]:
    saga = module.program.sagas[scenario.saga]
    home = module.declaring("definition", scenario.saga)
    args = [
        _known(module, arg, "an argument of the saga", param.type, home)
        for arg, param in zip(scenario.args, saga.params, strict=False)
    ]
    parts: list[Doc] = [call(module.name("definition", scenario.saga), *args)]
    parts += [_fault(module, tools, fault) for fault in scenario.faults]
    if scenario.sends:
        sends = [_send(module, tools, found) for found in scenario.sends]
        parts.append(Prefix("sends=", Bracket(Text(""), tuple(sends), "[", "]")))
    if scenario.cancels:
        # A second request to cancel can change nothing that the first one did not.
        first = min(cancel.after for cancel in scenario.cancels)
        parts.append(Text(f"cancel_after={_span(module, first)}"))
    if saga.id is None:
        parts.append(Text(f"saga_id={string(scenario.saga)}"))
    return statement(f"{names.ran} = ", call(f"{names.fakes}.run", *parts), 4)


def _fault(module: Module, tools: Tools, fault: p.Fault) -> Doc:
    parts: list[Doc] = [Text(string(fault.operation))]
    service, _, operation = fault.operation.partition(".")
    home = module.declaring("service", service)
    declared = module.program.services[service].operations[operation]
    if fault.args is not None:
        called = f"{module.name('service', service)}.{module.method(service, operation)}"
        given = [
            _known(module, arg, "an argument of a fault", param.type, home)
            for arg, param in zip(fault.args, declared.params, strict=False)
        ]
        parts = [call(called, *given)]
    parts.append(Text(string(fault.kind)))
    if fault.error is not None:
        parts.append(Text(f"error={error_class(module, fault.error)}"))
    if fault.fields:
        error = t.RecordRef(fault.error or "")
        known = _fields(module, error, fault.fields, "a field of a fault")
        entries = tuple(Prefix(f"{string(name)}: ", value) for name, value in known)
        parts.append(Prefix("fields=", Bracket(Text(""), entries, "{", "}")))
    if fault.value is not None:
        value = _known(module, fault.value, "the value of a fault", declared.result, home)
        parts.append(Prefix("value=", value))
    if fault.after:
        parts.append(Text(f"after={_span(module, fault.after)}"))
    if fault.times is None:
        parts.append(Text(f"times={tools.use('ALWAYS')}"))
    elif fault.times != 1:
        parts.append(Text(f"times={fault.times}"))
    return call(tools.use("when"), *parts)


def _send(module: Module, tools: Tools, found: p.Send) -> Doc:
    event = t.RecordRef(found.event)
    known = _fields(module, event, found.fields, "a field of an event")
    fields = [Prefix(f"{name}=", value) for name, value in known]
    parts: list[Doc] = [call(module.name("type", event.name), *fields)]
    if found.after:
        parts.append(Text(f"after={_span(module, found.after)}"))
    return call(tools.use("send"), *parts)


def _fields(
    module: Module, record: t.RecordRef, fields: tuple[tuple[str, p.Expr], ...], what: str
) -> list[tuple[str, Doc]]:
    """Attributes and values of an event or an error."""
    home, kinds = module.home(record), {name: kind for name, kind, _ in module.fields_of(record)}
    return [
        (module.attribute(record, name), _known(module, value, what, kinds[name], home))
        for name, value in fields
    ]


def _span(module: Module, ms: p.Ms) -> str:
    return milliseconds(module, ms) if ms else f"{module.use('timedelta')}()"


# --- What is expected --------------------------------------------------------------------------


def _expect(module: Module, ran: str, expect: p.Expect, scenario: p.Scenario) -> list[str]:
    operation, other = (string(name or "") for name in (expect.operation, expect.other))
    match expect.kind:
        case "completed":
            lines = [f'    assert {ran}.outcome == "completed"']
            if expect.value is not None:
                result = module.program.sagas[scenario.saga].result
                home = module.declaring("definition", scenario.saga)
                value = _known(module, expect.value, "the value that is expected", result, home)
                lines += statement(f"assert {ran}.value == ", value, 4)
            return lines
        case "compensated" if expect.error is not None:
            found = f"({ran}.outcome, {ran}.error)"
            return [f'    assert {found} == ("compensated", {string(expect.error)})']
        case "compensated" | "escalated":
            lines = [f'    assert {ran}.outcome == "{expect.kind}"']
            if expect.operation is not None:
                lines.append(f"    assert {operation} in {ran}.owed")
            return lines
        case "count":
            return [f"    assert {ran}.calls({operation}) == {expect.count}"]
        case "before":
            return [f"    assert {ran}.first({operation}) < {ran}.first({other})"]
        case "effect":
            return [f"    assert {ran}.effects({operation}) == {expect.count}"]
        case "nothing left":
            return [f"    assert not {ran}.left"]
        case "within":
            return [f"    assert {ran}.took <= {_span(module, expect.after or 0)}"]
        case kind:
            raise CannotCompile(expect.span, f"`expect {kind}` cannot be written as a test yet")


def _body(test: TestView) -> str:
    return "\n".join(["if True:", *test.lines, "    pass"])
