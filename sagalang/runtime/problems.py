"""What a transport's user, or the author of a Python service, may raise or be told."""

from __future__ import annotations


class NotSent(Exception):  # noqa: N818 - a name of the language
    """Raised by a Python service: nothing was done, and nothing will be.

    `retry_after`: milliseconds to wait before the next attempt, if the service knows.
    """

    def __init__(self, *args: object, retry_after: int | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after


class ConnectProblem(Exception):  # noqa: N818 - told to users, not a failure of the program
    """The services of a program cannot be reached as declared; told before anything is called."""


class EnvironmentProblem(ConnectProblem):
    """Environment variables that services need are not set, or not usable. All are named."""


class BindingError(ConnectProblem):
    """A service's binding does not lead to something that can be called."""
