"""What a run was asked to be: read and checked before anything is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.model import program as p
    from sagalang.runtime.fault_script import Script
    from sagalang.runtime.faults import PlannedFault
    from sagalang.runtime.values import Values
    from sagalang.workspace import Loaded


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, read and checked; nothing has been called yet."""

    loaded: Loaded
    saga: p.Saga
    args: dict[str, Any]
    values: Values
    origin: str
    faults: list[p.Fault]
    fault_texts: tuple[str, ...]
    planned: list[PlannedFault]
    sends: list[p.Send]
    cancel_after: int | None
    latency: int | tuple[int, int]
    mock: bool
    script: Script | None = None

    @property
    def operations(self) -> Mapping[str, p.Operation]:
        """By `Service.operation`."""
        services = self.loaded.program.services.values()
        return {o.label: o for service in services for o in service.operations.values()}

    def struck(self, outside: Sequence[p.Fault]) -> list[tuple[str, bool]]:
        """Each `--fault` as it was written, and whether it happened. `outside`: those that
        happened outside of the services."""
        from sagalang.runtime.faults import CRASHES

        planned = iter(self.planned)
        made = []
        for text, fault in zip(self.fault_texts, self.faults, strict=True):
            if fault.kind in CRASHES:
                made.append((text, any(fault is one for one in outside)))
            else:
                made.append((text, next(planned).struck))
        return made


def prepare(
    file: str,
    saga_name: str | None,
    given: str | None,
    new_id: str | None,
    mock: bool,
    faults: tuple[str, ...],
    script_file: str | None,
    sends: tuple[str, ...],
    cancel_after: str | None,
    latency: str,
) -> Plan:
    """Read and check everything. Raises InputProblem, TextProblem, DecodeError."""
    from sagalang.cli import inputs
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.runtime.fault_script import saga_args
    from sagalang.runtime.faults import plan as plan_faults
    from sagalang.runtime.values import Values
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing was run", err=True)
        sys.exit(2)
    values = Values(loaded.program)
    script = inputs.read_fault_script(loaded, script_file, values) if script_file else None
    if script and saga_name not in (None, script.saga):
        raise inputs.InputProblem(
            f"{script_file} is about {script.saga}, not {saga_name}", f"name it: … {script.saga}"
        )
    saga = inputs.choose_saga(loaded, script.saga if script else saga_name)
    scripted = saga_args(script, loaded.program, values) if script and given is None else None
    if scripted is None:
        read = inputs.read_input(loaded, saga, given, values, mock=mock)
    else:
        read = inputs.Given(scripted, f"{script_file}")
    if new_id is not None and not new_id.strip():
        raise inputs.InputProblem("an id cannot be empty", "for example --id o-2")
    args = inputs.with_id(saga, read.args, new_id, values) if new_id else read.args
    wanted = inputs.read_faults(loaded, faults)
    return Plan(
        loaded,
        saga,
        args,
        values,
        read.origin,
        wanted,
        faults,
        plan_faults(loaded.program, values, wanted),
        inputs.read_sends(loaded, sends),
        parse_duration(cancel_after) if cancel_after else None,
        parse_latency(latency),
        mock,
        script,
    )


def parse_duration(text: str) -> int:
    """`500ms`, `2s`, `1h30m` as milliseconds. Raises InputProblem."""
    import re

    from sagalang.cli.inputs import InputProblem

    units = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    if not re.fullmatch(r"(\d{1,9}(ms|s|m|h|d))+", text):
        raise InputProblem(f"`{text}` is not a duration", "write it as 500ms, 2s or 1h30m")
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)(ms|s|m|h|d)", text))


def parse_latency(text: str) -> int | tuple[int, int]:
    """`20` or `10-50`, in milliseconds. Raises InputProblem."""
    from sagalang.cli.inputs import InputProblem

    low, dash, high = text.removesuffix("ms").partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise InputProblem(f"`{text}` is not a latency", "write it in milliseconds: 20, or 10-50")
    if not dash:
        return int(low)
    if int(low) > int(high):
        raise InputProblem(f"`{text}` goes backwards", f"write {high}-{low}")
    return int(low), int(high)
