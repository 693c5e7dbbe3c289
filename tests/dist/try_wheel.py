"""Install the wheel, and the wheel built from the sdist, in fresh environments and use them.

python tests/dist/try_wheel.py DIST

The wheel also as docs/compile.md has it for compiled sagas alone: without the parser and the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "order"
ORDER = {"id": "o-1", "sku": "tea", "qty": 2, "amount": 18.50}
SMALL = ("msgspec", "httpx")
"""What compiled sagas need beside sagalang itself; httpx only those that call HTTP services."""
ABSENT = ("lark", "jinja2", "networkx", "click", "graphviz", "starlette", "uvicorn")


class Environment:
    """A fresh virtual environment, used where no source tree is near."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        venv.create(folder / name, with_pip=True)
        self.python = folder / name / "bin" / "python"
        self.saga = folder / name / "bin" / "saga"

    def done(self, *command: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
        return done

    def run(self, *command: object, status: int = 0) -> str:
        return self.done(*command, status=status).stdout

    def install(self, *what: object) -> None:
        pip = (self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        self.run(*pip, *what)


def use(package: Path, folder: Path) -> Environment:
    """Install `package` with what it depends on."""
    full = Environment(folder, "env")
    python, saga, run = full.python, full.saga, full.run
    full.install(package)
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
    return full


def use_small(package: Path, full: Environment) -> None:
    """Run a compiled saga where there is nothing but what it needs, on the example's services."""
    folder = full.folder
    full.run(full.saga, "compile", EXAMPLE / "order.saga", "-o", "app")
    (folder / "order.json").write_text(json.dumps(ORDER))
    small = Environment(folder, "small")
    small.install(*SMALL)
    small.install("--no-deps", package)
    for name in ABSENT:
        assert (
            "ModuleNotFoundError"
            in small.done(small.python, "-c", f"import {name}", status=1).stderr
        )
    services = (full.python, EXAMPLE / "services", "--port", "0", "--dir", "data", "--run", "--")
    out = small.run(*services, small.python, "-m", "app.order", "order.json")
    assert json.loads(out)["outcome"] == "completed", out
    small.run(small.python, "-c", "import sagalang.runtime.saga_app, sagalang.runtime.saga_testing")
    small.run(small.python, "-c", "import sagalang.resilience, sagalang.idempotency")
    assert "pip install sagalang" in small.done(small.saga, "--version", status=2).stderr


def main() -> None:
    dist = Path(sys.argv[1]).resolve()
    for package in [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]:
        with tempfile.TemporaryDirectory() as folder:
            full = use(package, Path(folder))
            if package.suffix == ".whl":
                use_small(package, full)
                print(f"{package.name}: runs compiled sagas with {' and '.join(SMALL)} alone")
        print(f"{package.name}: installs and works outside the source tree")


if __name__ == "__main__":
    main()
