"""Whatever the text: check never raises, places are inside the file, all renderers work."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagalang.diagnostics.render import concise, full, to_json
from sagalang.workspace import Loaded, load_text

ROOT = Path(__file__).parents[2]
MANY = 400 if "SAGA_SLOW" in os.environ else 80
POLICIES = (ROOT / "examples" / "shop" / "policies.saga").read_text(encoding="utf-8")
SEEDS = [
    (ROOT / "examples" / "shop" / "shop.saga").read_text(encoding="utf-8"),
    (ROOT / "examples" / "order" / "order.saga").read_text(encoding="utf-8"),
    *(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "tests" / "corpus" / "correct").glob("*.saga"))
    ),
]
TOKEN = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|\w+|\s+|//[^\n]*|.", re.DOTALL)
TOKENS = [TOKEN.findall(seed) for seed in SEEDS]
WORDS = sorted({token for tokens in TOKENS for token in tokens if token.strip()})

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def checked(text: str) -> Loaded:
    loaded = load_text(text, "main.saga", {"policies.saga": POLICIES})
    for found in loaded.diagnostics:
        assert found.name != "internal-error"
        for place in (found.primary, *found.secondary):
            length = len(loaded.sources[place.span.file].text)
            assert 0 <= place.span.start <= place.span.end <= length
        assert full(found, loaded.sources)
        assert full(found, loaded.sources, colour=True)
        assert "\n" not in concise(found, loaded.sources)
    read = json.loads(to_json(loaded.diagnostics, loaded.sources))
    assert len(read["diagnostics"]) == len(loaded.diagnostics)
    return loaded


def unlike(loaded: Loaded) -> list[tuple[str, str, int, int]]:
    return [
        (d.name, d.message, *loaded.sources[d.span.file].position(d.span.start))
        for d in loaded.diagnostics
    ]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    tokens = list(draw(st.sampled_from(TOKENS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens) - 1))
        match draw(st.sampled_from(["delete", "double", "swap", "word", "character", "cut"])):
            case "delete":
                del tokens[at : at + draw(st.integers(1, 3))]
            case "double":
                tokens.insert(at, tokens[at])
            case "swap":
                other = draw(st.integers(0, len(tokens) - 1))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case "word":
                tokens[at] = draw(st.sampled_from(WORDS))
            case "character":
                tokens.insert(at, draw(st.characters()))
            case "cut":
                del tokens[at:]
        if not tokens:
            tokens = [" "]
    return "".join(tokens)


@quick
@given(st.text(max_size=200))
def test_any_text_is_checked_without_raising(text: str) -> None:
    checked(text)


@quick
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_row_of_words_is_checked_without_raising(words: list[str]) -> None:
    checked(" ".join(words))


@settings(quick, max_examples=MANY)
@given(mutated())
def test_any_mutation_of_a_right_saga_is_checked_without_raising(text: str) -> None:
    checked(text)


@settings(quick, max_examples=100)
@given(mutated())
def test_line_ends_make_no_difference(text: str) -> None:
    plain = text.replace("\r", "")
    assert unlike(checked(plain)) == unlike(checked(plain.replace("\n", "\r\n")))


@settings(quick, max_examples=60)
@given(mutated())
def test_checking_twice_gives_the_same(text: str) -> None:
    assert unlike(checked(text)) == unlike(checked(text))


@settings(quick, max_examples=100)
@given(mutated())
def test_nothing_is_told_twice(text: str) -> None:
    told = unlike(checked(text))
    assert len(told) == len(set(told))
