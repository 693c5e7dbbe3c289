"""sagalang: a language for sagas.

with sagalang.open("shop.saga", db=".saga/journal.db") as shop:
    result = shop.run("PlaceOrder", {"id": "o-1", ...})
"""

__version__ = "0.1.0"

__all__ = [
    "AsyncRun",
    "AsyncSagas",
    "Closed",
    "EarlierRun",
    "Error",
    "Failure",
    "How",
    "InvalidInput",
    "InvalidProgram",
    "NoSuchRun",
    "NotConnected",
    "NotSettled",
    "OtherInput",
    "Outcome",
    "Owed",
    "Result",
    "Run",
    "RunInfo",
    "RunOver",
    "RunView",
    "Sagas",
    "State",
    "StoreError",
    "open",
]

TYPE_CHECKING = False
if TYPE_CHECKING:  # Imported when it is used; type checkers and editors see it at once.
    from sagalang.api import (
        AsyncRun,
        AsyncSagas,
        Closed,
        EarlierRun,
        Error,
        Failure,
        How,
        InvalidInput,
        InvalidProgram,
        NoSuchRun,
        NotConnected,
        NotSettled,
        OtherInput,
        Outcome,
        Owed,
        Result,
        Run,
        RunInfo,
        RunOver,
        RunView,
        Sagas,
        State,
        StoreError,
        open,  # noqa: A004
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sagalang import api

        found = globals()[name] = getattr(api, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
