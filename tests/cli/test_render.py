"""`saga render` as a user meets it: what is drawn, where it goes, and what cannot be asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.render import command

ROOT = Path(__file__).parents[2]
ORDER = str(ROOT / "examples/order/order.saga")
SHOP = str(ROOT / "examples/shop/shop.saga")
SAGA = Path(sys.executable).parent / "saga"


def render(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)])


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a.mmd", b"sequenceDiagram"),
        ("a.puml", b"@startuml"),
        ("a.svg", b"<svg"),
        ("a.txt", b"PlaceOrder"),
        ("a.html", b"<!doctype html>"),
        ("a.dot", b"digraph"),
        ("a.PNG", b"\x89PNG"),
    ],
)
def test_the_name_of_the_output_says_the_format(tmp_path: Path, name: str, begins: bytes) -> None:
    result = render(ORDER, "-o", tmp_path / "new" / name)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "new" / name).read_bytes().lstrip().startswith(begins)
    assert result.stdout == ""
    assert f"wrote {tmp_path / 'new' / name}" in result.stderr


def test_without_an_output_the_picture_is_printed_and_nothing_else() -> None:
    result = render(ORDER, "--to", "svg")
    assert ET.fromstring(result.stdout).tag.endswith("svg")
    assert result.stderr == ""
    assert render(ORDER, "--to", "png").stdout_bytes.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message", "advice"),
    [
        ((ORDER, "-o", "a.foo"), "does not say what format", ".svg"),
        ((ORDER, "--as", "flow", "--to", "mermaid"), "cannot be drawn as mermaid", "--as sequence"),
        ((ORDER, "--as", "choreography", "--to", "pdf"), "cannot be drawn as pdf", "--as flow"),
        ((ORDER, "--direction", "LR"), "--direction is for graphs", "--as flow"),
        ((ORDER, "--as", "flow", "--when", "x"), "--when is for sequence", "leave out"),
        ((ORDER, "PlaceOrder", "more"), "one file at a time", "--as map"),
        ((), "nothing to draw", "saga render FILE"),
        ((ORDER, "--watch"), "--watch needs a file", "add -o"),
        ((ORDER, "--journal", "x"), "FILE does not go with --journal", "leave out FILE"),
        ((ORDER, "--atlas", "x", "--watch"), "--watch does not go with --atlas", "leave out"),
        ((ORDER, "Place"), "there is no saga `Place`", "PlaceOrder"),
        ((ORDER, "--when", "Payment.charge rejects OutOfStock"), "OutOfStock", "Declined"),
        ((ORDER, "--when", "Paymnt.charge rejects Declined"), "Paymnt", "Payment"),
    ],
)
def test_what_cannot_be_asked_for(arguments: tuple[str, ...], message: str, advice: str) -> None:
    result = render(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert advice in result.stderr
    assert result.stdout == ""


def test_a_file_with_errors_is_not_drawn_and_one_that_is_not_there_is_another_matter(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken.saga"
    broken.write_text("saga {")
    assert render(broken, "-o", tmp_path / "a.svg").exit_code == 1
    assert not (tmp_path / "a.svg").exists()
    assert render(tmp_path / "absent.saga").exit_code == 2


def test_when_draws_one_way_only() -> None:
    whole = render(SHOP, "--to", "text").stdout
    one = render(SHOP, "--to", "text", "--when", "Inventory.reserve rejects OutOfStock").stdout
    assert "point of no return" in whole
    assert "point of no return" not in one
    assert "compensated with OutOfStock" in one
    assert "release(key of authorize)" in one
    assert "Declined" not in one


def test_values_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "a.saga"
    source.write_text(
        "service Pay {\n"
        "  command take(order: string, amount: int, pin: secret string)"
        " keyed compensate give(key)\n"
        "  command give(of: key) idempotent, absent ok, fences late\n"
        "}\n"
        'saga Buy(order: string) {\n  id order\n  step Pay.take(order, 4711, "hunter2")\n}\n'
    )
    for target in ("mermaid", "plantuml", "text", "svg"):
        plain = render(source, "--to", target)
        shown = render(source, "--to", target, "--values")
        assert plain.exit_code == shown.exit_code == 0, plain.stderr + shown.stderr
        assert "4711" not in plain.stdout
        assert "4711" in shown.stdout
        assert "hunter2" not in plain.stdout + shown.stdout


def test_choreography_of_many_services_is_drawn_with_a_warning() -> None:
    result = render(SHOP, "--as", "choreography")
    assert result.exit_code == 0
    assert "too-many-participants" in result.stderr or "SG320" in result.stderr
    assert result.stdout.startswith("sequenceDiagram")
    assert render(ORDER, "--as", "choreography").stderr == ""


def test_a_map_of_a_folder_names_every_service_that_is_called() -> None:
    result = render(ROOT / "examples", "--as", "map")
    assert result.exit_code == 0, result.stderr
    for name in ("Orders", "Payment", "Inventory", "Shipping", "Notification", "Review"):
        assert name in result.stdout
    assert render(ROOT / "examples", "--as", "map", "--to", "mermaid").stdout.startswith("flow")


def test_a_map_of_a_folder_that_is_not_there() -> None:
    result = render("nowhere", "--as", "map")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_every_way_to_fail_gets_a_picture_and_a_place_in_the_index(tmp_path: Path) -> None:
    result = render(ORDER, "--atlas", tmp_path / "failures")
    assert result.exit_code == 0, result.stderr
    pictures = {file.name for file in (tmp_path / "failures").glob("*.svg")}
    assert len(pictures) >= 5
    for file in pictures:
        ET.parse(tmp_path / "failures" / file)
    page = (tmp_path / "failures/index.html").read_text("utf-8")
    text = (tmp_path / "failures/index.md").read_text("utf-8")
    for file in pictures:
        assert file in text
    assert page.count("<svg") == len(pictures)
    assert "OutOfStock" in page
    again = render(ORDER, "--atlas", tmp_path / "failures")
    assert "unchanged" in again.stderr


def until(met: Callable[[], bool], seconds: float = 20) -> None:
    began = time.monotonic()
    while not met():
        assert time.monotonic() < began + seconds, "it took too long"
        time.sleep(0.002)


def test_watch_draws_again_after_each_save_even_after_an_error(tmp_path: Path) -> None:
    for file in (ROOT / "examples/shop").glob("*.saga"):
        shutil.copy(file, tmp_path)
    source, picture = tmp_path / "shop.saga", tmp_path / "shop.svg"
    text = source.read_text("utf-8")
    process = subprocess.Popen(
        [SAGA, "render", source, "-o", picture, "--watch"],
        stderr=(tmp_path / "told").open("wb"),
    )

    def told() -> str:
        return (tmp_path / "told").read_text("utf-8")

    try:
        until(lambda: told().count("waiting") == 1)
        source.write_text("saga {")
        until(lambda: told().count("waiting") == 2)
        assert "nothing was drawn" in told()
        for hours in (7, 8):
            time.sleep(0.1)
            source.write_text(text.replace("deadline 6h", f"deadline {hours}h"))
            wanted = f"deadline {hours}h".encode()
            # How soon is for benchmarks/diagrams.py to measure.
            until(lambda wanted=wanted: wanted in picture.read_bytes())  # type: ignore[misc]
    finally:
        process.terminate()
        process.wait(10)


def test_a_pipe_or_a_device_is_written_to_as_it_is(tmp_path: Path) -> None:
    command = f"{SAGA} render {ORDER} --to mermaid -o /dev/stdout | cat"
    piped = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True
    )
    assert piped.stdout.startswith("sequenceDiagram")
    assert render(ORDER, "-o", "-").stdout == piped.stdout
    full = subprocess.run(
        [SAGA, "render", ORDER, "-o", "/dev/full", "--to", "svg"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert full.returncode == 2
    assert "cannot write /dev/full: No space left" in full.stderr
    command = f"{SAGA} render {ORDER} --to svg > /dev/full"
    lost = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False
    )
    assert (lost.returncode, "No space left" in lost.stderr) == (2, True), lost.stderr


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.svg").symlink_to(tmp_path / "real.svg")
    (tmp_path / "real.svg").write_text("old")
    assert render(ORDER, "-o", tmp_path / "link.svg").exit_code == 0
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "real.svg").read_text("utf-8").startswith("<svg")


def test_two_atlases_do_not_share_a_folder(tmp_path: Path) -> None:
    assert render(ORDER, "--atlas", tmp_path).exit_code == 0
    source = tmp_path / "other.saga"
    source.write_text(
        Path(ORDER).read_text("utf-8").replace("saga PlaceOrder", "saga Other").split("scenario")[0]
    )
    refused = render(source, "--atlas", tmp_path)
    assert refused.exit_code == 2
    assert "has an index.md of something else" in refused.stderr
