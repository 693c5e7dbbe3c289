"""What becomes of a failure, and how a compiled saga goes back.

An attempt catches it, or the saga is closed and undone, or, after the point of no return, the
failed part stays where it is, left to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagalang.machine import events as m
from sagalang.machine.backward import CHILD_OPEN
from sagalang.machine.events import SAGA, OpenItem, Purpose, Timer
from sagalang.machine.outcomes import Failure
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, in_order, together
from sagalang.machine.undo import moving as undo_moving
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.runtime import saga_leaves as leaves
from sagalang.runtime import saga_parallel as parallel
from sagalang.runtime import saga_settle as settling
from sagalang.runtime.saga_errors import exception
from sagalang.runtime.saga_scope import Attempt, Saga
from sagalang.runtime.saga_strands import (
    Asleep,
    Broken,
    Catching,
    InCall,
    InChild,
    Joining,
    Phase,
    Pivot,
    Polling,
    Strand,
    Waiting,
    below,
    standing,
)
from sagalang.runtime.saga_traces import standing_at

if TYPE_CHECKING:
    from sagalang.runtime.saga_run import Run

# --- Failures ------------------------------------------------------------------------------


def fail(run: Run, strand: Strand, failure: Failure, broken: Broken) -> None:
    """Something in the strand failed: an attempt catches it, or the saga goes back, or (after
    the point of no return) it stays open and the others go on."""
    strand.wait = broken
    if run.phase is Phase.EPILOGUE:
        epilogue_over(run)
        return
    if run.aborting is None:
        found = catcher(run, strand, failure.name)
        if found is not None:
            catch(run, *found, failure)
            return
    run.failed_at = run.failed_at or strand.raised_at or standing_at(strand.coroutine)
    if run.aborting is not None or run.pivot is Pivot.AHEAD:
        abort(run, run.aborting or failure)
    else:
        leave_open(run, strand, broken)


def leave_open(run: Run, strand: Strand, broken: Broken, *, told: bool = False) -> None:
    """The strand stays where it is, left to a person; the others go on."""
    if not told:
        run.driver.escalate(broken.item)
    run.attention = True
    strand.wait = broken
    run.waits[broken.place] = strand
    parallel.make_room(run, strand)


def catcher(run: Run, strand: Strand, name: str) -> tuple[Strand, Attempt] | None:
    """The innermost attempt that catches an error of this name."""
    around: Strand | None = strand
    while around is not None:
        for attempt in reversed(around.attempts):
            # Where the pivot in its body happened, or may have, there is no way back.
            passed = attempt.has_pivot and run.pivot is not Pivot.AHEAD
            if attempt.handles(name) and not passed:
                return around, attempt
        around = around.parent
    return None


def catch(run: Run, strand: Strand, attempt: Attempt, failure: Failure) -> None:
    """Undo the attempt's body; then the error is raised in it, and its handler runs."""
    run.driver.abort_began(attempt.place, failure)
    inner = dismantle_wait(run, strand)
    tree = in_order((*strand.undo[attempt.start :], inner))
    del strand.undo[attempt.start :]
    attempt.undone = True
    error = exception(failure, attempt.catches)
    go_on_undoing(run, strand, Catching(attempt, tree, failure, error))


def leave(run: Run, strand: Strand, attempt: Attempt, failure: Failure) -> bool:
    """An exception of the saga's own text leaves the body of an attempt that catches it.

    True where nothing has to be undone.
    """
    if attempt.has_pivot and run.pivot is not Pivot.AHEAD:
        item = OpenItem(attempt.place, Purpose.STEP, failure.name, failure)
        leave_open(run, strand, Broken(item))
        return False
    run.driver.abort_began(attempt.place, failure)
    tree = in_order(tuple(strand.undo[attempt.start :]))
    del strand.undo[attempt.start :]
    if tree == NOTHING:
        return True
    go_on_undoing(run, strand, Catching(attempt, tree, failure, None))
    return False


def go_on_undoing(run: Run, strand: Strand, wait: Catching) -> None:
    strand.wait = wait
    run.attention = True  # a compensation may get stuck
    wait.tree = run.undoing.work(wait.tree, wait.failure)
    if wait.tree == NOTHING:
        strand.wait = None
        run.resume(strand, None, wait.error)
    elif not undo_moving(wait.tree):
        parallel.make_room(run, strand)


# --- Going back ----------------------------------------------------------------------------


def request(run: Run, error: Failure) -> None:
    """Cancel or deadline: before the pivot it aborts, while it is uncertain it is held, after
    it (and while undoing) it is only told."""
    driver = run.driver
    if run.phase in (Phase.BACKWARD, Phase.EPILOGUE) or run.error is not None:
        if error.name == CANCELLED:
            driver.alert(error, "cancel has no effect: the saga is compensating already")
        return
    match run.pivot:
        case Pivot.AHEAD:
            abort(run, error)
        case Pivot.HELD:
            run.held = run.held or error
            driver.alert(error, "held until the outcome of the pivot is certain")
        case Pivot.PASSED:
            what = "cancel refused" if error.name == CANCELLED else "the deadline passed"
            driver.alert(error, f"{what} after the pivot")


def abort(run: Run, error: Failure) -> None:
    run.driver.abort_began(SAGA, error)
    run.failed_at = run.failed_at or ", ".join(standing(run.root))
    tree = dismantle(run, run.root)
    if run.deadline is not None and error.name != DEADLINE_EXCEEDED:
        run.driver.stop_timer(SAGA, Timer.DEADLINE)
    run.phase, run.error = Phase.BACKWARD, error
    backward(run, tree)


