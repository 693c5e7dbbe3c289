"""What a type checker knows of the API; `E:` stands where it must find an error."""

from typing import assert_type

import sagalang


async def asynchronous() -> None:
    async with sagalang.open("shop.saga", db=".saga/journal.db") as shop:
        assert_type(shop, sagalang.AsyncSagas)
        run = await shop.start("PlaceOrder", {"id": "o-1"})
        assert_type(run, sagalang.AsyncRun)
        assert_type(await run, sagalang.Result)
        assert_type(await run.result(), sagalang.Result)
        assert_type(shop.get("o-1"), sagalang.RunView)
        assert_type(shop.runs(state="escalated"), list[sagalang.RunInfo])
        assert_type([await each for each in await shop.resume()], list[sagalang.Result])
        await shop.signal("o-1", "Review", {"by": "eve"})
        await shop.settle("o-1", "pay", "retry", by="eve")
        print(run.result().outcome)  # E: attr-defined
        print(shop.start("PlaceOrder").id)  # E: attr-defined
        await shop.settle("o-1", "pay", "retri", by="eve")  # E: arg-type
        shop.runs(state="finished")  # E: arg-type


def blocking() -> None:
    with sagalang.open("shop.saga", services={"Payment": object()}) as shop:
        assert_type(shop, sagalang.Sagas)
        assert_type(shop.run("PlaceOrder", {"id": "o-1"}), sagalang.Result)
        run = shop.start("PlaceOrder", {"id": "o-1"})
        assert_type(run, sagalang.Run)
        assert_type(run.result(timeout=1), sagalang.Result)
        result = run.result()
        if result.outcome == "complete":  # E: comparison-overlap
            pass
        if result.error is not None:
            assert_type(result.error.name, str)
        print(result.error.name)  # E: union-attr
    sagalang.open("shop.saga").run("PlaceOrder")  # E: attr-defined
    sagalang.open("shop.saga", dbb="x")  # E: call-arg
    print(sagalang.opne)  # E: attr-defined


def errors() -> None:
    try:
        blocking()
    except sagalang.NoSuchRun as error:
        assert_type(error.advice, str)
    except sagalang.Error as error:
        print(error)
