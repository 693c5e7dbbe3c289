"""What is seen of many runs at once: on a terminal a list in place, in a pipe a line for each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TextIO

from sagalang.cli.live import cut
from sagalang.cli.terminal import BLUE, GREEN, RED, YELLOW, coloured, paint
from sagalang.runtime import journal as j
from sagalang.runtime import words

if TYPE_CHECKING:
    from sagalang.cli.resuming.came import Ended
    from sagalang.host.handle import Handle

_TINT = {"completed": GREEN, "compensated": YELLOW, "escalated": RED, "failed": RED}


class Seen:
    """Told of every entry, and of the beginning and end of every run."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self._stream, self._quiet = stream, quiet
        self._tty = stream.isatty() and not quiet
        self._colour = coloured(stream)
        self._under_way: dict[str, tuple[str, str]] = {}
        """By id: the saga, and what it does."""
        self._roots: dict[str, str] = {}
        self._ended = self._drawn = 0

    def __call__(self, entry: j.Entry) -> None:
        root = self._roots.get(entry.saga_id, entry.saga_id)
        match entry:
            case j.ChildStarted():
                self._roots[entry.child_id] = root
            case j.SagaFinished() if entry.saga_id != root:
                self._roots.pop(entry.saga_id, None)
            case j.Intent():
                self._does(root, words.call(entry))
            case j.Waiting():
                self._does(root, f"{words.call(entry)}: {words.waiting(entry)}")
            case _:
                pass

    def begin(self, run_id: str, saga: str) -> None:
        self._under_way[run_id] = saga, ""

    def waits(self, handle: Handle) -> None:
        """A run that does not end soon."""
        from sagalang.machine.frames import waiting
        from sagalang.model.program import Wait

        state, statements = handle.run.state, handle.run.definition.statements
        if state is None or state.frame is None or handle.saga_id not in self._under_way:
            return
        at = [statements[leaf.place.path] for leaf in waiting(state.frame)]
        events = ", ".join(dict.fromkeys(each.event for each in at if isinstance(each, Wait)))
        if events:
            self._does(handle.saga_id, f"waits for {events}")
            if not self._tty:
                saga, does = self._under_way[handle.saga_id]
                self._line("waiting", handle.saga_id, saga, does)

    def ended(self, ended: Ended) -> None:
        self._under_way.pop(ended.run_id, None)
        self._ended += 1
        if not self._tty:
            self._line(ended.kind, ended.run_id, ended.saga, ended.error)

    def tick(self) -> None:
        if self._tty:
            self._draw()

    def finish(self) -> None:
        if self._tty:
            self._draw()
            print(file=self._stream)

    def _does(self, run_id: str, what: str) -> None:
        if run_id in self._under_way:
            # To the end of the list: what moved last is what is shown.
            saga, _ = self._under_way.pop(run_id)
            self._under_way[run_id] = saga, what

    def _line(self, kind: str, run_id: str, saga: str, note: str) -> None:
        if not self._quiet:
            state = paint(_TINT.get(kind, BLUE), f"{kind:<11}", self._colour)
            line = f"  {state}  {words.printable(run_id):<20}  {saga}  {note}".rstrip()
            print(line, file=self._stream, flush=True)

    def _draw(self) -> None:
        width, height = shutil.get_terminal_size((100, 30))
        most = min(height - 4, 12)
        lines = [
            f"  {words.printable(run_id):<20}  {saga:<16}  {does}"
            for run_id, (saga, does) in list(self._under_way.items())[-most:]
        ]
        lines.append(f"  {len(self._under_way)} to go, {self._ended} ended")
        out = [f"\x1b[{self._drawn}A\x1b[J"] if self._drawn else []
        out += [cut(line, width) + "\n" for line in lines]
        self._stream.write("".join(out))
        self._stream.flush()
        self._drawn = len(lines)
