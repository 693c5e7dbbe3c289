"""Doing something again whenever a file changes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection
from typing import Final

import click

_EVERY: Final = 0.05
"""Seconds between two looks: a save is answered at once, and nobody's fan begins to turn."""

Stamps = dict[str, tuple[int, int] | None]


def again_and_again(work: Callable[[], Collection[str]]) -> None:
    """Do the work, which tells what files it read, and again after each change of one of them.

    Ends the program with status 0 at Ctrl-C.
    """
    try:
        while True:
            began = time.time_ns()
            files = work()
            click.echo("waiting for changes; Ctrl-C ends", err=True)
            seen = _stamps(files)
            if any(stamp and stamp[0] >= began for stamp in seen.values()):
                continue  # saved while it was being read
            while _stamps(files) == seen:
                time.sleep(_EVERY)
    except KeyboardInterrupt:
        sys.exit(0)


def _stamps(files: Collection[str]) -> Stamps:
    made: Stamps = {}
    for name in files:
        try:
            info = os.stat(name)
            made[name] = info.st_mtime_ns, info.st_size
        except OSError:
            made[name] = None
    return made
