"""A key is a UUID version 5 of the JSON list of its parts, however it is computed."""

from __future__ import annotations

import json
from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine import keys

texts = st.text(max_size=6)


@given(
    texts,
    texts,
    texts,
    st.lists(st.tuples(texts, texts), max_size=2),
    st.sampled_from([keys.STEP, keys.COMPENSATE]),
    st.integers(0, 2),
)
def test_a_key_is_the_uuid_of_its_parts(
    saga: str,
    saga_id: str,
    path: str,
    loops: list[tuple[str, str]],
    purpose: str,
    generation: int,
) -> None:
    parts: list[object] = [saga, saga_id, path, loops]
    if purpose or generation:
        parts += [purpose, generation]
    text = json.dumps(parts, separators=(",", ":"))
    assert keys.key(saga, saga_id, path, loops, purpose, generation) == str(
        uuid5(keys.NAMESPACE, text)
    )
