"""Scenarios among the tests of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_command import BAD, GOOD, SAGA

pytest_plugins = ["pytester"]


@pytest.fixture
def own(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest with this plugin alone, installed or not."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_PLUGINS", "sagalang.cli.pytest_plugin")
    return pytester


def write(pytester: pytest.Pytester, **files: str) -> None:
    for name, text in files.items():
        (pytester.path / f"{name}.saga").write_text(text, "utf-8")


def test_scenarios_run_beside_ones_own_tests(own: pytest.Pytester) -> None:
    write(own, shop=SAGA + GOOD)
    own.makepyfile(test_own="def test_own(): pass")
    result = own.runpytest_inprocess("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["shop.saga::all is well PASSED*", "shop.saga::declined PASSED*"])


def test_a_failure_is_told_as_saga_test_tells_it(own: pytest.Pytester) -> None:
    write(own, shop=SAGA + GOOD + BAD)
    result = own.runpytest_inprocess()
    result.assert_outcomes(passed=2, failed=1)
    told = result.stdout.str()
    assert "error[SG503]: expected Payment.refund once; it was never called" in told
    assert "  --> shop.saga:30:10" in told
    assert "⊘ Declined" in told
    assert "Traceback" not in told


def test_one_scenario_can_be_asked_for(own: pytest.Pytester) -> None:
    write(own, shop=SAGA + GOOD + BAD)
    own.runpytest_inprocess("shop.saga::all is well").assert_outcomes(passed=1)
    own.runpytest_inprocess("-k", "declined").assert_outcomes(passed=1, deselected=2)


def test_files_without_scenarios_are_passed_over(own: pytest.Pytester) -> None:
    write(own, shop=SAGA, broken="saga {")
    own.makepyfile(test_own="def test_own(): pass")
    own.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_file_with_errors_is_an_error_of_collecting(own: pytest.Pytester) -> None:
    write(own, shop=SAGA.replace("charge(order, card)", "charge(order)") + GOOD)
    result = own.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    assert "error[SG202]" in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_which_files_is_an_option(own: pytest.Pytester) -> None:
    write(own, shop=SAGA + GOOD, shop_scenarios=SAGA + GOOD)
    own.makeini("[pytest]\nsaga_files = *_scenarios.saga")
    own.runpytest_inprocess().assert_outcomes(passed=2)


def test_the_seed_is_an_option(own: pytest.Pytester) -> None:
    fee = SAGA.replace("card: secret string)\n    keyed", "card: secret string) -> int\n    keyed")
    fee = fee.replace("{\n  id order\n  step Pay", "-> int {\n  id order\n  step fee = Pay")
    fee = fee.replace("capture(order)\n}\nlet", "capture(order)\n  return fee\n}\nlet")
    wanted = 'scenario "s" of Pay("o-1", card) { expect completed with 0 }\n'
    write(own, shop=fee + wanted)
    told = []
    for seed in ("0", "1"):
        own.makeini(f"[pytest]\nsaga_seed = {seed}")
        lines = own.runpytest_inprocess().stdout.lines
        told.append(next(line for line in lines if "it is" in line))
    assert told[0] != told[1]


def test_a_seed_that_is_no_number_is_told(own: pytest.Pytester) -> None:
    write(own, shop=SAGA + GOOD)
    own.makeini("[pytest]\nsaga_seed = many")
    result = own.runpytest_inprocess()
    assert result.ret != 0
    assert "saga_seed is not a whole number: many" in result.stdout.str() + result.stderr.str()


def test_without_saga_files_nothing_of_sagalang_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    loaded = [name for name in sys.modules if name.startswith('sagalang')]\n"
        "    assert sorted(loaded) == ['sagalang', 'sagalang.cli', 'sagalang.cli.pytest_plugin']\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "sagalang.cli.pytest_plugin", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
