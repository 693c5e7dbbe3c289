"""Starting, asking, signalling, cancelling and settling over real HTTP, on a real service."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import CARD, Bank, Server, order, problem

from sagalang.runtime.journal_file import read


def test_a_run_is_started_and_its_end_is_told(server: Server) -> None:
    started = server.start("Pay", order("o-1"))
    assert started.status_code == 201
    assert started.headers["Location"] == "/runs/o-1"
    assert started.json() == {"id": "o-1", "saga": "Pay", "run": "/runs/o-1"}
    run = server.ended("o-1")
    assert (run["state"], run["phase"], run["saga"]) == ("completed", "completed", "Pay")
    assert (run["owed"], run["waits"], run["stopped"]) == ([], [], None)
    assert run["outcome"]["kind"] == "completed"
    assert run["outcome"]["value"]["payment"].startswith("pay-")
    assert [(s["operation"], s["fate"]) for s in run["steps"]] == [("Bank.charge", "done")]


def test_a_run_that_is_on_record_is_found(server: Server) -> None:
    server.start("Pay", {"order": order("o-2")})
    server.ended("o-2")
    again = server.start("Pay", order("o-2"))
    assert (again.status_code, again.headers["Location"]) == (200, "/runs/o-2")
    other = server.start("Pay", order("o-2", amount=19))
    assert "o-2 is on record, with other input" in problem(other, 409, "other-input")


def test_the_same_key_and_body_get_the_same_answer_and_one_run(
    server: Server, shared_bank: Bank
) -> None:
    answers = [server.start("Pay", order("k-1"), key="first") for _ in range(3)]
    assert {(a.status_code, a.text, a.headers["Location"]) for a in answers} == {
        (201, answers[0].text, "/runs/k-1")
    }
    server.ended("k-1")
    assert list(shared_bank.orders.values()).count("k-1") == 1
    for body in (order("k-2"), order("k-1", amount=19)):
        detail = problem(server.start("Pay", body, key="first"), 422, "idempotency/key-reused")
        assert "new key" in detail
    assert server.get("/runs/k-2").status_code == 404
    assert server.start("Reviewed", order("k-3"), key="first").status_code == 201  # its own keys


def test_a_saga_without_an_id_takes_one_or_has_it_from_the_key(server: Server) -> None:
    detail = problem(server.start("Note", {"text": "a"}), 400, "bad-request")
    assert "Note has no id of its own" in detail
    named = server.start("Note", {"text": "a"}, id="n/1 ü")
    assert named.json()["id"] == "n/1 ü"
    assert named.headers["Location"] == "/runs/n%2F1%20%C3%BC"
    assert server.get(named.headers["Location"]).json()["id"] == "n/1 ü"
    keyed = [server.start("Note", {"text": "a"}, key="note") for _ in range(2)]
    assert keyed[0].json() == keyed[1].json()
    assert [answer.status_code for answer in keyed] == [201, 201]
    problem(server.start("Note", {"text": "b"}, key="note"), 422, "idempotency/key-reused")
    assert "leave `id` out" in problem(
        server.start("Pay", order("o-3"), id="x"), 400, "bad-request"
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"id": "x", "amount": "much", "card": CARD}, "order.amount: expected a decimal"),
        ({"id": "x", "amount": 1}, "order.card"),
        ({**order("x"), "more": 1}, "more"),
        ([], "expected an object"),
        (order(""), "id"),
    ],
)
def test_input_that_does_not_fit_is_told_by_its_place(
    server: Server, body: object, told: str
) -> None:
    detail = problem(server.start("Pay", body), 422, "misfit")
    assert told in detail
    assert CARD not in detail


def test_a_rejection_compensates_and_tells_why(server: Server) -> None:
    server.start("Pay", order("poor-1"))
    run = server.ended("poor-1")
    assert run["state"] == "compensated"
    assert run["error"] == "Declined"
    assert run["outcome"]["fields"] == {"reason": "no money"}


def test_a_signal_lets_a_run_go_on(server: Server) -> None:
    server.start("Reviewed", order("s-1"))
    waits = server.waiting("s-1")
    assert (waits["event"], waits["signal"]) == ("Review", "/runs/s-1/signals/Review")
    wrong = server.post(waits["signal"], {"ok": "yes", "by": "ada"})
    assert "this is no Review" in problem(wrong, 422, "misfit")
    assert "has no event" in problem(server.post("/runs/s-1/signals/Reviw", {}), 422, "misfit")
    sent = server.post(waits["signal"], {"ok": True, "by": "ada"})
    assert (sent.status_code, sent.json()["taken"]) == (202, True)
    assert server.ended("s-1")["state"] == "completed"
    late = server.post(waits["signal"], {"ok": False, "by": "bob"})
    assert "it is over" in problem(late, 409, "refused")


def test_the_key_of_one_event_cannot_send_another(server: Server) -> None:
    server.start("Reviewed", order("s-2"))
    where, key = server.waiting("s-2")["signal"], {"Idempotency-Key": "k-2"}
    assert server.client.post(where, json={"ok": True, "by": "ada"}, headers=key).status_code == 202
    other = server.client.post(where, json={"ok": False, "by": "eve"}, headers=key)
    problem(other, 422, "idempotency/key-reused")
    assert server.client.post(where, json={"ok": True, "by": "ada"}, headers=key).status_code == 202


def test_a_cancel_undoes_a_run(server: Server, shared_bank: Bank) -> None:
    server.start("Reviewed", order("c-1"))
    server.waiting("c-1")
    assert server.post("/runs/c-1/cancel").status_code == 202
    assert server.ended("c-1")["error"] == "Cancelled"
    key = next(key for key, name in shared_bank.orders.items() if name == "c-1")
    assert key in shared_bank.refunded
    problem(server.post("/runs/c-1/cancel"), 409, "refused")
    problem(server.post("/runs/nobody/cancel"), 404, "no-such-run")


def test_what_is_owed_is_settled_by_a_person(server: Server) -> None:
    server.start("Reviewed", order("stuck-1"))
    server.waiting("stuck-1")
    server.post("/runs/stuck-1/signals/Review", {"ok": False, "by": "ada"})
    server.until("stuck-1", "saga finished")
    run = server.run("stuck-1")
    assert (run["state"], [item["operation"] for item in run["owed"]]) == (
        "escalated",
        ["Bank.refund"],
    )
    step = run["owed"][0]["place"]
    by = {"by": "ada", "why": "paid back by hand"}
    wrong = server.post("/runs/stuck-1/settlements", {"step": "Bank.book", "how": "done", **by})
    assert step in problem(wrong, 409, "refused")
    odd = server.post("/runs/stuck-1/settlements", {"step": step, "how": "forget", **by})
    assert "retry, done, not-done" in problem(odd, 422, "misfit")
    nobody = {"step": step, "how": "done", "by": " ", "why": "x"}
    problem(server.post("/runs/stuck-1/settlements", nobody), 422, "misfit")
    settled = server.post("/runs/stuck-1/settlements", {"step": step, "how": "done", **by})
    assert (settled.status_code, settled.json()["taken"]) == (202, True)
    run = server.ended("stuck-1")
    assert (run["state"], run["owed"]) == ("compensated", [])
    assert run["decisions"][0]["why"] == "paid back by hand"


def test_secrets_are_never_told(server: Server) -> None:
    server.start("Pay", order("secret-1"))
    server.ended("secret-1")
    paths = ("/runs/secret-1", "/runs/secret-1/journal", "/runs/secret-1/events", "/runs")
    told = [server.get(path).text for path in paths]
    assert all("secret-1" in text for text in told)
    assert CARD not in "".join(told)
    assert "•••" in told[0]


def test_the_journal_can_be_read_and_drawn(server: Server) -> None:
    server.start("Both", order("both-1"))
    server.ended("both-1")
    journal = read(server.get("/runs/both-1/journal").content)
    assert (journal.header.saga, journal.header.saga_id, journal.cut) == ("Both", "both-1", False)
    assert {line.saga_id for line in journal.lines} == {  # type: ignore[union-attr]
        "both-1",
        *(run["id"] for run in children(server, "both-1")),
    }


def children(server: Server, run_id: str) -> list[dict[str, str]]:
    entries = [data for _, data in server.events(run_id)]
    ids = [entry["child_id"] for entry in entries if entry["entry"] == "child started"]
    found = [server.get(f"/runs/{each.replace('/', '%2F')}").json() for each in ids]
    assert len(found) == 2
    assert all(run["parent"] == run_id for run in found)
    return found


def test_lists_are_filtered(server: Server) -> None:
    for name in ("f-1", "f-2", "poor-2"):
        server.start("Pay", order(name))
        server.ended(name)

    def ids(**query: str | int) -> list[str]:
        answer = server.client.get("/runs", params=query)
        return [run["id"] for run in answer.json()["runs"]]

    assert ids(limit=2) == ["poor-2", "f-2"]
    assert "poor-2" in ids(state="compensated")
    assert not {"f-1", "f-2"} & set(ids(state="compensated"))
    assert ids(saga="Nothing") == []
    assert "f-1" in ids(since="1h", saga="Pay")
    assert ids(since="2200-01-01T00:00:00Z") == []
    for wrong in ("state=lost", "limit=0", "limit=1e3", "since=yesterday", "sagas=Pay"):
        problem(server.get(f"/runs?{wrong}"), 400, "bad-request")


def test_events_are_told_once_and_in_order_across_connections(server: Server) -> None:
    server.start("Both", order("e-1"))
    whole = list(server.events("e-1"))
    numbers = [number for number, _ in whole]
    assert numbers == sorted(set(numbers))
    assert (whole[0][1]["entry"], whole[-1][1]["entry"]) == ("saga started", "saga finished")
    middle = numbers[len(numbers) // 2]
    assert list(server.events("e-1", after=middle)) == [w for w in whole if w[0] > middle]
    assert server.get("/runs/e-1/events", **{"Last-Event-ID": str(numbers[-1])}).status_code == 204
    problem(server.get("/runs/e-1/events", **{"Last-Event-ID": "x"}), 400, "bad-request")


def test_events_of_child_sagas_come_as_they_happen(tmp_path: Path, own_bank: Bank) -> None:
    with Server(tmp_path, own_bank) as server:
        own_bank.held = {"first", "first again"}
        server.start("Both", order("e-2"))
        stream = server.events("e-2")
        while (entry := next(stream)[1])["entry"] != "attempt started":
            pass
        assert entry["place"]["path"] == "one"
        own_bank.held.discard("first")  # now only the child goes on, to its second step
        while (entry := next(stream)[1])["entry"] != "attempt started":
            pass
        assert entry["place"]["path"] == "two"
        assert server.comments == 0  # it came at once, and not when the stream looked again
        own_bank.held.clear()
        assert [data["entry"] for _, data in stream][-1] == "saga finished"


def test_metrics_are_those_of_what_happened(tmp_path: Path, own_bank: Bank) -> None:
    with Server(tmp_path, own_bank) as server:
        for name in ("m-1", "m-2", "poor-1"):
            server.start("Pay", order(name))
            server.ended(name)
        own_bank.open.clear()
        server.start("Pay", order("m-3"))
        answer = server.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain")
        found = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        pay = ("saga", "Pay")
        assert found["saga_runs_begun_total", (pay,)] == 4
        assert found["saga_runs_ended_total", (pay, ("state", "completed"))] == 2
        assert found["saga_runs_ended_total", (pay, ("state", "compensated"))] == 1
        assert found["saga_runs_running", (pay,)] == 1
        assert found["saga_runs_running", (("saga", "Note"),)] == 0
        assert found["saga_run_duration_seconds_count", (pay, ("state", "completed"))] == 2
        step = (("operation", "Bank.charge"), ("outcome", "ok"), ("purpose", "step"))
        assert found["saga_steps_total", step] == 2
        own_bank.open.set()


def test_healthz_and_what_is_not_there(server: Server) -> None:
    assert server.get("/healthz").json() == {"status": "ok"}
    problem(server.get("/nothing"), 404, "no-such-path")
    problem(server.get("/runs/"), 404, "no-such-path")
    problem(server.post("/healthz"), 405, "no-such-method")
    assert "no saga `Pya`" in problem(server.start("Pya", {}), 404, "no-such-saga")
    problem(server.get("/runs/nobody"), 404, "no-such-run")
    problem(server.get("/runs/%FF"), 404, "no-such-path")
