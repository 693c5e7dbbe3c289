"""The time of a picture: a saga of 200 steps in each format, and the shop drawn again on a save.

python benchmarks/diagrams.py [--steps N]

Times are of one process that has everything imported and the saga checked, the best of three: the
model and what is made of it. The target is 1 s for each text format and SVG. The peer is PlantUML,
which draws the SVG of the same picture from our PlantUML text; it is started once with nothing to
draw, and that time is taken off. `--watch` is the whole command: from a save of the shop to the new
picture on disk, the median of ten saves; the target is 200 ms.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sagalang.graph import lower
from sagalang.render import formats
from sagalang.render.graphs import dot
from sagalang.render.graphs.flow import flow
from sagalang.render.listing import listing
from sagalang.render.sequence import model
from sagalang.workspace import load_text

ROOT = Path(__file__).parents[1]
SHOP = ROOT / "examples/shop"
TARGET, WATCH_TARGET = 1.0, 0.2
NOT_TEXT = "png"


def program(steps: int, services: int = 8) -> str:
    """Steps over some services, each undone, each of which may be refused."""
    declared = "\n".join(
        f"service S{s} {{\n"
        + "\n".join(
            f"  command do{n}(id: string) -> {{ n: string }} rejects Refused{n % 3} 409 keyed"
            f" compensate undo{n}(key)\n"
            f"  command undo{n}(of: key) idempotent, absent ok, fences late"
            for n in range(s, steps, services)
        )
        + "\n}"
        for s in range(services)
    )
    errors = "\n".join(f"error Refused{n}" for n in range(3))
    body = "\n".join(f"  step r{n} = S{n % services}.do{n}(id)" for n in range(steps))
    return f"{errors}\n{declared}\nsaga T(id: string) {{\n  id id\n{body}\n}}\n"


def best(work: Callable[[], object], rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def formats_of(steps: int) -> bool:
    loaded = load_text(program(steps))
    assert not loaded.has_errors, [str(d) for d in loaded.diagnostics]
    saga = loaded.program.sagas["T"]
    graph = lower(loaded.program, "T")
    text = listing(loaded.program, saga, loaded.sources[saga.span.file])
    peer = plantuml(formats.emit(model(graph), "plantuml"))
    print(f"{steps} steps, model and picture:")
    good = True
    for to in formats.FORMATS:
        seconds = best(lambda to=to: formats.emit(model(graph), to, "light", text))  # type: ignore[misc]
        size = len(formats.emit(model(graph), to, "light", text))
        verdict = "" if to == NOT_TEXT else f", target {TARGET:.0f} s"
        if to == "svg" and peer is not None:
            verdict += f", PlantUML {peer:.2f} s: {seconds / peer:.2f} of it"
        print(f"  {to:<9} {seconds:6.3f} s  {size / 1000:8.0f} KB{verdict}")
        good &= to == NOT_TEXT or seconds < TARGET
    seconds = best(lambda: dot.emit(flow(graph)))
    print(f"  {'dot':<9} {seconds:6.3f} s  {len(dot.emit(flow(graph))) / 1000:8.0f} KB")
    return good and seconds < TARGET


def plantuml(text: str | bytes) -> float | None:
    """Seconds that PlantUML takes for the SVG, its start taken off; None where there is none."""
    if shutil.which("plantuml") is None:
        print("no peer: plantuml is not installed (apt-get install plantuml)", file=sys.stderr)
        return None

    def drawn(given: str) -> float:
        began = time.perf_counter()
        command = ["plantuml", "-tsvg", "-pipe"]
        subprocess.run(command, input=given.encode(), capture_output=True, check=True, timeout=300)
        return time.perf_counter() - began

    assert isinstance(text, str)
    start = min(drawn("@startuml\na -> b\n@enduml\n") for _ in range(2))
    return max(drawn(text) - start, 0.001)


def watching() -> bool:
    """From a save to the new picture."""
    with tempfile.TemporaryDirectory() as folder:
        for file in SHOP.glob("*.saga"):
            shutil.copy(file, folder)
        source, picture = Path(folder, "shop.saga"), Path(folder, "shop.svg")
        command = [sys.executable, "-m", "sagalang", "render", str(source)]
        command += ["-o", str(picture), "--watch"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: picture.exists())
            times = [saved(source, picture, n) for n in range(10)]
        finally:
            process.terminate()
            process.wait(10)
    median = statistics.median(times)
    print(
        f"--watch, shop.saga as SVG: {median * 1000:.0f} ms from save to picture, "
        f"longest {max(times) * 1000:.0f} ms (target {WATCH_TARGET * 1000:.0f} ms)"
    )
    return median < WATCH_TARGET


def saved(source: Path, picture: Path, number: int) -> float:
    time.sleep(0.3)
    before = picture.read_bytes()
    text = source.read_text("utf-8").replace("deadline 6h", "deadline 5h")
    began = time.perf_counter()
    source.write_text(text if number % 2 == 0 else text.replace("deadline 5h", "deadline 6h"))
    wait_until(lambda: picture.read_bytes() != before)
    return time.perf_counter() - began


def wait_until(met: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not met():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    good = formats_of(steps)
    good &= watching()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
