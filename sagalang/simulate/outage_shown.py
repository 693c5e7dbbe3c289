"""A simulated outage as a table, as data and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sagalang.model.program import DEFAULT_TIMEOUT, Breaker, Operation, Retry, RetryBudget
from sagalang.simulate.cases import DEFAULT_BREAKER, DEFAULT_BUDGET, DEFAULT_RETRY, Protection
from sagalang.simulate.comparison import Result, measures
from sagalang.simulate.outage import BUCKET, Failing, Setting
from sagalang.simulate.table import aligned, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def data(operation: Operation, setting: Setting, results: Sequence[Result]) -> dict[str, Any]:
    """Times in milliseconds; `load` is the number of attempts in each bucket of `bucket` ms."""
    made = []
    for result in results:
        found = measures(result.course, setting)
        made.append(
            {
                "strategy": result.strategy,
                "protection": result.protection.value,
                "attempts": found.attempts,
                "ok": result.course.ok,
                "failed": result.course.failed,
                "normal": round(found.normal, 3),
                "outage": round(found.outage, 3),
                "peak": found.peak,
                "served_after": result.course.served,
                "load": list(result.course.load),
            }
        )
    return {
        "format_version": 1,
        "experiment": "outage",
        "operation": operation.label,
        "setting": {**asdict(setting), "failing": setting.failing.value},
        "assumed": _assumed(operation),
        "bucket": BUCKET,
        "cases": made,
    }


def text(operation: Operation, why: str, setting: Setting, results: Sequence[Result]) -> str:
    rows = [_HEAD]
    for result in results:
        found = measures(result.course, setting)
        served = result.course.served
        rows.append(
            [
                result.strategy,
                result.protection.value,
                f"{found.attempts:,}",
                f"{result.course.ok:,}",
                f"{result.course.failed:,}",
                f"x {found.outage:.2f}",
                f"{found.peak} (x {found.peak / found.normal:.1f})",
                "not by the end" if served is None else f"{served / 1_000:.1f} s",
            ]
        )
    return "\n".join([*_introduction(operation, why, setting), "", *aligned(rows, left=2)])


_HEAD: Final = [
    "strategy",
    "protection",
    "attempts",
    "ok",
    "failed",
    "outage load",
    f"peak/{BUCKET}ms after",
    "all served after",
]


def _introduction(operation: Operation, why: str, setting: Setting) -> list[str]:
    met = {
        Failing.REFUSE: "connections are refused",
        Failing.HANG: "no answer comes",
    }[setting.failing]
    noticed = "all clients notice at once" if setting.together else "each client notices by itself"
    capacity = f", at most {setting.capacity} a second" if setting.capacity is not None else ""
    if setting.processes == 1:
        where = "in one process"
    else:
        where = f"in {setting.processes} processes, each with its own breaker and budget"
    policy = operation.policy
    timeout = DEFAULT_TIMEOUT if policy.timeout is None else policy.timeout
    lines = [
        f"{operation.label}{why}",
        f"  clients  {setting.clients} {where}",
        f"  each     calls, waits {span(setting.every)}, and calls again",
        f"  service  answers in {span(setting.latency)}{capacity}",
        f"  outage   from {span(setting.down_at)} to {span(setting.up_again)} of"
        f" {span(setting.duration)}: {met}, {noticed}",
        f"  retry    {_retry(policy.retry or DEFAULT_RETRY)}, timeout {span(timeout)}"
        f"{_from(policy.retry)}",
        f"  breaker  {_breaker(policy.breaker or DEFAULT_BREAKER)}{_from(policy.breaker)}",
        f"  budget   {_budget(policy.budget or DEFAULT_BUDGET)}{_from(policy.budget)}",
    ]
    kept = [
        word
        for word, clause in (("bulkhead", policy.bulkhead), ("rate", policy.rate))
        if clause is not None
    ]
    if kept:
        lines.append(f"  always   {' and '.join(kept)}, as declared")
    if setting.failing is Failing.HANG and not operation.repeatable and operation.probe is None:
        lines.append(
            "  note     a lost answer is not repeated: the service promises neither `keyed` nor"
            " `idempotent`"
        )
    return lines


def _assumed(operation: Operation) -> list[str]:
    """The clauses that the operation's policy does not have, and a default stands for."""
    policy = operation.policy
    clauses = {"retry": policy.retry, "breaker": policy.breaker, "budget": policy.budget}
    return [name for name, clause in clauses.items() if clause is None]


