"""The undo may come before, during and after what it undoes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from idempotency.service import CHARGE, Gates, calling, kind, post, starlette
from idempotency.stores import Opened
from sagalang.idempotency import body_field, by_header


def refund(client: httpx.Client, key: str, how: str = "") -> httpx.Response:
    return client.post(f"/charges/{key}/refund", params={"how": how} if how else {})


def test_an_original_that_comes_after_its_undo_is_refused(
    client: httpx.Client, opened: Opened
) -> None:
    assert refund(client, "k").json() == {"before": None}
    late = post(client, "k")
    assert (late.status_code, kind(late)) == (409, "fenced")
    assert opened.effects() == ["refund k"]
    assert post(client, "k2").status_code == 201
    assert post(client, "k", path="/other-charges").status_code == 201


def test_the_fence_comes_before_the_replay(client: httpx.Client) -> None:
    post(client, "k")
    assert refund(client, "k").json() == {"before": "done"}
    assert kind(post(client, "k")) == "fenced"
    assert kind(post(client, "k", {"amount": 6})) == "fenced"
    assert refund(client, "k").json() == {"before": "fenced"}


def test_a_fence_put_up_while_the_original_runs(
    client: httpx.Client, opened: Opened, gates: Gates
) -> None:
    with ThreadPoolExecutor() as pool:
        original = pool.submit(post, client, "k", {"how": "hold"})
        assert gates.entered.wait(5)
        undo = pool.submit(refund, client, "k")
        if opened.transactional:  # one after the other
            with pytest.raises(TimeoutError):
                undo.result(0.1)
            gates.go.set()
            assert original.result().status_code == 201
            assert undo.result().json() == {"before": "done"}
        else:  # the original's answer counts no more, and the undo hears that it may have happened
            assert undo.result().json() == {"before": "in_progress"}
            gates.go.set()
            assert kind(original.result()) == "fenced"
    assert kind(post(client, "k", {"how": "hold"})) == "fenced"
    assert opened.effects() == ["charge k", "refund k"]


@pytest.mark.parametrize("how", ["400", "500", "crash"])
def test_an_undo_that_fails_puts_up_no_fence(
    client: httpx.Client, opened: Opened, how: str
) -> None:
    if not opened.transactional:
        pytest.skip("on a lease the fence stands at once")
    assert refund(client, "k", how).status_code >= 400
    assert post(client, "k").status_code == 201
    assert opened.effects() == ["charge k"]


def test_a_keyed_undo_that_is_refused_puts_up_no_fence(
    client: httpx.Client, opened: Opened
) -> None:
    if not opened.transactional:
        pytest.skip("on a lease the fence stands at once")
    for _ in range(2):
        path = "/charges/k/refund?how=409"
        assert client.post(path, headers={"Idempotency-Key": "u"}).status_code == 409
    assert post(client, "k").status_code == 201


def test_sync_handlers_put_up_fences_too(client: httpx.Client, opened: Opened) -> None:
    assert client.post("/charges/k/sync-refund").json() == {"fenced": True}
    assert kind(post(client, "k")) == "fenced"
    assert post(client, "s", path="/sync-charges").json() == {"key": "s"}
    assert opened.effects() == ["refund k", "charge s"]


def test_a_fence_can_be_asked_for(client: httpx.Client) -> None:
    assert client.post("/charges/k/confirm").status_code == 204
    refund(client, "k")
    assert client.post("/charges/k/confirm").status_code == 409


def test_a_quoted_key_is_fenced_as_a_bare_one(client: httpx.Client) -> None:
    refund(client, "%22k%22")
    assert kind(post(client, "k")) == "fenced"


@pytest.mark.parametrize("key", ["", "%00", "%22%22"])
@pytest.mark.parametrize("how", ["refund", "sync-refund", "confirm"])
def test_a_fence_for_what_can_be_no_key_is_the_clients_mistake(
    client: httpx.Client, opened: Opened, key: str, how: str
) -> None:
    malformed = client.post(f"/charges/{key}/{how}")
    assert (malformed.status_code, kind(malformed)) == (400, "key-malformed")
    assert opened.effects() == []


def test_an_operation_may_be_fenced_by_another_name_than_its_key(opened: Opened) -> None:
    with calling(starlette(opened, fenced_by={CHARGE: body_field("order")})) as client:
        assert post(client, "k1", {"order": "o1"}).status_code == 201
        refund(client, "o1")
        refund(client, "o2")
        assert kind(post(client, "k1", {"order": "o1"})) == "fenced"
        assert kind(post(client, "k2", {"order": "o2"})) == "fenced"
        assert post(client, "k3", {"order": "o3"}).status_code == 201
        # The refused key was not used up.
        assert post(client, "k2", {"order": "o4"}).status_code == 201
    assert opened.effects() == ["charge k1", "refund o1", "refund o2", "charge k3", "charge k2"]


def test_a_fence_is_the_callers_own_unless_it_says_whose(opened: Opened) -> None:
    with calling(starlette(opened, caller=by_header("X-Who"))) as client:
        client.post("/charges/k/refund", headers={"X-Who": "other"})
        assert post(client, "k", X_Who="me").status_code == 201
        assert kind(post(client, "k", X_Who="other")) == "fenced"
