"""The contention experiment as a table, as data and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sagalang.simulate.contention import BASE, CAP, HOP_DEVIATION, HOP_MEAN, STRATEGIES, Cell
from sagalang.simulate.table import aligned, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Of = Callable[[Cell], float]


def data(cells: Sequence[Cell], trials: int, seed: int) -> dict[str, Any]:
    """`took` in milliseconds; means over the trials."""
    return {
        "format_version": 1,
        "experiment": "contention",
        "trials": trials,
        "seed": seed,
        "hop": {"mean_ms": HOP_MEAN / 1_000, "deviation_ms": HOP_DEVIATION / 1_000},
        "backoff": {"base_ms": BASE / 1_000, "cap_ms": CAP / 1_000, "factor": 2},
        "cells": [
            {
                "strategy": cell.strategy,
                "clients": cell.clients,
                "calls": round(cell.calls, 2),
                "took": round(cell.took, 1),
            }
            for cell in cells
        ],
    }


def text(cells: Sequence[Cell], trials: int, seed: int) -> str:
    lines = [
        "contention: N clients write one row under optimistic locking"
        f" ({_runs(trials)}, seed {seed})",
        f"back-off {BASE // 1_000} ms * 2 up to {CAP // 1_000_000} s; a network hop takes"
        f" |N({HOP_MEAN // 1_000}, {HOP_DEVIATION // 1_000})| ms",
        "",
        *_table("calls until all are done", cells, lambda cell: cell.calls),
        "",
        *_table("ms until all are done", cells, lambda cell: cell.took),
    ]
    return "\n".join(lines)


def _table(title: str, cells: Sequence[Cell], of: Of) -> list[str]:
    numbers = sorted({cell.clients for cell in cells})
    by = {(cell.strategy, cell.clients): of(cell) for cell in cells}
    best = min(by[strategy, numbers[-1]] for strategy in STRATEGIES)
    rows = [[title, *(f"N={number}" for number in numbers), f"x best at {numbers[-1]}"]]
    rows += [
        [
            f"  {strategy}",
            *(f"{round(by[strategy, number]):,}" for number in numbers),
            figure(by[strategy, numbers[-1]] / best),
        ]
        for strategy in STRATEGIES
    ]
    return aligned(rows)


def picture(cells: Sequence[Cell], trials: int) -> Callable[[Figure], None]:
    """Calls and time against the number of clients."""

    def draw(figure: Figure) -> None:
        from sagalang.simulate.drawing import COLOURS, label_ends

        left, right = figure.subplots(1, 2)
        panels: list[tuple[Any, str, str, Of, str]] = [
            (left, "Work for the server", "calls until all are done", _calls, "linear"),
            (right, "Time for the clients", "time until all are done (s)", _seconds, "log"),
        ]
        numbers = sorted({cell.clients for cell in cells})
        for axes, title, label, of, scale in panels:
            axes.set(title=title, xlabel="clients that compete", ylabel=label, yscale=scale)
            ends: dict[str, float] = {}
            for strategy in STRATEGIES:
                line = {c.clients: of(c) for c in cells if c.strategy == strategy}
                ys = [line[number] for number in numbers]
                axes.plot(numbers, ys, color=COLOURS[strategy], lw=1.8, marker="o", ms=3.2)
                ends[strategy] = ys[-1]
            if scale == "linear":
                axes.set_ylim(bottom=0)
                axes.yaxis.set_major_formatter("{x:,.0f}")
            else:
                axes.yaxis.set_major_formatter("{x:g}")
            axes.set_xticks(numbers[1:] if len(numbers) > 4 else numbers)
            label_ends(axes, ends)
        figure.suptitle(
            f"Clients that compete for one row, by back-off ({_runs(trials)})",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )

    return draw


def _runs(trials: int) -> str:
    return "one trial" if trials == 1 else f"mean of {trials} trials"


SIZE = (9.0, 3.9)


def _calls(cell: Cell) -> float:
    return cell.calls


def _seconds(cell: Cell) -> float:
    return cell.took / 1_000
