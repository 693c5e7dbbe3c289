"""What a command line gives to a run: input, id, faults, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagalang.diagnostics import Diagnostic
from sagalang.interpret.run import Send
from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.model import program as p
from sagalang.model import scenarios
from sagalang.model.types import RecordRef
from sagalang.runtime.fault_script import Script, ScriptError, check, read_script
from sagalang.runtime.fault_script import event_value as scripted_event
from sagalang.runtime.values import Values, decode_input
from sagalang.text import Source
from sagalang.workspace import Loaded


class InputProblem(Exception):  # noqa: N818 - told to the user, not an error of ours
    """The run cannot begin; `advice` says what to do."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


class TextProblem(Exception):  # noqa: N818
    """A `--fault` or `--send` that is not right; `sources` are all that the diagnostics name."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], sources: Mapping[str, Source]) -> None:
        super().__init__("the text is not right")
        self.diagnostics, self.sources = diagnostics, sources


@dataclass(frozen=True)
class Given:
    """The saga's arguments, and where they come from, in words ('' where the user gave them)."""

    args: dict[str, Any]
    origin: str


def choose_saga(loaded: Loaded, name: str | None) -> p.Saga:
    """The saga that was named, or the only one of the file that can be started."""
    program = loaded.program
    if name is not None:
        found = program.sagas.get(name)
        if found is None:
            from sagalang.diagnostics.suggest import hint

            listed = ", ".join(f"`{n}`" for n in program.sagas) or "none"
            raise InputProblem(
                f"there is no saga `{name}` in {program.main}",
                hint(name, program.sagas) or f"it has {listed}",
            )
        return found
    own = [s for s in program.sagas.values() if s.span.file == program.main and s.id is not None]
    if len(own) == 1:
        return own[0]
    if not own:
        raise InputProblem(
            f"there is no saga in {program.main} that could be started",
            "a saga that is started from outside begins with `id …`",
        )
    names = ", ".join(s.name for s in own)
    raise InputProblem(f"which saga? {program.main} has {names}", f"name it: … {own[0].name}")


def constants_scope(program: p.Program, values: Values) -> Scope:
    build = Build(values.make, values.get, values.convert, values.update)
    return Scope(names={}, build=build, constants=program.constants)


def read_input(
    loaded: Loaded, saga: p.Saga, given: str | None, values: Values, *, mock: bool
) -> Given:
    """The arguments of a run.

    `given` is a file, JSON itself, `-` for standard input, or the name of a `let`. Without it,
    the single `let` of each parameter's type; in a mock run, else, values made up by type.
    Raises InputProblem or DecodeError.
    """
    program = loaded.program
    if given is None:
        return _without_input(program, saga, values, mock)
    if given in program.constants and len(saga.params) == 1:
        constant = program.constants[given]
        if constant.type != saga.params[0].type:
            raise InputProblem(
                f"`{given}` is not of the type that {saga.name} takes",
                f"it needs a `{_show(saga.params[0].type)}`",
            )
        value = evaluate(constant.value, constants_scope(program, values))
        return Given({saga.params[0].name: value}, f"`let {given}`")
    return Given(decode_input(values, saga, _input_text(given)), "")


def _show(type_: Any) -> str:
    from sagalang.model.types import show

    return show(type_)


def _input_text(given: str) -> str:
    if given.lstrip()[:1] in ("{", "[", '"'):
        return given
    from sagalang.workspace.load import Unreadable, read_text

    try:
        return read_text(given)
    except Unreadable as error:
        raise InputProblem(
            f"cannot read the input {given}: {error}",
            "--input takes a file, JSON itself, - for standard input, or the name of a `let`",
        ) from None


