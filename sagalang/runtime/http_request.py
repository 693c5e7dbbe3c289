"""How one attempt is written down for HTTP: method, target, headers and body. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from sagalang.runtime.codec import EncodeError, dump, plain, text
from sagalang.runtime.contract import ParamSpec, Request

DEADLINE_HEADER: Final = "Saga-Deadline-Ms"
PLACEHOLDER: Final = re.compile(r"\{([^{}/?&=]+)\}")
_HEADER_TEXT: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")


class UnsendableError(ValueError):
    """A request that must not be sent, with a sentence that quotes no value."""


@dataclass(frozen=True, slots=True)
class Wire:
    """`target` is path and query, percent-encoded, to stand behind the service's base path."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


def valid_header(value: str) -> bool:
    """Whether the text can be sent as a header: printable ASCII without a line break."""
    return _HEADER_TEXT.fullmatch(value) is not None


def write(request: Request) -> Wire:
    """The request as HTTP; raises `UnsendableError` for what would hit another route."""
    contract = request.contract
    route = contract.route
    if route is None:
        raise UnsendableError(f"{contract.label} has no route")
    given = {
        spec.name: (spec, value) for spec, value in zip(contract.params, request.args, strict=True)
    }
    path, _, query = route.path.partition("?")
    used = {name for name in PLACEHOLDER.findall(route.path) if name in given}
    try:
        target = "/".join(_segment(part, given) for part in path.split("/"))
        pairs = [pair for item in query.split("&") if item for pair in _template(item, given)]
        rest = [pair for name, pair in given.items() if name not in used]
        headers = [("Accept", "application/json, application/problem+json")]
        body = None
        key = request.key if contract.promises.keyed else None
        key_field = contract.promises.key_field
        if key is not None and key_field is None:
            if not valid_header(key):
                raise UnsendableError("the key cannot be written as a header")
            headers.append((contract.promises.key_header, key))
        if route.method in ("GET", "DELETE"):
            pairs += [pair for spec, value in rest for pair in _pairs(spec, value)]
            if key is not None and key_field is not None:
                pairs.append(f"{_quote(key_field)}={_quote(key)}")
        else:
            fields = {s.wire: plain(value, s.type) for s, value in rest if value is not None}
            if key is not None and key_field is not None:
                fields[key_field] = key
            body = dump(fields)
            headers.append(("Content-Type", "application/json"))
    except EncodeError as error:
        raise UnsendableError(f"an argument cannot be written: {error}") from None
    if request.remaining is not None:
        headers.append((DEADLINE_HEADER, str(max(0, request.remaining))))
    target = target if target.startswith("/") else "/" + target
    return Wire(
        route.method, target + ("?" + "&".join(pairs) if pairs else ""), tuple(headers), body
    )


_Given = dict[str, tuple[ParamSpec, Any]]


def _quote(part: str) -> str:
    return quote(part, safe="")


def _segment(part: str, given: _Given) -> str:
    names = [name for name in PLACEHOLDER.findall(part) if name in given]
    if not names:
        return part

    def fill(match: re.Match[str]) -> str:
        if match[1] not in given:
            return match[0]
        spec, value = given[match[1]]
        if value is None:
            raise UnsendableError(f"the path parameter {spec.name} is null")
        return _quote(text(value, spec.type))

    filled = PLACEHOLDER.sub(fill, part)
    # An empty or dotted segment is removed or climbed by clients, proxies and servers alike: the
    # request would arrive at another route.
    if filled in ("", ".", ".."):
        raise UnsendableError(f"the path parameter {names[0]} would change the route")
    return filled


def _template(item: str, given: _Given) -> list[str]:
    """A `name={param}` of the route's own query string; dropped where the parameter is null."""
    names = [name for name in PLACEHOLDER.findall(item) if name in given]
    if any(given[name][1] is None for name in names):
        return []
    return [
        PLACEHOLDER.sub(
            lambda m: _quote(text(given[m[1]][1], given[m[1]][0].type)) if m[1] in given else m[0],
            item,
        )
    ]


def _pairs(spec: ParamSpec, value: Any) -> list[str]:
    if value is None:
        return []
    written = plain(value, spec.type)
    items = written if isinstance(written, list) else [written]
    return [
        f"{_quote(spec.wire)}={_quote(item if isinstance(item, str) else _json(item))}"
        for item in items
    ]


def _json(item: Any) -> str:
    encoded = dump(item).decode()
    return encoded[1:-1] if encoded.startswith('"') else encoded
