"""Journals in one SQLite file: the storage of the embedded durable engine.

    with open_store(Path(".saga/journal.db"), command="saga serve", now=now) as store:
        store.define(hash, text)
        run, seq = store.begin(NewRun(id="o-1", saga="Order", definition=hash, began=now), first)
        await store.committed(seq)                   # now the run exists, whatever happens
        seq = store.append(run, intent)
        await store.committed(seq)                   # now the call may leave
        store.append(run, last, change=Change(state=State.COMPLETED, at=now, ended=now))

    with reading(path) as reader:                    # in any process, at any time
        for run in reader.runs(state=State.ESCALATED, since=yesterday):
            reader.entries(run.number)

    send(path, "o-1", "signal", "event-7", body, now)    # in any process; Store.listen hears it

The bodies of entries and messages are bytes that only the engine understands. A run's state is
what its entries say; what stands in `runs` repeats a part of that, for lists. Every mistake of the
world around the file is a `StoreError`: a sentence, and in `advice` what to do.

What can be relied on
    `append` gives an entry its number at once and blocks nothing. One thread commits all that has
    come together in the meantime, whosever run it is (group commit). After a crash the file holds
    a beginning of what was appended, without gaps, at least up to the last number for which
    `committed` returned. Numbers of entries and runs go up and are never used twice. No time that
    is stored decides about anything but lists and `prune`.

    A failed commit (disk full, I/O error, file deleted) ends the store: each waiting and later
    call raises the reason. What was appended since the last commit may or may not be in the file,
    as after a crash; it was never said to be.

    `synchronous = FULL`: a commit that returned is on the disk, as far as the disk is honest.

The format, version 1
    An SQLite file in WAL mode, `application_id` "SAGA", `user_version` the version of the format.
    Beside it, while it is open or was not closed: `-wal` (holds what was committed last: it belongs
    to the file, copy both) and `-shm`; `.lock`, always empty, stays. `.key`: see `sealing`.

    runs         a row for each run. `number` names it everywhere else, `parent` is the number of
                 the run whose step it is. state: running, completed, compensated, escalated.
                 `ended` is NULL while something can still happen.
    entries      seq, run, body: the journals of all runs, in the order in which things happened.
    definitions  hash, text: what runs go by, each stored once, never deleted.
    inbox        what other processes send. `taken`: the entry that holds it, or `refused`: why not.
    meta         `owner`: JSON, who has the file open; `last_seq`, `last_run`: the highest numbers,
                 where `prune` deleted those.

    Times are ms since the epoch, as the caller gave them. A later version is made of an earlier one
    when an owner opens it (`schema.MIGRATIONS`); an earlier sagalang refuses a later file.

Who may do what
    One process owns a file (`ownership`); it alone writes, with one connection. Others may insert
    into `inbox`. All may read: WAL keeps readers and the writer out of each other's way, but a
    reader that leaves a query open lets the log grow.
"""

from sagalang.runtime.sqlite.batch import Change, NewRun, State
from sagalang.runtime.sqlite.connecting import check
from sagalang.runtime.sqlite.errors import (
    ClosedError,
    DamagedError,
    DeviceError,
    ForeignFileError,
    FormatError,
    FullError,
    InUseError,
    LostError,
    MissingError,
    ReadOnlyError,
    RunExistsError,
    StoreError,
)
from sagalang.runtime.sqlite.inbox import Message, send
from sagalang.runtime.sqlite.ownership import Owner
from sagalang.runtime.sqlite.reading import Reader, Run, reading
from sagalang.runtime.sqlite.store import Store, open_store

__all__ = [
    "Change",
    "ClosedError",
    "DamagedError",
    "DeviceError",
    "ForeignFileError",
    "FormatError",
    "FullError",
    "InUseError",
    "LostError",
    "Message",
    "MissingError",
    "NewRun",
    "Owner",
    "ReadOnlyError",
    "Reader",
    "Run",
    "RunExistsError",
    "State",
    "Store",
    "StoreError",
    "check",
    "open_store",
    "reading",
    "send",
]