def afterwards(run: Run, event: m.Event) -> None:
    """A saga that ended escalated takes in what still concerns it; a cancel undoes it."""
    outcome = run.outcome
    if not isinstance(outcome, m.Escalated) or all(item.written_off for item in outcome.steps):
        return
    match event:
        case m.EventReceived():
            run.receive(event)
        case m.ChildEnded():
            if settling.concerns(run, event):
                reopen(run)
                run.deliver(event)
        case m.CancelRequested() | m.TimerFired(timer=Timer.DEADLINE):
            ahead = run.error is None and run.pivot is Pivot.AHEAD
            if ahead:
                reopen(run)
            name = CANCELLED if isinstance(event, m.CancelRequested) else DEADLINE_EXCEEDED
            request(run, Failure(name))
            if not ahead:
                run.driver.finished(outcome)  # for a parent that asked and waits
        case _:
            pass


def reopen(run: Run) -> None:
    """A run that ended escalated goes on from where it stood."""
    if run.phase is not Phase.OVER:
        return
    run.outcome = None
    if run.error is not None:
        run.phase = Phase.BACKWARD
        return
    run.phase = Phase.FORWARD
    if run.deadline is None:
        return
    if run.pivot is Pivot.AHEAD or run.deadline > run.now:
        run.driver.start_timer(SAGA, Timer.DEADLINE, run.deadline)
    elif run.pivot is Pivot.HELD:
        run.held = run.held or Failure(DEADLINE_EXCEEDED)


def dismantle(run: Run, strand: Strand) -> Undo:
    """Nothing new starts in the strand, its sleeps and waits end, its calls are awaited: what
    is left is what has to be undone, in order."""
    inner = dismantle_wait(run, strand)
    strand.alive = False
    if strand.coroutine is not None:
        strand.coroutine.close()
    return in_order((*strand.undo, inner))


def dismantle_wait(run: Run, strand: Strand) -> Undo:
    wait, strand.wait, driver = strand.wait, None, run.driver
    run.waits.pop(getattr(wait, "place", SAGA), None)
    match wait:
        case InCall(place=place, request=request, entry=entry):
            if not wait.stopping:
                driver.interrupt(place, Purpose.STEP)
            if leaves.has_clock(request):
                driver.stop_timer(place, Timer.ESCALATE)
            return entry
        case InChild(place=place):
            driver.cancel_child(place)
            return Entry(place, Status.SETTLING, started=run.now)
        case Asleep(place=place):
            driver.stop_timer(place, Timer.SLEEP)
        case Waiting(place=place):
            driver.stop_timer(place, Timer.WAIT)
        case Polling(place=place):
            leaves.stop_within(run, wait)
            if wait.asking:
                driver.interrupt(place, Purpose.POLL)
                return Entry(place, Status.SETTLING, purpose=Purpose.POLL)
            driver.stop_timer(place, Timer.POLL)
        case Joining(request=request, strands=strands):
            trees = tuple(dismantle(run, inner) for inner in strands)
            return together(trees, request.at_once)
        case Broken(item=OpenItem(place=place, failure=failure)) if failure == CHILD_OPEN:
            driver.cancel_child(place)
            return Entry(place, Status.SETTLING, started=run.now)
        case Catching(tree=tree) | Broken(undo=tree):
            return tree
        case _:
            pass
    return NOTHING


def backward(run: Run, tree: Undo) -> None:
    assert run.error is not None
    run.tree = run.undoing.work(tree, run.error)
    if run.tree == NOTHING:
        compensated(run)
    elif not undo_moving(run.tree):
        stopped = run.undoing.stop_overdue(run.tree)
        changed, run.tree = stopped != run.tree, stopped
        if not changed:
            run.over(m.Escalated(run.undoing.open_items(stopped)))


def stop_overdue(run: Run) -> bool:
    """Interrupt what is escalated and still retrying, because nothing else can move."""
    stopped = False
    for strand in below(run.root):
        match strand.wait:
            case InCall(overdue=True, stopping=False) as wait:
                run.driver.interrupt(wait.place, Purpose.STEP)
                wait.stopping = stopped = True
            case Catching(tree=tree) as wait:
                wait.tree = run.undoing.stop_overdue(tree)
                stopped = stopped or wait.tree != tree
            case _:
                pass
    return stopped


def compensated(run: Run) -> None:
    assert run.error is not None
    after = run.definition.when_compensated
    if after is None or run.undoing.written_off:
        run.over(m.Compensated(run.error))
        return
    run.phase = Phase.EPILOGUE
    run.root = Strand(None)
    error = exception(run.error, run.definition.errors)
    run.begin(run.root, lambda: after(Saga(run, run.root), error, **run.call.args))


def epilogue_over(run: Run) -> None:
    """The outcome is settled; whatever happened in there cannot change it."""
    assert run.error is not None
    if run.phase is not Phase.OVER:
        run.over(m.Compensated(run.error))


def undo_completed(run: Run, error: Failure) -> None:
    if run.phase is Phase.OVER and isinstance(run.outcome, m.Completed):
        run.driver.abort_began(SAGA, error)
        run.phase, run.error, run.outcome = Phase.BACKWARD, error, None
        backward(run, run.tree)
