"""The language reference is a test suite.

Every ```saga block of `tests/spec/*.md` is checked by itself, and its scenarios are run. A block
that is followed by a ```text block has to give exactly those messages; one that is not has to check
clean, and its scenarios have to pass. A first line `// file: NAME` makes it a file that the later
blocks of the same section may import.
`pytest --bless` rewrites the ```text blocks; read the difference before you commit it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sagalang.cli import diff_shown
from sagalang.diagnostics import CODES
from sagalang.diagnostics.render import full
from sagalang.scenario import Stage, run
from sagalang.scenario.told import diagnostics
from sagalang.upgrade import compare
from sagalang.verify import told
from sagalang.verify.verify import verify
from sagalang.workspace import load_text

PAGES = sorted(Path(__file__).parent.joinpath("spec").glob("*.md"))
VERIFIED = "11-verification"
"""The page whose sagas are explored, too."""
UPGRADED = "12-upgrades"
"""The page on which `new.saga` is compared with the `old.saga` of its section."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    page: Path
    line: int
    heading: str
    text: str
    expected: str | None
    files: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        return f"{self.page.stem}:{self.line} {self.heading}"


def cases_of(page: Path) -> list[Case]:
    source = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(source))
    made: list[Case] = []
    files: dict[str, tuple[str, str]] = {}
    for index, block in enumerate(blocks):
        if block.group(1) != "saga":
            continue
        headings = [m.group(1) for m in HEADING.finditer(source, 0, block.start())]
        heading = headings[-1] if headings else ""
        line = source.count("\n", 0, block.start()) + 1
        text = block.group(2)
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        expected = None
        if following is not None and following.group(1) == "text":
            expected = following.group(2).rstrip("\n")
        here = tuple((name, text) for name, (section, text) in files.items() if section == heading)
        made.append(Case(page, line, heading, text, expected, here))
        named = re.match(r"// file: (\S+)\n", text)
        if named:
            files[named.group(1)] = (heading, text)
    return made


ALL = [case for page in PAGES for case in cases_of(page)]


def render(case: Case) -> str:
    loaded = load_text(case.text, "example.saga", dict(case.files))
    found = list(loaded.diagnostics)
    if not loaded.has_errors:
        stage = Stage(loaded.program)
        for scenario in loaded.program.scenarios:
            found += diagnostics(run(loaded.program, scenario, stage=stage))
        for saga in loaded.program.sagas if case.page.stem == VERIFIED else ():
            found += told.diagnostics(verify(loaded.program, saga))
    if case.page.stem == UPGRADED and case.text.startswith("// file: new.saga\n") and not found:
        old = load_text(dict(case.files)["old.saga"], "old.saga")
        new = load_text(case.text, "new.saga")
        return diff_shown.full(old, new, compare(old.program, new.program))
    return "\n\n".join(full(d, loaded.sources) for d in found)


@pytest.mark.parametrize("case", ALL, ids=[case.id for case in ALL])
def test_page_says_what_the_checker_says(case: Case, request: pytest.FixtureRequest) -> None:
    found = render(case)
    if request.config.getoption("--bless") and found != (case.expected or ""):
        _bless(case, found)
        return
    assert found == (case.expected or "")


def _bless(case: Case, found: str) -> None:
    text = case.page.read_text(encoding="utf-8")
    block = f"```saga\n{case.text}```\n"
    if case.expected is None:
        new = text.replace(block, f"{block}\n```text\n{found}\n```\n", 1)
    else:
        at = text.index(block) + len(block)
        old = re.compile(r"```text\n.*?^```$", re.MULTILINE | re.DOTALL)
        new = text[:at] + old.sub(lambda _: f"```text\n{found}\n```", text[at:], count=1)
    case.page.write_text(new, encoding="utf-8")


NOT_IN_SPEC = {
    "not-compilable": "given by `saga compile` only; tests/compile has it",
    "internal-error": "only a bug of ours gives it",
    "unreadable-file": "needs a file system; tests/unit/test_load.py has it",
    "too-many-participants": "told by `saga render --as choreography`; tests/render has it",
    "promise-broken": "only a service that lies leads there; tests/verify plants them",
    "retry-exceeds-deadline": "given by the graph's analysis; see tests/unit/test_graph.py",
}


@pytest.mark.parametrize("name", [code.name for code in CODES if code.name not in NOT_IN_SPEC])
def test_every_code_has_a_case_in_the_reference(name: str) -> None:
    code = next(code for code in CODES if code.name == name)
    assert any(f"[{code.code}]" in (case.expected or "") for case in ALL)


def test_codes_and_names_are_unique() -> None:
    assert len({code.code for code in CODES}) == len(CODES)
    assert len({code.name for code in CODES}) == len(CODES)
