"""Start-up of the whole process against the import of the library it stands on.

python benchmarks/startup.py [--runs N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAGA = str(Path(sys.executable).parent / "saga")
PAIRS = (
    (
        "saga check examples/shop/shop.saga",
        [SAGA, "check", "examples/shop/shop.saga"],
        'python -c "import lark"',
        [sys.executable, "-c", "import lark"],
        3.0,
    ),
    (
        "saga --help",
        [SAGA, "--help"],
        'python -c "import click"',
        [sys.executable, "-c", "import click"],
        1.5,
    ),
)


def seconds(command: list[str]) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=21)
    runs = parser.parse_args().runs
    print(f"median of {runs} runs, warm, the two in turn")
    for name, command, peer_name, peer, target in PAIRS:
        for warm in (command, peer):
            seconds(warm)
        pairs = [(seconds(command), seconds(peer)) for _ in range(runs)]
        ours = statistics.median(a for a, _ in pairs)
        theirs = statistics.median(b for _, b in pairs)
        ratio = ours / theirs
        print(f"{name:<38} {ours * 1000:6.0f} ms")
        print(f"{peer_name:<38} {theirs * 1000:6.0f} ms")
        print(f"{'ratio':<38} {ratio:6.2f}    (target: at most {target})\n")


if __name__ == "__main__":
    main()
