"""Parse and check of generated programs, in one process: speed, growth, memory.

python benchmarks/front_end.py [--lines N …]

The peer is Lark alone on the same text and grammar: what parsing costs before we add anything.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("Orders", "Payment", "Inventory", "PlaceOrder", "Declined", "OutOfStock", "patient")


def program(lines: int) -> str:
    """At least so many lines: the order example again and again, under other names."""
    original = (ROOT / "examples" / "order" / "order.saga").read_text("utf-8")
    parts: list[str] = []
    count = 0
    while count < lines:
        text = original
        for name in (*NAMES, "sample"):
            text = re.sub(rf"\b{name}\b", f"{name}{len(parts)}", text)
        text = re.sub(r"\bOrder\b", f"Order{len(parts)}", text)
        parts.append(text)
        count += text.count("\n")
    return "".join(parts)


def measure(lines: int) -> None:
    """In a process of its own, so that the memory is that of one run."""
    from sagalang.syntax.parse import parse
    from sagalang.syntax.split import split
    from sagalang.syntax.tables import load_parser
    from sagalang.text import Source
    from sagalang.workspace import load_text

    text = program(lines)
    parse(Source("warm", program(1)))
    begun = time.perf_counter()
    loaded = load_text(text, "generated.saga")
    ours = time.perf_counter() - begun
    assert not loaded.diagnostics, loaded.diagnostics[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parser = load_parser()
    pieces = split(Source("generated.saga", text)).pieces
    begun = time.perf_counter()
    for start, end in pieces:
        parser.parse(text[start:end], start="declaration")
    peer = time.perf_counter() - begun
    size = len(text) / 1000
    print(
        f"{text.count(chr(10)):>7} lines {size:>6.0f} KB   parse and check {ours:6.2f} s"
        f" {size / ours:5.0f} KB/s   Lark alone {peer:6.2f} s   ratio {ours / peer:4.2f}"
        f"   peak {peak:4.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, nargs="*", default=[4_000, 12_000, 40_000])
    parser.add_argument("--one", type=int)
    given = parser.parse_args()
    if given.one:
        measure(given.one)
        return
    print("targets: at least 100 KB/s, linear up to 40,000 lines, under 300 MB")
    for lines in given.lines:
        subprocess.run([sys.executable, __file__, "--one", str(lines)], check=True)


if __name__ == "__main__":
    main()
