"""How long the shop is: as a saga, compiled, and written by hand with the same guarantees.

python benchmarks/lines.py

Counts lines of code: no blank lines, comments or docstrings.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
BY_HAND = HERE / "by_hand"
ABOUT_THE_SHOP = ("services.py", "shop.py")
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def python_lines(text: str) -> int:
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            found |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # A docstring, or a string below an attribute.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            assert node.end_lineno is not None
            found -= set(range(node.lineno, node.end_lineno + 1))
    return len(found)


def lines_of(folder: Path) -> dict[str, int]:
    return {file.name: python_lines(file.read_text("utf-8")) for file in folder.glob("*.py")}


def saga_lines(text: str) -> tuple[int, int]:
    """Of the services and sagas, and of the scenarios with their constants."""
    saga = scenarios = 0
    in_scenario = False
    for line in text.splitlines():
        if line.startswith(("scenario ", "let ")):
            in_scenario = True
        elif line[:1].isalpha():
            in_scenario = False
        if line.strip() and not line.strip().startswith("//"):
            scenarios += in_scenario
            saga += not in_scenario
    return saga, scenarios


def main() -> None:
    sources = sorted((EXAMPLES / "shop").glob("*.saga"))
    counts = [saga_lines(file.read_text("utf-8")) for file in sources]
    saga, scenarios = (sum(column) for column in zip(*counts, strict=True))
    generated = sum(lines_of(EXAMPLES / "shop_api" / "sagas").values())
    files = lines_of(BY_HAND)
    shop = sum(files[name] for name in ABOUT_THE_SHOP)
    by_hand = sum(files.values())

    def row(what: str, lines: int) -> None:
        print(f"{what:<45} {lines:5}  {lines / saga:5.1f} x the saga")

    row("shop.saga and policies.saga", saga)
    print(f"{'  and its scenarios':<45} {scenarios:5}")
    row("generated", generated)
    row("by hand", by_hand)
    row("  of it about the shop", shop)
    row("  of it what any saga by hand needs", by_hand - shop)
    print(f"generated / by hand: {generated / by_hand:.2f}, / the part about the shop:", end=" ")
    print(f"{generated / shop:.2f}")


if __name__ == "__main__":
    main()
