"""`saga run`."""

from __future__ import annotations

import sys

import click


@click.command("run")
@click.argument("file", metavar="FILE")
@click.argument("saga", required=False)
@click.option(
    "--input", "given", metavar="FILE|JSON|-", help="The saga's input; or a `let`'s name."
)
@click.option("--id", "new_id", metavar="ID", help="Run it under another id.")
@click.option("--mock", is_flag=True, help="Run against fakes of the services, on loopback.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Let a fake fail.")
@click.option("--faults", "script_file", metavar="FILE", help="Play a fault script, in no time.")
@click.option("--send", "sends", multiple=True, metavar="EVENT", help="Send an event to the saga.")
@click.option("--cancel-after", metavar="DURATION", help="Ask the saga to cancel, e.g. 500ms.")
@click.option(
    "--db",
    metavar="FILE",
    envvar="SAGA_DB",
    help="The journal file to run on, by default .saga/journal.db; with --mock, and for"
    " `:memory:`, nothing is kept. Also: SAGA_DB.",
)
@click.option("--take-over", is_flag=True, help="Also undo what an earlier run of this id did.")
@click.option("--latency", default="0", metavar="MS", help="How long fakes take: 20, or 10-50.")
@click.option("--journal", metavar="FILE", help="Keep what happens in a new file, to be drawn.")
@click.option("--trace", metavar="FILE", help="Draw what happened: .svg .png .html .txt .mmd .puml")
@click.option("--values", is_flag=True, help="Let --trace show values too, but never secrets.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log to standard error instead of showing the run live.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print the result.",
)
def command(
    file: str,
    saga: str | None,
    given: str | None,
    new_id: str | None,
    mock: bool,
    faults: tuple[str, ...],
    script_file: str | None,
    sends: tuple[str, ...],
    cancel_after: str | None,
    db: str | None,
    take_over: bool,
    latency: str,
    journal: str | None,
    trace: str | None,
    values: bool,
    log_level: str | None,
    style: str,
) -> None:
    """Run a saga against its services, or with --mock against fakes of them.

    \b
    saga run order.saga                                 the real services
    saga run order.saga --mock                          fakes, made from the contracts
    saga run order.saga --mock --fault "Inventory.reserve rejects OutOfStock"
    saga run order.saga --mock --faults lost.json       what `saga verify` found, again
    saga run order.saga --mock --trace order.svg        a picture of what happened
    saga run shop.saga --mock --send 'Review(verdict: Verdict.Approved, by: "me") after 2s'

    Exit status: 0 completed, 1 compensated or escalated, 2 could not run.
    """
    from sagalang.cli.inputs import InputProblem, TextProblem
    from sagalang.cli.running.drive import Manner, in_its_time
    from sagalang.cli.running.engines import IN_MEMORY, engine
    from sagalang.cli.running.journal import traces
    from sagalang.cli.running.plan import prepare
    from sagalang.cli.running.told import next_id
    from sagalang.cli.terminal import show_diagnostics, usage_error
    from sagalang.runtime.codec import DecodeError
    from sagalang.runtime.earlier import EarlierRunError
    from sagalang.runtime.engine import EmptyIdError, EngineError, OtherInputError
    from sagalang.runtime.entry_codec import EntryError
    from sagalang.runtime.logs import to_stderr
    from sagalang.runtime.problems import ConnectProblem
    from sagalang.runtime.telemetry import observing

    if (faults or script_file) and not mock:
        option = "--fault" if faults else "--faults"
        usage_error("real services cannot be told to fail", f"{option} goes with --mock: fakes can")
    if script_file and db not in (None, IN_MEMORY):
        usage_error(
            "a fault script is played in simulated time, and a journal file keeps real runs",
            "leave one of --faults and --db out",
        )
    try:
        left = traces(journal, trace, values)
        plan = prepare(
            file, saga, given, new_id, mock, faults, script_file, sends, cancel_after, latency
        )
        if log_level is not None:
            to_stderr(log_level)
        with observing() as telemetry:
            manner = Manner(
                style, engine(db, mock=mock), take_over, log_level, left, tuple(telemetry)
            )
            sys.exit(in_its_time(plan, manner))
    except EarlierRunError as problem:
        usage_error(
            str(problem),
            f"run another: --id {next_id(problem.saga_id)}; or, if that run never ended,"
            " undo what it did: --take-over",
        )
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
    except DecodeError as problem:
        usage_error(f"the input is not right: {problem}", "nothing was called")
    except ConnectProblem as problem:
        advice = None if mock else "to try it without services: --mock"
        usage_error(f"{problem}; nothing was called", advice)
    except EmptyIdError as problem:
        usage_error(str(problem), "for example --id o-2")
    except OtherInputError as problem:
        usage_error(f"{problem}; nothing was called", "give this one an id of its own: --id ID")
    except (EngineError, EntryError) as problem:
        usage_error(str(problem), getattr(problem, "advice", None))
    except TextProblem as problem:
        show_diagnostics(problem.diagnostics, problem.sources, "full", sys.stderr)
        sys.exit(2)
