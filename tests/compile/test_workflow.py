"""`saga compile` for teams that keep the generated code: check, difference, edits, templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.compile import command
from sagalang.compile.seal import Origin, origin, seal, source_of
from sagalang.compile.templating import blocks

ROOT = Path(__file__).parents[2]
ORDER = ROOT / "examples/order/order.saga"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "order.saga"
    path.write_bytes(ORDER.read_bytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    made = tmp_path / "made"
    assert compiled(source, made, "--tests").exit_code == 0
    return made


def compiled(source: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(source), "-o", str(folder), *options])


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# --- Seals -------------------------------------------------------------------------------------


def test_a_seal_tells_made_from_edited_from_foreign() -> None:
    made = seal("x = 1\n", "a.saga")
    assert origin(made) is Origin.MADE
    assert origin(made.replace("\n", "\r\n")) is Origin.MADE
    assert origin(made.replace("x = 1", "x = 2")) is Origin.EDITED
    assert origin(made + "\n") is Origin.EDITED
    assert origin("x = 1\n") is Origin.FOREIGN
    assert origin("") is Origin.FOREIGN
    assert source_of(made) == "a.saga"


@pytest.mark.parametrize("name", ["new\nline.saga", "ä b; what follows: sha256 x.saga", "\udc80"])
def test_any_name_of_a_source_can_be_sealed(name: str) -> None:
    made = seal("x = 1\n", name)
    assert (origin(made), source_of(made)) == (Origin.MADE, name)
    assert made.splitlines()[1] == "x = 1"


# --- --check and --diff ------------------------------------------------------------------------


def test_check_is_quiet_about_what_is_current(source: Path, folder: Path) -> None:
    done = compiled(source, folder, "--tests", "--check")
    assert (done.exit_code, done.output) == (0, "")
    done = compiled(source, folder, "--tests", "--diff")
    assert (done.exit_code, done.output) == (0, "")


def test_check_names_what_is_not_and_writes_nothing(source: Path, folder: Path) -> None:
    change(source, "3 times backoff", "4 times backoff")
    (folder / "test_order.py").unlink()
    before = (folder / "order.py").read_bytes()
    done = compiled(source, folder, "--tests", "--check")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"differs  {folder / 'order.py'}",
        f"missing  {folder / 'test_order.py'}",
    ]
    assert (folder / "order.py").read_bytes() == before
    assert not (folder / "test_order.py").exists()


def test_check_says_where_a_file_was_edited(source: Path, folder: Path) -> None:
    change(folder / "order.py", "retries=3", "retries=4")
    done = compiled(source, folder, "--check")
    assert done.exit_code == 1
    assert done.stdout == f"differs  {folder / 'order.py'} (was edited by hand since it was made)\n"


def test_check_finds_what_is_no_longer_made(source: Path, folder: Path) -> None:
    text = source.read_text()
    source.write_text(text[: text.index("scenario")])
    compiled(source, folder)
    assert compiled(source, folder, "--check").exit_code == 0  # tests are not asked for
    done = compiled(source, folder, "--tests", "--check")
    assert (done.exit_code, done.stdout) == (
        1,
        f"no longer made  {folder / 'test_order.py'}\n",
    )
    done = compiled(source, folder, "--tests")
    assert f"no longer made  {folder / 'test_order.py'} (delete it" in done.stdout
    assert (folder / "test_order.py").exists()


def test_what_other_sources_made_is_theirs(source: Path, folder: Path) -> None:
    other = source.with_name("other.saga")
    other.write_text('saga Other() { id "a" }')
    compiled(other, folder)
    (folder / "by_hand.py").write_text("x = 1\n")
    (folder / "latin.py").write_bytes(b"x = '\xe4'\n")
    assert compiled(source, folder, "--tests", "--check").exit_code == 0


def test_line_ends_are_no_difference(source: Path, folder: Path) -> None:
    made = folder / "order.py"
    made.write_bytes(made.read_bytes().replace(b"\n", b"\r\n"))
    assert compiled(source, folder, "--check").exit_code == 0
    assert compiled(source, folder).stdout.startswith("unchanged")
    assert b"\r\n" in made.read_bytes()


def test_diff_shows_what_would_change(source: Path, folder: Path) -> None:
    change(source, "3 times backoff", "4 times backoff")
    done = compiled(source, folder, "--diff")
    assert done.exit_code == 1
    assert f"--- {folder / 'order.py'}\n" in done.stdout
    changed = [line for line in done.stdout.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert any(line.startswith("-PATIENT") and "retries=3" in line for line in changed)
    assert any(line.startswith("+PATIENT") and "retries=4" in line for line in changed)
    assert "retries=3" in (folder / "order.py").read_text()


def test_diff_of_a_missing_file_adds_all_of_it(source: Path, tmp_path: Path) -> None:
    done = compiled(source, tmp_path / "new", "--diff")
    assert done.exit_code == 1
    assert done.stdout.startswith("--- /dev/null\n")
    assert not (tmp_path / "new").exists()


# --- Edits -------------------------------------------------------------------------------------


def test_an_old_generation_is_overwritten(source: Path, folder: Path) -> None:
    change(source, "3 times backoff", "4 times backoff")
    assert compiled(source, folder, "--tests").exit_code == 0
    assert "retries=4" in (folder / "order.py").read_text()


def test_an_edited_file_is_left_alone_and_so_are_the_others(source: Path, folder: Path) -> None:
    change(source, "3 times backoff", "4 times backoff")
    change(folder / "test_order.py", "== 3", "== 5")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = compiled(source, folder, "--tests")
    assert done.exit_code == 1
    where = folder / "test_order.py"
    assert f"error: {where} was edited by hand since it was made\n" in done.stderr
    for word in ("--diff", "--force", "--templates", "nothing was written"):
        assert word in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_of_somebody_else_is_left_alone(source: Path, folder: Path) -> None:
    (folder / "order.py").write_text("import this\n")
    done = compiled(source, folder)
    assert done.exit_code == 1
    assert f"error: {folder / 'order.py'} was not made by `saga compile`" in done.stderr
    assert (folder / "order.py").read_text() == "import this\n"


def test_force_overwrites(source: Path, folder: Path) -> None:
    (folder / "order.py").write_text("import this\n")
    assert compiled(source, folder, "--force").exit_code == 0
    assert compiled(source, folder, "--check").exit_code == 0


def test_a_folder_in_the_place_of_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "made" / "order.py").mkdir(parents=True)
    done = compiled(source, tmp_path / "made")
    assert done.exit_code == 2
    assert f"cannot read {tmp_path / 'made' / 'order.py'}" in done.stderr


# --- Templates ---------------------------------------------------------------------------------

HEAD = '{% extends "sagalang/module.py.jinja" %}\n'


def templates(folder: Path, text: str, name: str = "module.py.jinja") -> Path:
    made = folder / "templates"
    made.mkdir()
    (made / name).write_text(text)
    return made


def test_a_block_is_replaced_and_the_rest_stays(source: Path, tmp_path: Path) -> None:
    own = templates(
        tmp_path,
        HEAD + "{% block saga %}\n\n\n# {{ saga.name }}\n{{ super() }}{% endblock %}\n"
        "{% block main %}{% endblock %}\n",
    )
    made = tmp_path / "made"
    assert compiled(source, made, "--templates", str(own)).exit_code == 0
    text = (made / "order.py").read_text()
    assert "# PLACE_ORDER\n" in text
    assert "await saga.pivot(" in text
    assert "def main" not in text
    assert compiled(source, made, "--templates", str(own), "--check").exit_code == 0
    assert compiled(source, made, "--check").exit_code == 1


def test_the_template_of_the_tests_alone(source: Path, tmp_path: Path) -> None:
    text = '{% extends "sagalang/tests.py.jinja" %}\n{% block doc %}\n"""Ours."""\n{% endblock %}\n'
    own = templates(tmp_path, text, "tests.py.jinja")
    made = tmp_path / "made"
    assert compiled(source, made, "--tests", "--templates", str(own)).exit_code == 0
    assert (made / "test_order.py").read_text().splitlines()[1] == '"""Ours."""'
    assert "PlaceOrder, compiled from" in (made / "order.py").read_text()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (HEAD + "{% block sage %}{% endblock %}", 2, "did you mean `saga`?"),
        (HEAD + "{% block zzzzzz %}{% endblock %}", 2, "there are doc, imports, "),
        (HEAD + "\n{% block saga %}", 3, "endblock"),
        (HEAD + "{% block saga %}\n{{ saga.nam }}{% endblock %}", 3, "no attribute 'nam'"),
        (HEAD + "{% block saga %}{{ 1 / 0 }}{% endblock %}", 2, "ZeroDivisionError"),
        (HEAD + '{% block saga %}{% include "x" %}{% endblock %}', None, "no template `x`"),
        (HEAD + "{% block saga %}{{ 1 | nofilter }}{% endblock %}", 2, "nofilter"),
        (HEAD + "{% block saga %}def (:{% endblock %}", None, "not Python"),
        ("x = 1\n", 1, "does not extend ours"),
    ],
)
def test_a_wrong_template_is_told_with_its_place(
    text: str, line: int | None, says: str, source: Path, tmp_path: Path
) -> None:
    own = templates(tmp_path, text)
    done = compiled(source, tmp_path / "made", "--templates", str(own))
    assert done.exit_code == 2, done.output
    at = "" if line is None else f":{line}"
    assert done.stderr.startswith(f"error: {own / 'module.py.jinja'}{at}: ")
    assert says in done.stderr
    assert "Traceback" not in done.output
    assert not (tmp_path / "made").exists()


def test_a_folder_without_templates(source: Path, tmp_path: Path) -> None:
    done = compiled(source, tmp_path / "made", "--templates", str(tmp_path))
    assert done.exit_code == 2
    assert "there is no module.py.jinja or tests.py.jinja" in done.stderr


def test_the_page_names_every_block() -> None:
    page = (ROOT / "docs/compile.md").read_text()
    for name in ("module.py.jinja", "tests.py.jinja"):
        assert name in page
        for block in blocks(name):
            assert f"| `{block}` |" in page
