"""`saga fmt` as a user meets it: what it writes, says and returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.fmt import command

UGLY = "record   A{x:int}\r\n"
NICE = "record A { x: int }\n"
WRONG = "record A { x int }\n"


def fmt(*arguments: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    files = {"ugly.saga": UGLY, "nice.saga": NICE, "inner/ugly.saga": UGLY, "note.txt": UGLY}
    for name, text in {**files, ".hidden/ugly.saga": UGLY}.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def test_files_below_a_folder_are_rewritten_and_named(folder: Path) -> None:
    before = os.stat(folder / "nice.saga").st_mtime_ns
    result = fmt(folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"reformatted {folder / 'ugly.saga'}",
        f"reformatted {folder / 'inner' / 'ugly.saga'}",
        "2 files reformatted, 1 file left as it is",
    ]
    for name in ("ugly.saga", "nice.saga", "inner/ugly.saga"):
        assert (folder / name).read_bytes() == NICE.encode()
    for name in ("note.txt", ".hidden/ugly.saga"):
        assert (folder / name).read_bytes() == UGLY.encode()
    assert os.stat(folder / "nice.saga").st_mtime_ns == before
    assert fmt(folder).stdout == "3 files left as they are\n"


def test_check_writes_nothing_and_exits_1(folder: Path) -> None:
    result = fmt("--check", folder / "ugly.saga", folder / "nice.saga")
    assert result.exit_code == 1
    assert f"would reformat {folder / 'ugly.saga'}\n" in result.stdout
    assert (folder / "ugly.saga").read_bytes() == UGLY.encode()
    assert fmt("--check", folder / "nice.saga").exit_code == 0


@pytest.mark.parametrize("text", ["\ufeff" + NICE, NICE.replace("\n", "\r\n"), NICE[:-1]])
def test_check_sees_a_mark_line_ends_and_a_missing_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.saga"
    file.write_bytes(text.encode())
    assert fmt("--check", file).exit_code == 1
    assert fmt(file).exit_code == 0
    assert file.read_bytes() == NICE.encode()


def test_diff_shows_the_difference_and_writes_nothing(folder: Path) -> None:
    file = folder / "ugly.saga"
    result = fmt("--diff", file)
    assert result.exit_code == 1
    assert f"--- {file}\n+++ {file} (formatted)\n" in result.stdout
    assert "\n+record A { x: int }\n" in result.stdout
    assert file.read_bytes() == UGLY.encode()
    assert fmt("--diff", folder / "nice.saga").stdout == ""


def test_a_file_with_a_mistake_is_left_alone_and_the_others_are_done(folder: Path) -> None:
    (folder / "inner" / "ugly.saga").write_text(WRONG)
    result = fmt(folder)
    assert result.exit_code == 2
    assert "error[SG001]" in result.stderr
    assert "1 file reformatted, 1 file left as it is, 1 file with errors left alone" in (
        result.stdout
    )
    assert (folder / "inner" / "ugly.saga").read_text() == WRONG
    assert (folder / "ugly.saga").read_text() == NICE


def test_a_missing_path_is_told_before_anything_is_written(folder: Path) -> None:
    result = fmt(folder, folder / "no.saga")
    assert result.exit_code == 2
    assert f"there is no file or folder {folder / 'no.saga'}" in result.stderr
    assert (folder / "ugly.saga").read_bytes() == UGLY.encode()


def test_the_mode_of_a_file_and_a_link_to_it_stay(folder: Path) -> None:
    os.chmod(folder / "ugly.saga", 0o640)
    (folder / "link.saga").symlink_to("ugly.saga")
    assert fmt(folder / "link.saga").exit_code == 0
    assert (folder / "link.saga").is_symlink()
    assert (folder / "ugly.saga").read_text() == NICE
    assert (folder / "ugly.saga").stat().st_mode & 0o777 == 0o640


def test_standard_input_goes_to_standard_output() -> None:
    assert fmt("-", stdin=UGLY.encode()).stdout_bytes == NICE.encode()
    assert fmt("-", "--check", stdin=UGLY.encode()).exit_code == 1
    assert fmt("-", "--check", stdin=NICE.encode()).exit_code == 0
    wrong = fmt("-", stdin=WRONG.encode())
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "<stdin>:1:" in wrong.stderr


def test_standard_input_goes_with_no_other_path(folder: Path) -> None:
    result = fmt("-", folder)
    assert result.exit_code == 2
    assert "standard input" in result.stderr


def test_a_folder_without_files_is_a_mistake_as_for_saga_test(tmp_path: Path) -> None:
    for result in (fmt(tmp_path), fmt("--check", tmp_path)):
        assert result.exit_code == 2
        assert f"there is no .saga file in {tmp_path}" in result.stderr


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_bytes(b"let a = 1\n\xff")
    result = fmt(tmp_path / "a.saga")
    assert result.exit_code == 2
    assert "line 2 is not UTF-8" in result.stderr


def test_it_is_a_command_of_saga(folder: Path) -> None:
    saga = Path(sys.executable).parent / "saga"
    result = subprocess.run([saga, "fmt", "--check", folder], capture_output=True, check=False)
    assert result.returncode == 1
    assert b"2 files would be reformatted" in result.stdout
