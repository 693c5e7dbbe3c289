"""`saga settle`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from sagalang.cli.acting import in_journal, in_style

if TYPE_CHECKING:
    from sagalang.host.sending import About, Sending
    from sagalang.host.standing import Standing
    from sagalang.machine.events import OpenItem, Settle

HOWS = {"retry": "retry", "done": "done", "not-done": "not done"}


@click.command("settle")
@click.argument("run_id", metavar="ID")
@click.argument("step")
@click.argument("how", type=click.Choice(list(HOWS)))
@click.option("--value", metavar="JSON|-", help="What it gave, with `done`.")
@click.option("--by", metavar="NAME", help="Who says so, for the record.")
@click.option("--why", metavar="TEXT", help="How that is known, for the record.")
@click.option("--run", "child", metavar="ID", help="The child saga of the run in which it is open.")
@in_journal
@in_style
def command(
    run_id: str,
    step: str,
    how: str,
    value: str | None,
    by: str | None,
    why: str | None,
    child: str | None,
    db: str | None,
    style: str,
) -> None:
    """Say, as a person, what becomes of a step that is open in an escalated run.

    \b
    retry     once more
    done      it happened, with this value; a compensation: it was undone by hand
    not-done  it did not happen, and will not; a compensation: it is written off

    STEP is the operation, or the path that `saga show` prints, in the run or a child saga.

    \b
    saga settle o-1 Payment.refund retry --by ada --why "the bank is back"

    Exit status: 0 sent, 1 refused, 2 could not be sent.
    """
    from sagalang.cli.acting import desk, given_json, journal, problems, tell
    from sagalang.cli.terminal import usage_error
    from sagalang.host.sending import settled_value
    from sagalang.machine.events import How

    path = journal(db)
    if by is None or why is None:
        missing = "--by NAME" if by is None else "--why TEXT"
        usage_error(f"{missing} is missing", "who settles it, and why, goes on record")
    assert by is not None
    assert why is not None
    if value is not None and how != "done":
        usage_error(f"--value goes with `done`, not with `{how}`")
    with problems(path):
        sender = desk(path)
        stands, item = _chosen(_about(sender, run_id, child), step, f"{how} …", path)
        to = sender.look(stands.saga_id)
        settled = None if value is None else settled_value(to, item, given_json(value))
        sent = sender.settle(to, item, How(HOWS[how]), settled, by=by, why=why)
        tell(f"settled {item.label} of {stands.saga_id}: {HOWS[how]}", sent, path, style)


def _about(sender: Sending, run_id: str, child: str | None) -> About:
    from sagalang.host.sending import MessageError

    about = sender.look(run_id)
    if child is None:
        return about
    known = [each.saga_id for each in about.below]
    if child not in known:
        raise MessageError(f"{child} is no child saga of {run_id}", "see `saga show`")
    return sender.look(child)


def _chosen(about: About, step: str, how: str, path: Path) -> tuple[Standing, OpenItem]:
    """The one open item that is meant. Raises `MessageError`, `RefusedError`."""
    from sagalang.cli.acting import named
    from sagalang.diagnostics.suggest import hint
    from sagalang.host.sending import MessageError, RefusedError, UnderWayError
    from sagalang.runtime.words import printable

    def names(item: OpenItem) -> set[str]:
        return {item.label, str(item.place), printable(str(item.place)), item.place.path}

    found = [(stands, item) for stands in about.below for item in stands.open_items()]
    fitting = [each for each in found if step in names(each[1])]
    if not fitting:
        for run_id, item, event in _settled(about):
            if step in names(item):
                raise UnderWayError(
                    f"{item.label} of {run_id} is settled already ({event.how.value}, by "
                    f"{printable(event.by)}): it is taken in when {about.root} goes on",
                    about.root,
                    about.owner,
                )
    if not found:
        over = about.run.ended is not None
        why = f"it is {about.run.state.value}" if over else "nothing in it waits for a person"
        raise RefusedError(f"nothing is open in {about.saga_id}: {why}")
    exact = [each for each in fitting if step == str(each[1].place)]
    if len(exact) == 1 or len(fitting) == 1:
        return (exact if len(exact) == 1 else fitting)[0]
    if fitting:
        commands = "".join(
            f"\n    saga settle {quote(stands.saga_id)} {quote(str(item.place))} {how}{named(path)}"
            for stands, item in fitting
        )
        raise MessageError(f"`{step}` is open {len(fitting)} times: which?", f"one of{commands}")
    known = dict.fromkeys(name for _, item in found for name in (item.label, str(item.place)))
    listed = ", ".join(f"{item.label} ({printable(str(item.place))})" for _, item in found)
    advice = hint(step, known)
    raise MessageError(f"`{step}` is not open in {about.saga_id}", advice or f"open: {listed}")


def _settled(about: About) -> Iterator[tuple[str, OpenItem, Settle]]:
    """What was settled already, and by what, though its run has not taken that in."""
    from sagalang.machine.events import Settle

    below = {each.saga_id for each in about.below}
    for stands in about.recorded.family():
        open_ = {(item.place, item.purpose): item for item in stands.open_items()}
        for run_id, event in about.waiting:
            if run_id == stands.saga_id and run_id in below and isinstance(event, Settle):
                item = open_.get((event.place, event.purpose))
                if item is not None:
                    yield run_id, item, event
