"""`saga diff` as a user meets it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]
ORDER = "examples/order/order.saga"
SHOP = "examples/shop/shop.saga"


def diff(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", "diff", *map(str, arguments), cwd=ROOT)


@pytest.fixture
def dearer(tmp_path: Path) -> Path:
    """The order saga with a step more and another amount."""
    text = (ROOT / ORDER).read_text("utf-8")
    path = tmp_path / "new.saga"
    charge = "step Payment.charge(order.id, order.amount)"
    assert charge in text
    path.write_text(text.replace(charge, f"sleep 1s\n  {charge[:-1]} * 2)"), "utf-8")
    return path


@pytest.mark.parametrize("path", [ORDER, SHOP])
def test_a_file_is_safe_beside_itself(path: str) -> None:
    result = diff(path, path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "safe" in result.stdout
    assert "[1]" not in result.stdout


def test_each_change_is_a_sentence_with_both_places_and_each_position_names_its_changes(
    dearer: Path,
) -> None:
    result = diff(ORDER, dearer)
    assert result.returncode == 1
    assert result.stdout.replace(str(dearer), "NEW") == (
        "breaks  PlaceOrder: 4 of 13 positions safe, 9 broken\n"
        "\n"
        "  breaks  [1] sleep is new: a run that is past this place has not done it\n"
        f"          {ORDER}:59 -> NEW:59\n"
        "          help: let these runs end under the old definition\n"
        "\n"
        "  drain   [2] Payment.charge was sent with other arguments\n"
        f"          {ORDER}:59 -> NEW:60\n"
        "          help: switch over once these runs have ended\n"
        "\n"
        "  breaks  in Payment.charge (line 59)  [1][2]\n"
        "  breaks  undoing after Payment.charge (line 59)  [1][2]\n"
        "  breaks  before Inventory.reserve (line 60)  [1][2]\n"
        "  breaks  in Inventory.reserve (line 60)  [1][2]\n"
        "  breaks  undoing after Inventory.reserve (line 60)  [1][2]\n"
        "  breaks  before Orders.confirm (line 62)  [1][2]\n"
        "  breaks  in Orders.confirm (line 62)  [1][2]\n"
        "  breaks  undoing after Orders.confirm (line 62)  [1][2]\n"
        "  breaks  before the end (line 62)  [1][2]\n"
        "\n"
        "a run can always end under the definition that it began with\n"
    )


def test_programs_get_every_position(dearer: Path) -> None:
    result = diff(ORDER, dearer, "PlaceOrder", "--format", "json")
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert told["format_version"] == 1
    (saga,) = told["sagas"]
    assert (saga["saga"], saga["verdict"]) == ("PlaceOrder", "breaks")
    assert [change["verdict"] for change in saga["changes"]] == ["breaks", "drain"]
    assert saga["positions"][0] == {
        "position": "before Orders.create (line 58)",
        "kind": "before",
        "statement": "Orders.create",
        "path": "Orders.create",
        "when_compensated": False,
        "at": {"file": ORDER, "line": 58, "column": 3},
        "verdict": "safe",
        "changes": [],
    }
    assert len(saga["positions"]) == 13


def test_what_it_cannot_read_is_a_usage_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.saga"
    broken.write_text("saga Buy( {", "utf-8")
    for arguments, told in (
        ((ORDER, broken), "nothing was compared"),
        ((ORDER, "-"), "reads two files"),
        ((ORDER, tmp_path / "missing.saga"), "SG901"),
        ((ORDER, ORDER, "PlaceOder"), "did you mean `PlaceOrder`?"),
        ((ORDER,), "Missing argument"),
    ):
        result = diff(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert told in result.stderr
