"""What a service answers, and how it says no (RFC 9457, application/problem+json)."""

from dataclasses import dataclass, field

PROBLEMS = "https://sagalang.example/problems/"
RETRY_SOON = {"Retry-After": "1"}


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A refusal; the type ends in the error's name, by which the caller tells errors apart."""

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        headers: dict[str, str] | None = None,
        **fields: object,
    ) -> None:
        super().__init__(title)
        body = {"type": PROBLEMS + name, "title": title, "status": status, **fields}
        self.answer = Answer(status, body, headers or {})


def malformed(detail: str) -> Problem:
    return Problem(400, "Malformed", "The request is malformed", detail=detail)


def fenced(detail: str) -> Problem:
    return Problem(409, "idempotency/fenced", "Undone already: this came too late", detail=detail)
