"""A store with a definition in it, what tests put there, and disks that they stand on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from sagalang.runtime.sqlite import Change, NewRun, State, Store, open_store


def owned(path: Path) -> AbstractContextManager[Store]:
    return open_store(path, command="test", now=0)


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    with owned(path) as store:
        store.define("hash", "saga Order {}")
        yield store


def new(identity: str, began: int = 0, saga: str = "Order", parent: int | None = None) -> NewRun:
    return NewRun(id=identity, saga=saga, definition="hash", began=began, parent=parent)


def ended(at: int, state: State = State.COMPLETED) -> Change:
    return Change(state=state, at=at, ended=at)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options, folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
