"""What can go wrong in the use of sagalang from Python: one family, `Error`.

None of them says anything about what a saga did: that a saga was compensated is a result.
"""

from __future__ import annotations


class Error(Exception):
    """The message is a plain sentence, `advice` what to do ('' where there is nothing to say)."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.message, self.advice = message, advice

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message


class InvalidProgram(Error):  # noqa: N818
    """The `.saga` file has errors, or cannot be read. `rendered`: they, as `saga check` shows
    them."""

    def __init__(self, message: str, rendered: str) -> None:
        super().__init__(message)
        self.args = (message, rendered)
        self.rendered = rendered

    def __str__(self) -> str:
        return f"{self.message}\n\n{self.rendered}"


class InvalidInput(Error):  # noqa: N818
    """What was given is not of its type, or the file knows nothing of that name. No message holds
    a value."""


class OtherInput(Error):  # noqa: N818
    """The id is that of a run with other input."""


class NoSuchRun(Error):  # noqa: N818
    """There is no run of this id."""


class RunOver(Error):  # noqa: N818
    """The run has ended: it takes in nothing more."""


class NotSettled(Error):  # noqa: N818
    """What a person decided does not fit what is open."""


class NotConnected(Error):  # noqa: N818
    """The services cannot be reached as declared: an environment variable is not set, a binding
    leads nowhere. Nothing was called."""


class EarlierRun(Error):  # noqa: N818
    """The services remember a run of this id of which no journal is here, and this one would have
    to undo what that one may have completed. Nothing was undone."""


class StoreError(Error):
    """The journal cannot be used: another process owns it, the disk is full, a key is missing."""


class Closed(Error):  # noqa: N818
    """The sagas were used after their `with` block, or in a forked process."""
