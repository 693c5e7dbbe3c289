"""The pytest plugin: the scenarios of `.saga` files as tests, beside one's own.

    pytest                                   shop.saga::stock runs out
    saga_files = *.saga                      (ini) which files; empty: none
    saga_seed = 0                            (ini) as `saga test --seed`

Everything of sagalang is imported only once there is a file with scenarios. A file without any is
no file of tests and is not read, however wrong it is: `saga check` tells, and `saga test` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sagalang.model import program as p
    from sagalang.scenario import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "saga_files", "patterns of the files whose scenarios are tests", "args", ["*.saga"]
    )
    parser.addini("saga_seed", "seed of the values that fakes make up, and of jitter", default="0")


def pytest_configure(config: pytest.Config) -> None:
    _seed(config)  # a wrong one is told before anything runs


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix != ".saga":
        return None
    if not any(file_path.match(pattern) for pattern in parent.config.getini("saga_files")):
        return None
    from sagalang.cli.scenario_files import may_have_scenarios

    if not may_have_scenarios(file_path):
        return None
    return SagaFile.from_parent(parent, path=file_path)


class Failed(Exception):  # noqa: N818 - told to the user, not an error of ours
    """A scenario that failed, or a file with errors; the text is what `saga test` prints."""


class SagaFile(pytest.File):
    """A `.saga` file with scenarios."""

    def collect(self) -> Iterator[pytest.Item]:
        from sagalang.cli.scenario_files import load_file, own_scenarios
        from sagalang.diagnostics.render import full
        from sagalang.scenario import Stage

        # As the user sees it: relative to where pytest was started.
        loaded = load_file(_short(self.path))
        if loaded.has_errors:
            errors = [full(d, loaded.sources) for d in loaded.diagnostics if d.is_error]
            raise Failed("\n\n".join(errors))
        stage = Stage(loaded.program)
        for scenario in own_scenarios(loaded.program):
            yield SagaItem.from_parent(self, name=scenario.title, stage=stage, scenario=scenario)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class SagaItem(pytest.Item):
    """One scenario."""

    def __init__(self, *, stage: Stage, scenario: p.Scenario, **rest: Any) -> None:
        super().__init__(**rest)
        self._stage, self._scenario = stage, scenario

    def runtest(self) -> None:
        from sagalang.cli.scenario_files import failure_text, notes, try_one

        tested = try_one(self._stage, self._scenario, _seed(self.config))
        if not tested.result.passed:
            raise Failed(failure_text(tested))
        for note in notes(tested):
            self.add_report_section("call", "saga", note)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        span = self._scenario.span
        line = self._stage.program.sources[span.file].position(span.start).line
        return self.path, line - 1, self.name


def _seed(config: pytest.Config) -> int:
    written = config.getini("saga_seed")
    try:
        return int(written)
    except ValueError:
        raise pytest.UsageError(f"saga_seed is not a whole number: {written}") from None


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
