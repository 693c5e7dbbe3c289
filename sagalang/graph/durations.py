"""Durations as people read them."""

from __future__ import annotations

from typing import Final

from sagalang.model.program import Ms

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def duration(time: Ms) -> str:
    """As the language writes it: `1h30m`, `200ms`, `2s`, `1s500ms`."""
    parts: list[str] = []
    for unit, size in _UNITS:
        count, time = divmod(time, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def seconds(time: Ms) -> str:
    """In seconds, without needless digits: `93.4s`."""
    whole, rest = divmod(time, 1_000)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".") + "s"
