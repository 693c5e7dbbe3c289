"""Install the wheel, and the wheel built from the sdist, in fresh environments and use them.

python tests/dist/try_wheel.py DIST
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def use(package: Path, folder: Path) -> None:
    """Install `package` alone and run it where no source tree is near."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    saga = folder / "env" / "bin" / "saga"

    def run(*command: object, status: int = 0) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package)
    tables = run(
        python,
        "-c",
        "import sagalang.syntax, pathlib;"
        "here = pathlib.Path(sagalang.syntax.__file__).parent;"
        "from sagalang.syntax import tables as t;"
        "grammar = t.grammar_path().read_text('utf-8');"
        "data = (here / 'saga.tables').read_bytes();"
        "print(t.grammar_path().parent == here, data[:32] == t.fingerprint(grammar))",
    )
    assert tables.split() == ["True", "True"], f"the wheel brings no usable tables: {tables}"
    run(saga, "--version")
    run(saga, "new", "trip")
    assert "ok" in run(saga, "check", "trip/trip.saga")
    assert "completed" in run(saga, "run", "trip/trip.saga", "--mock")
    run(saga, "run", "trip/trip.saga", "--mock", "--fault", "Airline.book rejects NoSeat", status=1)
    assert "sequenceDiagram" in run(saga, "render", "trip/trip.saga")
    run(saga, "compile", "trip/trip.saga", "-o", "out")
    assert "missing-compensation" in run(saga, "explain", "SG301")


def main() -> None:
    dist = Path(sys.argv[1]).resolve()
    for package in [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]:
        with tempfile.TemporaryDirectory() as folder:
            use(package, Path(folder))
        print(f"{package.name}: installs and works outside the source tree")


if __name__ == "__main__":
    main()
