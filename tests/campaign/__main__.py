"""python -m campaign [--kills N] [--seed N]"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from campaign.campaign import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="campaign")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = campaign(
            Path(folder), given.seed, given.kills, say=lambda text: print(text, flush=True)
        )
    took = time.monotonic() - began
    print(
        f"{told.kills} orchestrators and {told.services_killed} services killed in {took:.0f} s: "
        + ", ".join(f"{count} {state}" for state, count in sorted(told.ends.items()))
    )
    for what in told.wrong:
        print(f"  wrong: {what}")
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
