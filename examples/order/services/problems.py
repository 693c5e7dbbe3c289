"""How a service says no (RFC 9457, application/problem+json)."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Problem(HTTPException):
    """A refusal; the type ends in the error's name, by which the caller tells errors apart."""

    def __init__(self, status: int, name: str, title: str, **fields: object) -> None:
        super().__init__(status, title)
        self.fields = {"type": f"https://sagalang.example/problems/{name}", **fields}


def answer(_: Request, error: Exception) -> Response:
    """Also to what the framework refuses (no such path), and to a bug: the log tells of that."""
    if not isinstance(error, HTTPException):
        error = HTTPException(500, "Internal error")
    fields = error.fields if isinstance(error, Problem) else {"type": "about:blank"}
    body = {**fields, "title": error.detail, "status": error.status_code}
    kind = "application/problem+json"
    return JSONResponse(body, error.status_code, error.headers, media_type=kind)


HANDLERS = {HTTPException: answer, Exception: answer}
