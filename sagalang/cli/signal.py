"""`saga signal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sagalang.cli.acting import in_journal, in_style

if TYPE_CHECKING:
    from sagalang.host.sending import About


@click.command("signal")
@click.argument("run_id", metavar="ID")
@click.argument("event", metavar="EVENT")
@click.argument("given", metavar="[JSON|-]", required=False)
@click.option("--event-id", metavar="ID", help="Its id, by default a hash of its content.")
@in_journal
@in_style
def command(
    run_id: str, event: str, given: str | None, event_id: str | None, db: str | None, style: str
) -> None:
    """Send an event to a run. One of the same id is taken once.

    \b
    saga signal o-1 Review '{"verdict": "Approved", "by": "ada"}'
    saga signal o-1 'Review(verdict: Verdict.Approved, by: "ada")'

    Exit status: 0 sent, 1 refused, 2 could not be sent.
    """
    from sagalang.cli.acting import desk, journal, problems, tell

    path = journal(db)
    with problems(path):
        sender = desk(path)
        about = sender.look(run_id)
        name, value = _event(about, event, given)
        sent = sender.signal(about, name, value, event_id)
        tell(f"sent {name} to {run_id}", sent, path, style)


def _event(about: About, event: str, given: str | None) -> tuple[str, Any]:
    from sagalang.cli.acting import given_json
    from sagalang.host.sending import MessageError, event_value

    if given is not None and given.lstrip().startswith(f"{event}("):
        event, given = given, None  # the form of sagas, behind the name
    if "(" not in event:
        return event, event_value(about, event, "{}" if given is None else given_json(given))
    if given is not None:
        raise MessageError("the event is given twice", "leave the JSON out, or the parentheses")
    from sagalang.cli import inputs

    definition = about.definition
    (send,) = inputs.read_sends(definition.loaded, (event,))
    if send.after:
        raise MessageError("an event is sent at once", "leave `after …` out")
    return send.event, inputs.event_value(definition.program, definition.values, send)
