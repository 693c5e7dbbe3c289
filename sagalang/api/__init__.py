"""Sagas from Python: `sagalang.open`. What is listed here stands in `sagalang` itself."""

from sagalang.api.blocking import Run, Sagas
from sagalang.api.errors import (
    Closed,
    EarlierRun,
    Error,
    InvalidInput,
    InvalidProgram,
    NoSuchRun,
    NotConnected,
    NotSettled,
    OtherInput,
    RunOver,
    StoreError,
)
from sagalang.api.opening import open  # noqa: A004
from sagalang.api.results import Failure, How, Outcome, Owed, Result, RunInfo, RunView, State
from sagalang.api.sagas import AsyncRun, AsyncSagas

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