def _from(declared: object) -> str:
    return "" if declared is not None else " (a default: none is declared)"


def _retry(retry: Retry) -> str:
    times = "forever" if retry.retries is None else f"{retry.retries} times"
    cap = f" up to {span(retry.cap)}" if retry.cap is not None else ""
    return f"{times}, first back-off {span(retry.backoff)}{cap}"


def _breaker(breaker: Breaker) -> str:
    up_to = f" up to {span(breaker.probe_up_to)}" if breaker.probe_up_to is not None else ""
    return (
        f"opens at {breaker.percent}% of at least {breaker.calls} calls in {span(breaker.window)},"
        f" probes after {span(breaker.probe_after)}{up_to}"
    )


def _budget(budget: RetryBudget) -> str:
    return f"retries below {budget.percent}% of the requests of the last {span(budget.window)}"


# --- The picture -------------------------------------------------------------------------------


def size(results: Sequence[Result]) -> tuple[float, float]:
    return 10.0, 1.15 * len({result.strategy for result in results}) + 1.2


def picture(
    operation: Operation, setting: Setting, results: Sequence[Result]
) -> Callable[[Figure], None]:
    """The load over time: a row for each strategy, a column for each protection, one scale."""

    def draw(figure: Figure) -> None:
        strategies = list(dict.fromkeys(result.strategy for result in results))
        grid = figure.subplots(
            len(strategies), len(Protection), sharex=True, sharey=True, squeeze=False
        )
        for result in results:
            row, column = (
                strategies.index(result.strategy),
                list(Protection).index(result.protection),
            )
            _panel(grid[row, column], result, setting)
        for axes, protection in zip(grid[0], Protection, strict=True):
            axes.set_title(_COLUMNS[protection])
        for axes in grid.flat:
            axes.tick_params(left=axes in grid[:, 0], bottom=axes in grid[-1])
        _rows(grid, strategies)
        highest = max(max(result.course.load) for result in results)
        grid[0, 0].set(xlim=(0, setting.duration / 1_000), ylim=(0, highest * 1.12))
        figure.supxlabel("time (s)", fontsize=9)
        figure.supylabel(f"calls that reach the service, per {BUCKET} ms", fontsize=9)
        figure.suptitle(
            f"{operation.label}: {setting.clients} clients through an outage",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", ncols=3, frameon=False, fontsize=8)

    return draw


_COLUMNS: Final = {
    Protection.PLAIN: "retries alone",
    Protection.BREAKER: "with breaker",
    Protection.BUDGET: "with retry budget",
    Protection.BOTH: "with both",
}


def _rows(grid: Any, strategies: Sequence[str]) -> None:
    from sagalang.simulate.drawing import COLOURS

    for axes, strategy in zip(grid[:, 0], strategies, strict=True):
        axes.set_ylabel(strategy, color=COLOURS[strategy], fontweight="bold")


def _panel(axes: Axes, result: Result, setting: Setting) -> None:
    from sagalang.simulate.drawing import COLOURS

    found = measures(result.course, setting)
    load = result.course.load
    times = [(i + 0.5) * BUCKET / 1_000 for i in range(len(load))]
    colour = COLOURS[result.strategy]
    axes.axvspan(
        setting.down_at / 1_000, setting.up_again / 1_000, color="#eeeeee", lw=0, label="down"
    )
    axes.axhline(found.normal, color="#555555", lw=0.7, ls=(0, (3, 2)), label="normal load")
    outline = [(0.0, 0), *_corners(times, load), (times[-1], 0)]
    axes.fill(*zip(*outline, strict=True), color=colour, lw=0)
    axes.grid(visible=False, axis="x")
    up = -(-setting.up_again // BUCKET)
    axes.plot([], [], lw=0, label="number: most calls after the outage")
    if found.peak:
        at = times[up + load[up:].index(found.peak)]
        late = at > 0.9 * times[-1]
        axes.annotate(
            f"{found.peak}",
            (at, found.peak),
            xytext=(3 if late else 0, 2),
            textcoords="offset points",
            fontsize=7.5,
            ha="right" if late else "center",
        )


def _corners(times: Sequence[float], load: Sequence[int]) -> list[tuple[float, int]]:
    """The points without those in the middle of a level stretch, which nobody would miss."""
    padded = [-1, *load, -1]
    return [
        (time, y)
        for time, before, y, after in zip(times, padded, load, padded[2:], strict=False)
        if not before == y == after
    ]
