"""The house's own rules, each as a check that can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lark
import pytest

from sagalang.model.types import PRIMITIVES
from sagalang.syntax import tables, textmate

ROOT = Path(__file__).parents[2]
GRAMMAR = (ROOT / "grammar" / "saga.lark").read_text("utf-8")


def imported_by(statement: str) -> set[str]:
    """The top-level modules that are loaded after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


HEAVY = {"lark", "jinja2", "networkx", "graphviz", "httpx", "starlette", "uvicorn"}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import sagalang.runtime.engine, sagalang.machine.saga", set()),
        ("import sagalang.interpret.run", set()),
        ("import sagalang.cli.main", set()),
        ("from sagalang.cli.main import cli; cli(['--help'], standalone_mode=False)", set()),
        ("from sagalang.workspace import load; load('examples/shop/shop.saga')", {"lark"}),
    ],
)
def test_nothing_heavy_is_imported_unasked(statement: str, allowed: set[str]) -> None:
    assert imported_by(statement) & HEAVY <= allowed


def test_layers_are_kept_and_a_planted_violation_is_found(tmp_path: Path) -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    kept = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert kept.returncode == 0, kept.stdout
    planted = tmp_path / "sagalang"
    subprocess.run(["cp", "-r", ROOT / "sagalang", planted], check=True)
    subprocess.run(["cp", ROOT / "pyproject.toml", tmp_path], check=True)
    text_module = planted / "text.py"
    text_module.write_text(text_module.read_text() + "\nimport sagalang.model.types\n")
    broken = subprocess.run(
        [sys.executable, "-P", "-c", _LINT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "sagalang.text is not allowed to import sagalang.model" in broken.stdout


_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


def test_grammar_has_no_silently_resolved_conflict() -> None:
    lark.Lark(GRAMMAR, **tables.OPTIONS, strict=True)


def test_planted_conflict_is_found() -> None:
    planted = GRAMMAR.replace('best_effort: "best" "effort"', 'best_effort: "step"? "best"')
    assert planted != GRAMMAR
    with pytest.raises(lark.exceptions.GrammarError):
        lark.Lark(planted, **tables.OPTIONS, strict=True)


def test_highlighting_is_up_to_date_with_the_grammar() -> None:
    committed = (ROOT / "grammar" / "saga.tmLanguage.json").read_text("utf-8")
    assert committed == textmate.text(GRAMMAR), "run: make generated"


def test_highlighting_knows_every_keyword_and_type() -> None:
    committed = (ROOT / "grammar" / "saga.tmLanguage.json").read_text("utf-8")
    for word in [*textmate.keywords(GRAMMAR), *PRIMITIVES]:
        assert word in committed


def test_tables_of_another_grammar_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tables, "_HERE", tmp_path)  # no packaged tables here
    cache = tmp_path / "sagalang"
    cache.mkdir(mode=0o700)
    (cache / "saga.tables").write_bytes(b"\0" * 32 + b"not a pickle")
    monkeypatch.setattr(tables, "grammar_path", lambda: ROOT / "grammar" / "saga.lark")
    parser = tables.load_parser()
    assert parser.parse("let a = 1", start="declaration") is not None
    assert (cache / "saga.tables").read_bytes()[:32] == tables.fingerprint(GRAMMAR)


def test_a_cache_that_others_may_write_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tables, "_HERE", tmp_path)
    cache = tmp_path / "sagalang"
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.setattr(tables, "grammar_path", lambda: ROOT / "grammar" / "saga.lark")
    poison = tables.fingerprint(GRAMMAR) + b"cposix\nsystem\n(S'exit 1'\ntR."
    (cache / "saga.tables").write_bytes(poison)
    assert tables.load_parser().parse("let a = 1", start="declaration") is not None
