"""The pictures of both examples that the documents show, as the command draws them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from pictured import GOLDEN, ROOT

from sagalang.cli.render import command

EXAMPLES = ("order", "shop")
OUT_OF_STOCK = ("--when", "Inventory.reserve rejects OutOfStock")
PICTURES = [
    *((name, f"svg/{name}-dark.svg", ("--theme", "dark")) for name in EXAMPLES),
    *((name, f"html/{name}.html", ("--theme", "auto")) for name in EXAMPLES),
    *((name, f"svg/{name}-choreography.svg", ("--as", "choreography")) for name in EXAMPLES),
    ("shop", "svg/shop-out-of-stock.svg", OUT_OF_STOCK),
    ("shop", "svg/shop-out-of-stock-dark.svg", (*OUT_OF_STOCK, "--theme", "dark")),
]


@pytest.mark.parametrize(("name", "golden", "options"), PICTURES, ids=[p[1] for p in PICTURES])
def test_the_command_draws_the_picture_that_is_shown(
    name: str,
    golden: str,
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(ROOT)
    drawn = tmp_path / Path(golden).name
    source = f"examples/{name}/{name}.saga"
    result = CliRunner().invoke(command, [source, "-o", str(drawn), *options])
    assert result.exit_code == 0, result.stderr
    kept = GOLDEN / golden
    if request.config.getoption("--bless"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(drawn.read_bytes())
    assert drawn.read_bytes() == kept.read_bytes(), f"{golden} differs (bless with --bless)"
