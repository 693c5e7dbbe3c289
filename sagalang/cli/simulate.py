"""`saga simulate`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sagalang.model import program as p
    from sagalang.simulate.outage import Setting
    from sagalang.simulate.workers import Told

_COUNT = click.IntRange(1, 10_000)
_LONGEST = 3_600_000
"""What is simulated at most, in milliseconds: the load is kept for every tenth of a second."""


@click.command("simulate")
@click.argument("file", metavar="FILE", required=False)
@click.argument("operation", metavar="[SERVICE.OPERATION]", required=False)
@click.option("--preset", type=click.Choice(["contention"]), help="An experiment without FILE.")
@click.option("--clients", metavar="N", help="How many [100]; for a preset also a list: 10,50,190.")
@click.option("--seed", type=int, help="Another seed, another course; the same, the same.")
@click.option("--trials", type=_COUNT, help="Preset: how often each figure is measured. [100]")
@click.option("--processes", type=_COUNT, help="The clients are spread over so many. [5]")
@click.option("--every", metavar="DURATION", help="How long a client waits after a call. [1s]")
@click.option("--latency", metavar="DURATION", help="How long an answer takes. [50ms]")
@click.option("--capacity", type=click.IntRange(1), help="Calls a second; more of them queue.")
@click.option("--down-at", metavar="DURATION", help="When the service goes down. [10s]")
@click.option("--down-for", metavar="DURATION", help="How long it stays down. [20s]")
@click.option("--duration", metavar="DURATION", help="How much time is simulated. [1m]")
@click.option(
    "--failing",
    type=click.Choice(["refuse", "hang"]),
    help="While it is down: calls are refused, or get no answer. [refuse]",
)
@click.option("--apart", is_flag=True, help="Clients notice the outage one by one, not at once.")
@click.option("--strategy", "strategies", multiple=True, metavar="NAME", help="Only this back-off.")
@click.option("--plot", "plots", multiple=True, metavar="FILE", help="A picture: .svg or .png.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print the result.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    file: str | None,
    operation: str | None,
    preset: str | None,
    clients: str | None,
    seed: int | None,
    trials: int | None,
    plots: tuple[str, ...],
    style: str,
    quiet: bool,
    **outage: Any,
) -> None:
    """Simulate many clients and a service in trouble: what a policy does to it.

    \b
    saga simulate order.saga                       an outage, with every kind of back-off
    saga simulate order.saga Payment.charge --failing hang --capacity 250
    saga simulate order.saga --plot outage.svg     the load over time
    saga simulate --preset contention              the classic: clients that compete for one row

    Time is simulated; the same command always gives the same figures.
    """
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.terminal import usage_error

    try:
        _check_plots(plots)
        told = _progress(quiet=quiet or style == "json")
        if preset is not None:
            _refuse(f"--preset {preset} is not for one service", {"file": file, **outage})
            shown = _contention(clients, trials, seed, told)
        elif file is not None:
            _refuse("an outage is simulated once", {"trials": trials})
            shown = _outage(file, operation, clients, seed, outage, told)
        else:
            raise InputProblem(
                "there is nothing to simulate",
                "name a .saga file, or an experiment: --preset contention",
            )
        if style == "json":
            click.echo(json.dumps(shown.data))
        else:
            click.echo(f"{shown.text}\n\nnext: {shown.following[bool(plots)]}")
        for plot in plots:
            _write(plot, shown)
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)


@dataclass(frozen=True, slots=True)
class _Shown:
    """`draw` and `size` (inches) make the picture; `following`: what to try next, before and
    after a picture was made."""

    text: str
    data: dict[str, Any]
    draw: Callable[[Figure], None]
    size: tuple[float, float]
    following: tuple[str, str]


def _contention(clients: str | None, trials: int | None, seed: int | None, told: Told) -> _Shown:
    from sagalang.simulate import contention, contention_shown

    numbers = contention.CLIENTS if clients is None else _numbers(clients)
    times = contention.TRIALS if trials is None else trials
    seed = contention.SEED if seed is None else seed
    cells = contention.experiment(numbers, times, seed, told)
    return _Shown(
        contention_shown.text(cells, times, seed),
        contention_shown.data(cells, times, seed),
        contention_shown.picture(cells, times),
        contention_shown.SIZE,
        ("saga simulate --preset contention --plot contention.svg", "saga simulate FILE"),
    )


def _outage(
    file: str,
    name: str | None,
    clients: str | None,
    seed: int | None,
    given: Mapping[str, Any],
    told: Told,
) -> _Shown:
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.simulate import outage_shown
    from sagalang.simulate.comparison import compare
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.has_errors:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
        click.echo(f"{summary(loaded.diagnostics)}; nothing was simulated", err=True)
        sys.exit(2)
    operation, why = _operation(loaded.program, name)
    setting = _setting(clients, seed, given)
    results = compare(operation, setting, _strategies(given["strategies"]), told)
    again = f"saga simulate {file}" + (f" {name}" if name else "")
    fault = f"{operation.label} times out after effect"
    then = (
        f"{again} --failing hang"
        if given["failing"] is None
        else f'saga run {file} --mock --fault "{fault}"'
    )
    return _Shown(
        outage_shown.text(operation, why, setting, results),
        outage_shown.data(operation, setting, results),
        outage_shown.picture(operation, setting, results),
        outage_shown.size(results),
        (f"{again} --plot outage.svg", then),
    )


def _operation(program: p.Program, name: str | None) -> tuple[p.Operation, str]:
    """The operation that was named, or the first command with a retry policy; and why this one."""
    from sagalang.cli.inputs import InputProblem
    from sagalang.diagnostics.suggest import hint

    known = {o.label: o for s in program.services.values() for o in s.operations.values()}
    if name is not None:
        if name not in known:
            listed = ", ".join(f"`{label}`" for label in known) or "none"
            raise InputProblem(
                f"there is no operation `{name}` in {program.main}",
                hint(name, known) or f"it has {listed}",
            )
        return known[name], ""
    own = [o for o in known.values() if o.span.file == program.main] or list(known.values())
    commands = [o for o in own if not o.is_query]
    retried = [o for o in commands if o.policy.retry is not None]
    if retried:
        return retried[0], f", the first command of {program.main} with a retry policy"
    if commands:
        return commands[0], f", the first command of {program.main}"
    raise InputProblem(
        f"there is no command in {program.main} that could be called",
        "a file with a service in it, or an experiment without: --preset contention",
    )


def _strategies(names: tuple[str, ...]) -> tuple[str, ...]:
    from sagalang.cli.inputs import InputProblem
    from sagalang.diagnostics.suggest import hint
    from sagalang.simulate.cases import STRATEGIES

    for name in names:
        if name not in STRATEGIES:
            raise InputProblem(
                f"there is no strategy `{name}`",
                hint(name, STRATEGIES) or f"one of {', '.join(STRATEGIES)}",
            )
    return tuple(name for name in STRATEGIES if not names or name in names)


def _setting(clients: str | None, seed: int | None, given: Mapping[str, Any]) -> Setting:
    """What was given, on top of the defaults. Raises InputProblem where it does not fit."""
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.running.plan import parse_duration
    from sagalang.simulate.outage import BUCKET, Failing, Setting

    made: dict[str, Any] = {} if seed is None else {"seed": seed}
    for name in ("every", "latency", "down_at", "down_for", "duration"):
        if given[name] is not None:
            made[name] = parse_duration(given[name])
    for name in ("processes", "capacity"):
        if given[name] is not None:
            made[name] = given[name]
    if given["failing"] is not None:
        made["failing"] = Failing(given["failing"])
    if clients is not None:
        made["clients"] = _numbers(clients)[0]
        if len(_numbers(clients)) > 1:
            raise InputProblem("--clients takes one number here", "a list goes with --preset")
    setting = Setting(**made, together=not given["apart"])
    if given["processes"] is None:
        setting = replace(setting, processes=min(setting.processes, setting.clients))
    if setting.processes > setting.clients:
        raise InputProblem(
            f"{setting.processes} processes are more than {setting.clients} clients",
            f"at most --processes {setting.clients}",
        )
    if setting.every == 0:
        raise InputProblem("a client has to wait between its calls", "for example --every 1s")
    if setting.down_for == 0:
        raise InputProblem("the service has to be down for a while", "for example --down-for 20s")
    if setting.down_at < max(setting.every, BUCKET):
        raise InputProblem(
            "the outage begins before every client has called once",
            "the normal load has to be seen first: a later --down-at, or a shorter --every",
        )
    if setting.duration > _LONGEST:
        raise InputProblem("that is too long to be simulated", "--duration takes up to 1h")
    if setting.up_again >= setting.duration:
        raise InputProblem(
            "the simulation ends before the service is back",
            "a longer --duration, or a shorter --down-for",
        )
    return setting


def _numbers(text: str) -> tuple[int, ...]:
    """`200`, or `10,50,100`. Raises InputProblem."""
    from sagalang.cli.inputs import InputProblem

    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,3}", part, re.ASCII) for part in parts):
        raise InputProblem(
            f"`{text}` is not a number of clients", "from 1 to 9999; for a preset also 10,50,100"
        )
    return tuple(sorted({int(part) for part in parts}))


def _refuse(reason: str, options: Mapping[str, Any]) -> None:
    """Raises InputProblem if one of the options was given: silence would look like consent."""
    from sagalang.cli.inputs import InputProblem

    for name, value in options.items():
        if value is None or value is False or value == ():
            continue
        word = {"file": "FILE", "strategies": "--strategy"}.get(name)
        word = word or f"--{name.replace('_', '-')}"
        raise InputProblem(f"{word} has no meaning here: {reason}", f"leave {word} away")


def _progress(*, quiet: bool) -> Told:
    from sagalang.simulate.workers import nobody

    if quiet or not sys.stderr.isatty():
        return nobody

    def told(done: int, of: int) -> None:
        text = f"simulating: {done} of {of}" if done < of else ""
        click.echo(f"\r\x1b[2K{text}", nl=False, err=True)

    told(0, 1)
    return told


def _check_plots(plots: tuple[str, ...]) -> None:
    """Before the work, not behind it."""
    from sagalang.cli.inputs import InputProblem
    from sagalang.simulate.drawing import FORMATS, available

    for plot in plots:
        if Path(plot).suffix.lower().lstrip(".") not in FORMATS:
            raise InputProblem(f"`{plot}` is not a picture", "name it .svg or .png")
        if Path(plot).is_dir():
            raise InputProblem(f"{plot} is a folder", "name a file: --plot picture.svg")
    if plots and not available():
        raise InputProblem(
            "pictures are drawn by matplotlib, which is not installed",
            "pip install 'sagalang[plot]'",
        )


def _write(plot: str, shown: _Shown) -> None:
    from sagalang.cli.inputs import InputProblem
    from sagalang.simulate.drawing import drawn

    path = Path(plot)
    picture = drawn(shown.draw, shown.size, path.suffix.lower().lstrip("."))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except OSError as error:
        raise InputProblem(f"cannot write {plot}: {error.strerror or error}") from None
    click.echo(f"wrote {plot}", err=True)
