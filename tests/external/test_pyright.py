"""The real Pyright reads everything that we generate, in one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from compile.generated_modules import write_all

PYRIGHT = Path(__file__).parent / "pyright" / "node_modules" / "pyright" / "index.js"

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not PYRIGHT.is_file(),
        reason="run: npm install --no-audit --no-fund --prefix tests/external/pyright",
    ),
]

SETTINGS = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    # A variable has the name that the source gives it, in capitals too.
    "reportConstantRedefinition": False,
}


def read(folder: Path) -> dict[str, Any]:
    """What Pyright says of the files in a folder."""
    settings = {"include": ["."], **SETTINGS}
    folder.joinpath("pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        ["node", str(PYRIGHT), "--outputjson", "-p", ".", "--pythonpath", sys.executable],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=1_800,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_pyright_finds_nothing_in_generated_code(tmp_path: Path) -> None:
    written = write_all(tmp_path)
    told = read(tmp_path)
    found = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in told["generalDiagnostics"]
    ]
    assert not found, "\n".join(found[:20])
    assert told["summary"]["filesAnalyzed"] == written


def test_the_check_itself_can_fail(tmp_path: Path) -> None:
    tmp_path.joinpath("wrong.py").write_text(
        "from sagalang.runtime.saga import Call, Saga\n\n\n"
        "async def f(saga: Saga, call: Call[int]) -> str:\n"
        '    return await saga.step("step", call)\n'
    )
    (found,) = read(tmp_path)["generalDiagnostics"]
    assert found["rule"] == "reportReturnType"
