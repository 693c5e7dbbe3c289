"""Keys are the same for ever, and no two things share one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine.keys import COMPENSATE, identities, key

names = st.text(max_size=6)
loops = st.lists(st.tuples(names, names), max_size=2).map(tuple)
parts = st.tuples(names, names, names, loops)


def test_keys_never_change() -> None:
    known = {
        "d4d75c87-3b8d-53ce-b0c9-3d4e3356eeff": key("PlaceOrder", "o-1", "pay"),
        "bfa14d0d-b01d-5562-a0bf-242e723ccbc7": key("PlaceOrder", "o-1", "hold", [("for", "A")]),
        "fc0e9c50-1148-52d0-91b7-c8dbaaa790f5": key("PlaceOrder", "o-1", "pay", (), COMPENSATE),
    }
    assert list(known) == list(known.values())


@given(parts, parts)
def test_different_places_have_different_keys(
    one: tuple[str, str, str, tuple[tuple[str, str], ...]],
    other: tuple[str, str, str, tuple[tuple[str, str], ...]],
) -> None:
    assert (key(*one) == key(*other)) == (one == other)


@given(parts, st.integers(0, 3), st.integers(0, 3))
def test_step_compensation_and_generations_have_keys_of_their_own(
    place: tuple[str, str, str, tuple[tuple[str, str], ...]], one: int, other: int
) -> None:
    saga, saga_id, path, around = place
    first = key(saga, saga_id, path, around, generation=one)
    assert first != key(saga, saga_id, path, around, COMPENSATE, one)
    assert (first == key(saga, saga_id, path, around, generation=other)) == (one == other)


def test_the_nth_repeat_of_a_value_gets_its_number() -> None:
    assert identities(["a", "b", "a", "a"]) == ("a", "b", "a#2", "a#3")


@given(st.lists(st.sampled_from(["a", "a#2", "a#2#2", "b", "a#3"]), max_size=8))
def test_identities_are_distinct_whatever_the_values_look_like(values: Sequence[str]) -> None:
    found = identities(values)
    assert len(set(found)) == len(values)
