"""What other processes send to runs, and the owner takes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from engines.stores import new, opened
from sagalang.runtime.engine import NoSuchRunError
from sagalang.runtime.sqlite import Message, Store, reading, send

SENDER = """
import sys
from pathlib import Path
from sagalang.runtime.sqlite import send
for n in range(int(sys.argv[3])):
    send(Path(sys.argv[1]), "o-1", "signal", f"{sys.argv[2]}-{n}", b"%d" % n, 0, patience=60)
"""


async def begun(store: Store) -> int:
    run, seq = store.begin(new("o-1"), b"")
    await store.committed(seq)
    return run


def test_messages_of_other_processes_come_once_and_in_order(path: Path) -> None:
    async def main() -> None:
        messages: list[Message] = []
        with opened(path) as store:
            run = await begun(store)
            store.listen(messages.append)
            command = (sys.executable, "-c", SENDER, path)
            start = asyncio.create_subprocess_exec
            senders = [await start(*command, name, "20") for name in ("a", "b")]
            while len(messages) < 40:  # the owner writes all the while
                await store.committed(store.append(run, b""))
                await asyncio.sleep(0.001)
            assert [await each.wait() for each in senders] == [0, 0]
            await asyncio.sleep(0.3)
        assert [each.number for each in messages] == list(range(1, 41))
        for name in ("a", "b"):
            assert [each.event for each in messages if each.event.startswith(name)] == [
                f"{name}-{n}" for n in range(20)
            ]
        assert {(each.run, each.run_id, each.kind) for each in messages} == {(run, "o-1", "signal")}

    asyncio.run(main())


def test_a_message_waits_for_an_owner_until_one_has_dealt_with_it(path: Path) -> None:
    async def owner(act: bool) -> list[bytes]:
        messages: list[Message] = []
        with opened(path) as store:
            store.listen(messages.append)
            await asyncio.sleep(0.3)
            if act:
                seq = store.append(messages[0].run, b"taken", took=messages[0].number)
                store.refuse(messages[1].number, "there is nothing to settle")
                await store.committed(seq)
        return [each.body for each in messages]

    async def first() -> None:
        with opened(path) as store:
            await begun(store)

    asyncio.run(first())
    one = send(path, "o-1", "signal", "e-1", b"one", 5)
    two = send(path, "o-1", "settle", "e-1", b"two", 6)
    assert asyncio.run(owner(act=False)) == [b"one", b"two"]
    assert asyncio.run(owner(act=True)) == [b"one", b"two"]
    assert asyncio.run(owner(act=False)) == []
    with reading(path) as reader:
        taken, refused = reader.message(one.number), reader.message(two.number)
        assert taken is not None
        assert refused is not None
        assert reader.entries(1)[-1] == (taken.taken, b"taken")
        assert refused.refused == "there is nothing to settle"
        assert reader.messages(1) == [taken, refused]


def test_the_same_event_is_kept_once(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            await begun(store)
            one = send(path, "o-1", "signal", "e", b"first", 5)
            assert send(path, "o-1", "signal", "e", b"again", 6) == one
            assert send(path, "o-1", "cancel", "e", b"", 7).number != one.number
            with pytest.raises(NoSuchRunError, match="there is no run o-2"):
                send(path, "o-2", "signal", "e", b"", 7)

    asyncio.run(main())


def test_a_listener_hears_each_while_it_listens(path: Path) -> None:
    async def main() -> None:
        messages: asyncio.Queue[Message] = asyncio.Queue()
        with opened(path) as store:
            await begun(store)
            store.listen(messages.put_nowait)
            for name in ("one", "two", "three"):
                await asyncio.to_thread(send, path, "o-1", "signal", name, b"", 5)
                heard = await asyncio.wait_for(messages.get(), 60)
                assert heard.event == name

    asyncio.run(main())
