"""`saga signal`, `cancel`, `settle` and `resume`, each in a process of its own."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
from pathlib import Path

import pytest
from operated import Operated, until

REVIEW = '{"verdict": "ok", "by": "ada"}'
BY = ("--by", "ada", "--why", "the bank is back")


@pytest.fixture
def here(tmp_path: Path) -> Operated:
    return Operated(tmp_path)


# --- From one process to another -----------------------------------------------------------------


def test_a_run_that_waits_takes_an_event_of_another_process(here: Operated) -> None:
    with here.run("Reviewed") as process:
        until(lambda: "take" in here.effects)
        sent = here.saga("signal", "o-1", "Review", REVIEW)
        assert (sent.returncode, sent.stdout) == (0, "sent Review to o-1; taken\n"), sent.stderr
        assert process.wait(30) == 0
    assert here.calls == ["take", "send"]
    again = here.saga("signal", "o-1", "Review", REVIEW)
    assert (again.returncode, again.stdout) == (0, "sent Review to o-1; it has that already\n")


def test_an_event_can_be_written_as_in_a_saga_and_come_from_standard_input(here: Operated) -> None:
    with here.run("Reviewed") as process:
        until(lambda: "take" in here.effects)
        sent = here.saga("signal", "o-1", 'Review(verdict: "ok", by: "eve")', "--format", "json")
        made = json.loads(sent.stdout)
        assert (made["taken"], made["next"]) == (True, None)
        assert process.wait(30) == 0


def test_a_run_that_waits_is_cancelled_by_another_process(here: Operated) -> None:
    with here.run("Reviewed") as process:
        until(lambda: "take" in here.effects)
        sent = here.saga("cancel", "o-1")
        assert (sent.returncode, sent.stdout) == (0, "asked o-1 to cancel; taken\n")
        out, _ = process.communicate(30)
        assert process.returncode == 1
        assert out.startswith("compensated with Cancelled")
    assert here.calls == ["take", "undo"]


def test_an_event_of_an_id_that_is_known_with_other_content_is_refused(here: Operated) -> None:
    other, own = '{"verdict": "no", "by": "eve"}', ("--event-id", "e")
    here.killed("Reviewed", "take")
    assert here.saga("signal", "o-1", "Review", REVIEW, *own).returncode == 0
    for _ in "waiting", "taken":
        refused = here.saga("signal", "o-1", "Review", other, *own)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "o-1 was sent another event of the id e" in refused.stderr
        assert here.saga("signal", "o-1", "Review", REVIEW, *own).returncode == 0
        here.saga("resume", "o-1")
    assert here.effects == ["take", "send"]


def test_a_run_is_asked_to_cancel_once(here: Operated) -> None:
    here.killed("Reviewed", "take")
    assert here.saga("cancel", "o-1").returncode == 0
    again = here.saga("cancel", "o-1")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.splitlines() == [
        "refused: a cancel of o-1 is on its way already",
        "next: saga resume o-1 --db j.db",
    ]


def test_what_was_sent_already_is_not_offered_again(here: Operated) -> None:
    here.killed("Reviewed", "take")
    with here.begin("resume") as process:
        until(lambda: "saga signal" in here.saga("show", "o-1").stdout)
        process.kill()
    here.saga("cancel", "o-1")
    told = here.saga("show", "o-1").stdout
    assert "saga signal" not in told
    assert "  a cancel waits for it: saga resume o-1 --db j.db" in told
    here.escalate("Stuck", "send", run_id="o-2")
    here.saga("settle", "o-2", "S.do", "retry", *BY)
    found = json.loads(here.saga("show", "o-2", "--format", "json").stdout)
    assert [each["settle"] for each in found["owed"]] == [None]
    told = here.saga("show", "o-2").stdout
    assert "saga settle" not in told
    assert "  an answer waits for it: saga resume o-2 --db j.db" in told


def test_a_value_that_is_needed_is_offered_and_one_that_nothing_takes_refused(
    here: Operated,
) -> None:
    here.escalate("Valued", "send", run_id="o-1")
    told = here.saga("show", "o-1").stdout
    offered = re.search(r"or `done (--value .*)`, or `not-done`", told)
    assert offered, told
    given = shlex.split(offered[1])
    done = here.saga("settle", "o-1", "x", "done", *given, *BY)
    assert done.returncode == 0, done.stderr
    here.escalate("Stuck", "send", run_id="o-2")
    assert "or `done`, or" in here.saga("show", "o-2").stdout
    here.escalate("Quiet", "quiet", run_id="o-3")
    refused = here.saga("settle", "o-3", "S.hush", "done", "--value", '{"x": 1}', *BY)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "S.hush at S.hush has no value" in refused.stderr
    assert here.saga("settle", "o-3", "S.hush", "done", *BY).returncode == 0


def test_an_event_that_is_written_as_in_a_saga_may_stand_behind_its_name(here: Operated) -> None:
    here.killed("Reviewed", "take")
    sent = here.saga("signal", "o-1", "Review", 'Review(verdict: "ok", by: "ada")')
    assert sent.returncode == 0, sent.stderr
    assert here.saga("resume").stdout == "1 completed\n"


def test_a_full_disk_is_told_as_such_and_that_nothing_was_sent(
    here: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagalang.host import sending
    from sagalang.runtime.sqlite import FullError

    def full(*_: object) -> None:
        raise FullError("the disk is full: j.db cannot grow", "`saga resume`")

    here.killed("Reviewed", "take")
    desk = sending.Desk(here.folder / "j.db")
    about = desk.look("o-1")
    value = sending.event_value(about, "Review", REVIEW)
    monkeypatch.setattr(sending, "send", full)
    with pytest.raises(FullError, match="it was not sent") as raised:
        desk.signal(about, "Review", value)
    assert raised.value.advice == "free some space, and send it again"


def test_a_run_past_its_point_of_no_return_is_not_asked_to_cancel(here: Operated) -> None:
    with here.run("Sure") as process:
        until(lambda: "take" in here.effects)
        sent = here.saga("cancel", "o-1")
        assert (sent.returncode, sent.stdout) == (1, "")
        assert "o-1 is past its point of no return" in sent.stderr
        assert here.saga("signal", "o-1", "Review", REVIEW).returncode == 0
        assert process.wait(30) == 0


def test_what_is_settled_while_nobody_owns_the_file_is_carried_out_by_resume(
    here: Operated,
) -> None:
    here.escalate("Stuck", "send")
    settled = here.saga("settle", "o-1", "S.do", "retry", *BY)
    assert settled.returncode == 0, settled.stderr
    assert settled.stdout.splitlines() == [
        "settled S.do of o-1: retry; it is taken when o-1 goes on",
        "next: saga resume o-1 --db j.db",
    ]
    assert here.calls == []
    again = here.saga("settle", "o-1", "S.do", "not-done", *BY)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.splitlines() == [
        "refused: S.do of o-1 is settled already (retry, by ada): it is taken in when o-1 goes on",
        "next: saga resume o-1 --db j.db",
    ]
    resumed = here.saga(*shlex.split(settled.stdout.splitlines()[1].removeprefix("next: saga ")))
    assert (resumed.returncode, resumed.stdout) == (0, "1 completed\n")
    assert here.calls == ["send", "tell"]
    over = here.saga("settle", "o-1", "S.do", "retry", *BY)
    assert over.returncode == 1
    assert "nothing is open in o-1: it is completed" in over.stderr


def test_what_is_settled_while_resume_runs_goes_on_there(here: Operated) -> None:
    here.escalate("Stuck", "send")
    here.killed("Reviewed", "take", "o-2")
    with here.begin("resume") as process:
        until(lambda: "take" in here.effects[1:])
        assert "taken" in here.saga("settle", "o-1", "S.do", "retry", *BY).stdout
        until(lambda: "tell" in here.effects)
        assert "taken" in here.saga("signal", "o-2", "Review", REVIEW).stdout
        out, err = process.communicate(30)
    assert (process.returncode, out) == (0, "2 completed\n"), err
    assert re.search(r"completed +o-1 +Stuck", err)


def test_a_settlement_survives_the_death_of_the_process_that_took_it(here: Operated) -> None:
    here.escalate("Stuck", "send")
    here.saga("settle", "o-1", "S.do", "retry", *BY)
    (here.folder / "hold-send").touch()
    with here.begin("resume"):
        until(lambda: here.calls == ["send"])
    (here.folder / "hold-send").unlink()
    resumed = here.saga("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "1 completed\n")
    assert here.effects == ["take", "send", "tell"]


def test_a_step_that_is_open_several_times_is_listed_with_the_command_for_each(
    here: Operated,
) -> None:
    here.escalate("Twice", "red", "blue")
    unclear = here.saga("settle", "o-1", "S.do", "retry", *BY)
    assert unclear.returncode == 2
    commands = re.findall(r"saga (settle .*)", unclear.stderr)
    assert [shlex.split(each)[2].partition("[")[2] for each in commands] == ["red]", "blue]"]
    for each in commands:
        run_id, step, how = shlex.split(each)[1:4]
        assert here.saga("settle", run_id, step, how, *BY).returncode == 0
    assert here.saga("resume").stdout == "1 completed\n"
    assert sorted(here.effects) == ["blue", "red"]


@pytest.mark.parametrize("way", ["by its parent", "by its own id", "by both"])
def test_a_step_of_a_child_saga_is_settled(here: Operated, way: str) -> None:
    here.escalate("Parent", "send")
    if way == "by its parent":
        settled = here.saga("settle", "o-1", "S.do", "retry", *BY)
    else:
        told = here.saga("settle", "o-1", "S.do", "retry", *BY, "--format", "json")
        child = json.loads(told.stdout)["run"]
        assert here.saga("resume").stdout == "1 completed\n"
        here.escalate("Parent", "send", run_id="o-2")
        told = here.saga("settle", "o-2", "S.do", "done", "--value", '{"at": 1}', *BY)
        assert told.returncode == 2
        assert "at" in told.stderr
        told = here.saga("settle", "o-2", "nothing", "retry", *BY)
        assert "is not open in o-2" in told.stderr
        wrong = here.saga("settle", "o-2", "S.do", "retry", *BY, "--run", child)
        assert f"{child} is no child saga of o-2" in wrong.stderr
        found = here.saga("settle", "o-2", "S.do", "retry", *BY, "--format", "json")
        child = json.loads(found.stdout)["run"]
        named = ["o-2", "--run", child] if way == "by both" else [child]
        settled = here.saga("settle", *named, "S.do", "retry", *BY)
        assert settled.returncode == 1  # it waits already
        assert "is settled already" in settled.stderr
        settled = found
    assert settled.returncode == 0, settled.stderr
    assert here.saga("resume").stdout == "1 completed\n"
    assert here.effects[-2:] == ["send", "tell"]


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["signal", "o-1", "Reviw", REVIEW], 2, "did you mean `Review`?"),
        (["signal", "o-1", "Late", REVIEW], 2, "Reviewed has no event Late"),
        (["signal", "o-1", "Review", '{"verdict": "ok"}'], 2, "by: this field is missing"),
        (["signal", "o-1", "Review", "{"], 2, "this is no Review"),
        (["signal", "o-1", 'Review(verdict: 1, by: "x")'], 2, "error[SG"),
        (["signal", "o-1", "Review(", REVIEW], 2, "the event is given twice"),
        (["signal", "o-1", "Review", REVIEW, "--event-id", " "], 2, "cannot be empty"),
        (["signal", "o-11", "Review", REVIEW], 2, "did you mean `o-1`?"),
        (["cancel", "nobody"], 2, "there is no run nobody in j.db"),
        (["settle", "o-1", "S.do", "retry", *BY], 1, "nothing in it waits for a person"),
        (["settle", "o-1", "S.do", "retry", "--why", "x"], 2, "--by NAME is missing"),
        (["settle", "o-1", "S.do", "retry", "--by", "x"], 2, "--why TEXT is missing"),
        (["settle", "o-1", "S.do", "retry", *BY, "--value", "1"], 2, "--value goes with `done`"),
        (["settle", "o-1", "S.do", "again", *BY], 2, "'again' is not one of"),
        (["resume", "o-11"], 2, "did you mean `o-1`?"),
        (["resume", "--all", "o-1"], 2, "--all goes without ids"),
        (["resume", "--db", "none.db"], 2, "there is no journal none.db"),
        (["cancel", "o-1", "--db", "all.saga"], 2, "all.saga is not a journal of sagalang"),
        (["cancel", "o-1", "--db", ":memory:"], 2, "runs in memory cannot be reached"),
    ],
)
def test_what_cannot_be_sent_is_told_before_anything_is(
    here_stopped: Operated, arguments: list[str], status: int, told: str
) -> None:
    made = here_stopped.saga(*arguments)
    assert told in made.stderr
    assert made.returncode == status
    assert made.stdout == ""
    assert "Traceback" not in made.stderr


@pytest.fixture(scope="module")
def here_stopped(tmp_path_factory: pytest.TempPathFactory) -> Operated:
    """With a run that waits for an event, and that nobody runs."""
    made = Operated(tmp_path_factory.mktemp("stopped"))
    with made.run("Reviewed") as process:
        until(lambda: "take" in made.effects)
        process.terminate()
        _, err = process.communicate(30)
    assert process.returncode == 143
    assert "left as it is: S.do\nnext: saga resume o-1 --db j.db" in err
    return made


# --- Many --------------------------------------------------------------------------------------


def test_resume_goes_on_with_all_and_says_what_became_of_each(here: Operated) -> None:
    here.escalate("Stuck", "send", run_id="stuck")
    here.killed("Stuck", "tell", "ends")
    here.killed("Reviewed", "take", "cancelled")
    here.saga("cancel", "cancelled")
    (here.folder / "down-send").touch()
    here.saga("settle", "stuck", "S.do", "retry", *BY)
    made = here.saga("resume")
    assert made.returncode == 1
    assert made.stdout.splitlines() == [
        "1 completed, 1 compensated, 1 escalated",
        "  compensated  cancelled  Reviewed with Cancelled",
        "  escalated    stuck  Stuck owes S.do (Unavailable)",
        "",
        "next: saga show stuck --db j.db",
    ]
    counted = json.loads(here.saga("resume", "--format", "json").stdout)
    assert counted["counts"] == {"completed": 0, "compensated": 0, "escalated": 0, "failed": 0}
    only = json.loads(here.saga("resume", "stuck", "--format", "json").stdout)
    assert [(each["run"], each["outcome"]) for each in only["runs"]] == [("stuck", "escalated")]


def test_a_run_whose_services_cannot_be_reached_fails_and_the_others_go_on(
    here: Operated,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = f"""
            service Bank {{
              http "http://127.0.0.1:{silent.getsockname()[1]}"
              header "Authorization" env BANK_TOKEN
              command charge(id: string) POST "/charges" keyed compensate refund(key)
              command refund(of: key) DELETE "/charges/{{of}}" idempotent, absent ok, fences late
            }}
            saga Charged(id: string) {{
              id id
              step Bank.charge(id)
            }}"""
        (here.folder / "bank.saga").write_text(text)
        given = ("bank.saga", "--input", '{"id": "b-1"}')
        with here.begin("run", *given, BANK_TOKEN="tok-77") as process:
            silent.settimeout(30)
            silent.accept()[0].close()
            process.kill()
    here.killed("Stuck", "tell")
    made = here.saga("resume")
    assert made.returncode == 1
    assert made.stdout.splitlines() == [
        "1 completed, 1 failed",
        "  failed       b-1: these environment variables are not set:"
        " BANK_TOKEN (header Authorization of Bank)",
    ]
    assert "tok-77" not in made.stdout + made.stderr
    assert "b-1" in here.saga("resume").stdout, "it is as it was"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resume_that_is_told_to_stop_leaves_the_runs(here: Operated, number: int) -> None:
    here.killed("Reviewed", "take")
    with here.begin("resume") as process:
        until(lambda: "take" in here.effects)
        process.send_signal(number)
        _, err = process.communicate(30)
    assert process.returncode == 128 + number
    assert "1 run left under way\nnext: saga resume --db j.db" in err
    here.saga("signal", "o-1", "Review", REVIEW)
    assert here.saga("resume").stdout == "1 completed\n"
    assert here.effects == ["take", "send"]


def test_resume_ends_when_nothing_can_be_written_any_more(here: Operated) -> None:
    here.killed("Stuck", "send", "o-1")
    here.killed("Reviewed", "take", "o-2")
    (here.folder / "hold-send").touch()
    with here.begin("resume") as process:
        until(lambda: here.calls[-2:] in (["send", "take"], ["take", "send"]))
        until(lambda: len(here.effects) == 2)
        (here.folder / "j.db").rename(here.folder / "away.db")
        (here.folder / "hold-send").unlink()
        out, err = process.communicate(30)
    assert (process.returncode, out) == (2, "none has ended\n"), err
    assert "j.db was deleted, moved or replaced" in err
    (here.folder / "away.db").rename(here.folder / "j.db")
    assert here.saga("resume", "o-1").stdout == "1 completed\n"
    assert here.effects.count("send") == 1


def test_more_runs_than_go_at_once_come_to_their_end_though_some_only_wait(
    here: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagalang.cli.resuming import drive

    for number in range(3):
        here.killed("Reviewed", "take", f"waits-{number}")
    here.killed("Stuck", "tell", "ends")
    monkeypatch.setattr(drive, "AT_ONCE", 1)
    monkeypatch.chdir(here.folder)
    monkeypatch.setattr(drive.os, "_exit", None)
    seen: list[str] = []
    real = drive._Work._told

    def told(self: object, ended: drive.Ended) -> None:
        seen.append(ended.run_id)
        real(self, ended)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(drive._Work, "_told", told)
    came = drive.resume(Path("j.db"), (), take_over=False, quiet=True)
    assert seen == ["ends"]
    assert came.left == 3