def _without_input(program: p.Program, saga: p.Saga, values: Values, mock: bool) -> Given:
    args: dict[str, Any] = {}
    origins: list[str] = []
    for param in saga.params:
        fitting = [c for c in program.constants.values() if c.type == param.type]
        fitting = [c for c in fitting if c.name == "sample"] or fitting
        if len(fitting) == 1:
            scope = constants_scope(program, values)
            args[param.name] = evaluate(fitting[0].value, scope)
            origins.append(f"`let {fitting[0].name}`")
        elif mock:
            from sagalang.runtime.fake_values import Inventor

            args[param.name] = Inventor(program, values, 0).value(param.type, param.name, 1)
            origins.append(f"a made-up `{param.name}`")
        elif fitting:
            names = ", ".join(c.name for c in fitting)
            raise InputProblem(
                f"{saga.name} needs `{param.name}`, and several constants would do: {names}",
                f"choose one: --input {fitting[0].name}",
            )
        else:
            raise InputProblem(
                f"{saga.name} needs `{param.name}` of type `{_show(param.type)}`",
                "give it by --input FILE, or declare a sample: "
                f"`let sample = {_show(param.type)}(…)`",
            )
    return Given(args, " and ".join(origins))


def with_id(saga: p.Saga, args: dict[str, Any], new: str, values: Values) -> dict[str, Any]:
    """The arguments with the field that is the saga's id set to `new`, where it is a text field.

    So that `--id o-2` places order o-2, and not order o-1 under another name.
    """
    path: list[str] = []
    node = saga.id
    while isinstance(node, p.Member):
        path.append(node.name)
        node = node.value
    if not isinstance(node, p.Ref) or saga.id is None or _show(saga.id.type) != "string":
        return args

    def set_in(value: Any, rest: list[str]) -> Any:
        if not rest:
            return new
        return values.update(value, {rest[0]: set_in(values.get(value, rest[0]), rest[1:])})

    return {**args, node.name: set_in(args[node.name], path[::-1])}


def read_faults(loaded: Loaded, texts: Sequence[str]) -> list[p.Fault]:
    """The faults of `--fault`, written as behind `when` in a scenario. Raises TextProblem."""
    from sagalang.syntax.parse import parse_fault

    made: list[p.Fault] = []
    for text in texts:
        source = Source("--fault", text.removeprefix("when "))
        written, problems = parse_fault(source)
        found = _typed(loaded, source, problems, written, scenarios.fault)
        made.append(found)
    return made


def read_sends(loaded: Loaded, texts: Sequence[str]) -> list[p.Send]:
    """The events of `--send`, written as behind `send` in a scenario. Raises TextProblem."""
    from sagalang.syntax.parse import parse_send

    made: list[p.Send] = []
    for text in texts:
        source = Source("--send", text.removeprefix("send "))
        written, problems = parse_send(source)
        made.append(_typed(loaded, source, problems, written, scenarios.send))
    return made


def read_fault_script(loaded: Loaded, path: str, values: Values) -> Script:
    """The script of `--faults`, checked against the program. Raises InputProblem."""
    from sagalang.workspace.load import Unreadable, read_text

    try:
        script = read_script(read_text(path))
        check(script, loaded.program, values)
    except Unreadable as error:
        raise InputProblem(f"cannot read the faults {path}: {error}") from None
    except ScriptError as error:
        raise InputProblem(f"{path}: {error}", error.advice) from None
    return script


def scripted_sends(script: Script, values: Values) -> list[Send]:
    """The events of a script that was checked."""
    return [Send(e.event, scripted_event(values, e), e.after) for e in script.events]


def _typed(
    loaded: Loaded, source: Source, problems: tuple[Diagnostic, ...], written: Any, check: Any
) -> Any:
    context = loaded.context
    sources = {**loaded.sources, source.name: source}
    if written is None or problems:
        raise TextProblem(problems, sources)
    context.problems.clear()
    # A text of the command line sees what the main file sees.
    seen = dict(context.visible)
    seen[source.name] = seen.get(loaded.program.main, frozenset()) | {source.name}
    context.visible = seen
    made = check(context, written)
    if context.problems or made is None:
        raise TextProblem(tuple(context.problems), sources)
    return made


def event_value(program: p.Program, values: Values, send: p.Send) -> Any:
    scope = constants_scope(program, values)
    fields: Mapping[str, Any] = {name: evaluate(expr, scope) for name, expr in send.fields}
    return values.make(RecordRef(send.event), dict(fields))
