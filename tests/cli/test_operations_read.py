"""Looking at runs: `saga runs`, `show`, `export`, `render --run`, `prune`, `watch`.

One journal file, made by real runs: completed, compensated, escalated in a child saga, and killed
while it waited for an event.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import warm

from sagalang.cli.looking import typed
from sagalang.cli.watch_shown import JsonLines, Lines, Screen
from sagalang.cli.watched import View, Watched
from sagalang.host.book import Filter, RunInfo, State, open_book
from sagalang.host.status import Status, status_of
from sagalang.machine import events as m
from sagalang.runtime import journal as j
from sagalang.runtime.sqlite import Change, NewRun, StoreError, open_store, reading

TRIP = Path(__file__).with_name("trip.saga")
SAGA = Path(sys.executable).parent / "saga"
CARD, LITERAL = "4242-card", "4711-literal"
SETTLED = re.compile(r"^ +(saga settle .*)$", re.MULTILINE)


def saga(folder: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", *arguments, cwd=folder, env={"SAGA_DB": "j.db", **env})


def given(run_id: str, *, review: bool = False) -> str:
    return json.dumps({"id": run_id, "cities": ["Rome", "Bern"], "card": CARD, "review": review})


def trip(
    folder: Path, run_id: str, *options: str, review: bool = False
) -> subprocess.CompletedProcess[str]:
    wanted = ("--input", given(run_id, review=review), "--mock", "--db", "j.db", *options)
    return saga(folder, "run", TRIP, "Trip", *wanted)


def waiting(folder: Path, run_id: str) -> warm.Started:
    """A process whose run waits for a review."""
    wanted = ("--input", given(run_id, review=True), "--mock", "--db", "j.db")
    process = warm.Started("saga", "run", TRIP, "Trip", *wanted, cwd=folder)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.returncode is None:
        # The file may only be being made.
        with suppress(StoreError), open_book(folder / "j.db") as book:
            if status_of(e for _, e in book.history(run_id)).waits:
                return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("it never waited")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journal")
    full = ("--fault", 'Rooms.take("lounge") rejects Full')
    stuck = ("--fault", "Bank.refund unavailable, always")
    assert trip(folder, "t-done", "--journal", "kept.jsonl").returncode == 0
    assert trip(folder, "t-undone", *full).returncode == 1
    told = trip(
        folder, "t-open", *full, *stuck, "--send", 'Review(ok: true, by: "me")', review=True
    )
    assert "escalated" in told.stdout, told
    with waiting(folder, "t-killed") as process:
        process.kill()
        process.wait(20)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@contextmanager
def killed_after(seconds: float, process: warm.Started) -> Iterator[None]:
    """Nothing is read for ever from a process that says nothing."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shown(folder: Path, run_id: str, *options: str) -> Any:
    result = saga(folder, "show", run_id, "--format", "json", *options)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


# --- runs --------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_their_states(made: Path) -> None:
    result = saga(made, "runs")
    assert result.returncode == 0, result
    head, *rows = [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]
    assert head == ["id", "saga", "state", "began", "took", "error", "services"]
    assert {row[-1] for row in rows} == {"fakes"}
    assert [row[:3] for row in rows] == [
        ["t-killed", "Trip", "running"],
        ["t-open", "Trip", "escalated"],
        ["t-undone", "Trip", "compensated"],
        ["t-done", "Trip", "completed"],
    ]
    assert rows[2][5] == "Full"
    assert "next: saga show t-open --db j.db" in result.stderr


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--state", "running", "--state", "completed"), ["t-killed", "t-done"]),
        (("--limit", "2"), ["t-killed", "t-open"]),
        (("--saga", "Night"), []),
        (("--since", "2999-01-01"), []),
        (("--since", "1970-01-02", "--state", "escalated"), ["t-open"]),
        (("--since", "1h", "--limit", "1"), ["t-killed"]),
    ],
)
def test_a_list_has_what_was_asked_for(
    made: Path, options: tuple[str, ...], ids: list[str]
) -> None:
    result = saga(made, "runs", "--format", "json", *options)
    found = json.loads(result.stdout)
    assert [run["id"] for run in found["runs"]] == ids
    assert found["more"] == ("--limit" in options)


def test_child_sagas_are_listed_on_request(made: Path) -> None:
    found = json.loads(saga(made, "runs", "--all", "--format", "json").stdout)["runs"]
    assert {run["saga"] for run in found} == {"Trip", "Night"}
    assert len(found) == 12
    nights = [run for run in found if run["saga"] == "Night"]
    assert {run["parent"] for run in nights} == {"t-done", "t-undone", "t-open", "t-killed"}


def test_a_list_imports_nothing_heavy(made: Path) -> None:
    code = (
        "import sys; from sagalang.cli.main import cli\n"
        "cli(['runs', '--db', 'j.db'], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "t-done" in done.stdout
    assert not loaded & {"lark", "networkx", "jinja2", "httpx", "starlette", "cryptography"}
    assert not {name for name in loaded if name.startswith("sagalang.workspace")}


@pytest.mark.parametrize("command", [("runs",), ("show", "x"), ("export", "x"), ("watch",)])
def test_without_a_journal_it_says_what_makes_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "SAGA_DB"}
    result = subprocess.run(
        [SAGA, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "error: there is no journal .saga/journal.db" in result.stderr
    assert "`saga run` makes it" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_journal_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_text("no database " * 100)
    result = saga(tmp_path, "runs")
    assert result.returncode == 2
    assert "is not a journal of sagalang" in result.stderr
    result = saga(tmp_path, "runs", SAGA_DB=":memory:")
    assert result.returncode == 2
    assert "name a file with --db" in result.stderr


def test_a_time_that_is_none_is_refused(made: Path) -> None:
    for text in ("yesterday", "12", "2026-13-01", "5h 2"):
        result = saga(made, "runs", "--since", text)
        assert result.returncode == 2, text
        assert text in result.stderr


# --- show --------------------------------------------------------------------------------------


def test_show_says_what_was_done(made: Path) -> None:
    found = shown(made, "t-done")
    assert (found["phase"], found["owed"], found["waits"]) == ("completed", [], [])
    steps = [(*step["within"], step["place"], step["fate"]) for step in found["steps"]]
    assert steps == [
        ("night[Rome]", "room", "done"),
        ("night[Rome]", "paid", "done"),
        ("night[Bern]", "room", "done"),
        ("night[Bern]", "paid", "done"),
        ("fee", "done"),
        ("Rooms.take", "done"),
    ]
    assert all(step["key"] for step in found["steps"])


def test_show_says_what_was_undone_and_why(made: Path) -> None:
    found = shown(made, "t-undone")
    assert found["phase"] == "compensated"
    assert (found["error"], found["detail"]) == ("Full", "Rooms.take rejected")
    fates = [step["fate"] for step in found["steps"]]
    assert fates == ["undone"] * 5 + ["rejected"]
    text = saga(made, "show", "t-undone").stdout
    assert "because   Full: Rooms.take rejected" in text
    assert re.search(r"night\[Rome\] › paid +Bank.charge +undone", text)


def test_what_is_owed_in_a_child_saga_stands_there_with_its_command(made: Path) -> None:
    found = shown(made, "t-open")
    child, parent = found["owed"]
    assert (child["operation"], child["purpose"], child["place"]) == (
        "Bank.refund",
        "compensate",
        "paid",
    )
    assert (child["team"], child["error"], child["child"]) == ("bank-desk", "Unavailable", None)
    assert child["undoes"] in {step["key"] for step in found["steps"]}
    assert (parent["operation"], parent["child"]) == ("Night", child["run_id"])
    assert parent["iterations"] == ["Bern"]
    assert parent["settle"] is None
    fates = {(*step["within"], step["place"]): step["fate"] for step in found["steps"]}
    assert fates["night[Bern]", "paid"] == "done"
    assert fates["Rooms.take",] == "rejected"


def test_the_command_that_settles_can_be_typed_as_it_stands(folder: Path) -> None:
    (line,) = SETTLED.findall(saga(folder, "show", "t-open").stdout)
    words = [{"NAME": "ada", "TEXT": "by hand"}.get(word, word) for word in shlex.split(line)]
    words[words.index("retry")] = "done"
    result = saga(folder, *words[1:])
    assert result.returncode == 0, result
    (message,) = shown(folder, "t-open")["messages"]
    assert (message["kind"], message["taken"], message["refused"]) == ("settle", False, None)
    text = saga(folder, "show", "t-open").stdout
    assert "waits to be taken" in text
    assert "nobody runs it: saga resume t-open --db j.db" in text


def test_the_event_that_is_waited_for_stands_there_with_its_command(folder: Path) -> None:
    found = shown(folder, "t-killed")
    assert (found["phase"], found["fakes"]) == ("running", True)
    (wait,) = found["waits"]
    assert (wait["event"], wait["place"]) == ("Review", "verdict")
    text = saga(folder, "show", "t-killed").stdout
    assert re.search(r"for Review at verdict of Trip, (59|60)(\.\d)? min left", text)
    assert wait["signal"] in text
    assert "nobody runs it: saga resume t-killed --db j.db" in text
    words = shlex.split(wait["signal"])
    result = saga(folder, *words[1:])
    assert result.returncode == 0, result
    assert shown(folder, "t-killed")["messages"][0]["kind"] == "signal"


def test_a_run_under_way_names_who_has_it(tmp_path: Path) -> None:
    with waiting(tmp_path, "t-1") as process:
        found = shown(tmp_path, "t-1")
        assert f"process {process.pid} (saga run" in found["owner"]
        assert "nobody" not in saga(tmp_path, "show", "t-1").stdout


def test_an_owner_that_was_killed_is_gone_though_nobody_waited_for_it(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sagalang.runtime.sqlite import open_store\n"
        "with open_store(Path('j.db'), command='saga serve', now=1): print(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert f"process {process.pid} (saga serve" in shown(folder, "t-killed")["owner"]
        process.kill()
        process.stdout.read()  # it has ended, and is a zombie
        os.kill(process.pid, 0)
        assert shown(folder, "t-killed")["owner"] is None
        assert "nobody runs it" in saga(folder, "show", "t-killed").stdout


def test_a_child_saga_can_be_shown_alone(made: Path) -> None:
    child = shown(made, "t-open")["owed"][0]["run_id"]
    found = shown(made, child)
    assert (found["root"], found["phase"]) == ("t-open", "escalated")
    assert [step["place"] for step in found["steps"]] == ["room", "paid"]
    assert "step of   t-open" in saga(made, "show", child).stdout


def test_an_unknown_id_brings_the_nearest(made: Path) -> None:
    result = saga(made, "show", "t-opne")
    assert result.returncode == 2
    assert "there is no run t-opne in j.db" in result.stderr
    assert "did you mean `t-open`?" in result.stderr
    assert "`t-killed`" in saga(made, "show", "t-k").stderr


def test_the_journal_as_text_has_a_line_for_each_entry(made: Path) -> None:
    lines = saga(made, "show", "t-done", "--journal").stdout.partition("\n\n20")[2].splitlines()
    with open_book(made / "j.db") as book:
        assert len(lines) == len(book.history("t-done"))
    assert lines[-1].endswith("  completed")
    data = shown(made, "t-done", "--journal")["journal"]
    assert data[0] == {**data[0], "entry": "saga started", "args": None}


def test_an_id_cannot_steer_the_terminal_and_commands_still_name_it(tmp_path: Path) -> None:
    hostile = "t\x1b[31m'\\\n\x9b1"

    async def main() -> None:
        with open_store(tmp_path / "j.db", command="test", now=1) as store:
            store.define("h", "text")
            store.begin(NewRun(id=hostile, saga="S", definition="h", began=1), b"{}")
            await store.all_committed()

    asyncio.run(main())
    listed = saga(tmp_path, "runs")
    next_ = saga(tmp_path, "show", "x").stderr
    for text in (listed.stdout, listed.stderr, next_):
        assert "\x1b" not in text
        assert "\x9b" not in text
    assert typed("plain id") == "'plain id'"
    said = subprocess.run(
        ["bash", "-c", f"printf %s {typed(hostile)}"],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == hostile


# --- Secrets -----------------------------------------------------------------------------------


def test_nothing_needs_the_key_and_nothing_tells_a_secret(folder: Path) -> None:
    (folder / "j.db.key").unlink()
    picture = ("--to", "text", "--values")
    told = [
        saga(folder, "show", "t-done", "--journal", "--values"),
        saga(folder, "show", "t-done", "--journal", "--values", "--format", "json"),
        saga(folder, "export", "t-done"),
        saga(folder, "render", "--run", "t-done", *picture),
        saga(folder, "show", "t-open"),
    ]
    for result in told:
        assert result.returncode == 0, result
        assert CARD not in result.stdout + result.stderr
        assert LITERAL not in result.stdout + result.stderr
        assert "gAAAA" not in result.stdout
    for result in told[:4]:
        assert "•••" in result.stdout
        assert "Rome" in result.stdout
    assert not (folder / "j.db.key").exists()


# --- export, render ----------------------------------------------------------------------------


def test_an_export_is_what_the_run_itself_kept(folder: Path) -> None:
    result = saga(folder, "export", "t-done", "-o", "out.jsonl")
    assert result.returncode == 0, result
    assert (folder / "out.jsonl").stat().st_mode & 0o777 == 0o600
    kept = (folder / "kept.jsonl").read_text().splitlines()
    found = (folder / "out.jsonl").read_text().splitlines()
    assert found[1:] == kept[1:]
    one, other = json.loads(found[0]), json.loads(kept[0])
    assert one["saga_id"] == other["saga_id"]
    assert list(one["definition"]["files"].values()) == list(other["definition"]["files"].values())
    drawn = saga(folder, "render", "--journal", "out.jsonl", "--to", "text")
    assert "Rooms" in drawn.stdout
    assert drawn.stdout == saga(folder, "render", "--run", "t-done", "--to", "text").stdout


def test_an_export_touches_no_file_that_is_there(folder: Path) -> None:
    (folder / "out.jsonl").write_text("mine")
    result = saga(folder, "export", "t-done", "-o", "out.jsonl")
    assert result.returncode == 2
    assert "out.jsonl exists, and is left as it is" in result.stderr
    assert (folder / "out.jsonl").read_text() == "mine"


def test_of_a_definition_that_cannot_be_read_everything_but_values_is_told(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "j.db")) as connection:
        connection.execute("UPDATE definitions SET text = 'a module'")
        connection.commit()
    found = shown(folder, "t-killed")
    assert (found["waits"][0]["event"], found["waits"][0]["place"]) == (None, "verdict")
    assert shown(folder, "t-open", "--journal")["owed"]
    result = saga(folder, "export", "t-open")
    assert result.returncode == 2
    assert "saga show t-open --journal --db j.db" in result.stderr


# --- prune -------------------------------------------------------------------------------------


def test_prune_deletes_what_is_over_and_nothing_else(folder: Path) -> None:
    time.sleep(0.01)
    would = saga(folder, "prune", "--older-than", "0s", "--dry-run")
    assert "would delete 6 runs" in would.stdout
    assert "next: saga prune --older-than 0s --db j.db" in would.stderr
    assert len(json.loads(saga(folder, "runs", "--format", "json").stdout)["runs"]) == 4
    size = (folder / "j.db").stat().st_size
    done = json.loads(saga(folder, "prune", "--older-than", "0s", "--format", "json").stdout)
    assert done["runs"] == 6
    assert done["freed"] >= 4096
    left = json.loads(saga(folder, "runs", "--format", "json").stdout)["runs"]
    assert [run["id"] for run in left] == ["t-killed", "t-open"]
    assert (folder / "j.db").stat().st_size <= size
    again = saga(folder, "prune", "--older-than", "0s")
    assert "deleted 0 runs" in again.stdout


def test_prune_leaves_what_ended_since(folder: Path) -> None:
    assert "would delete 0 runs" in saga(folder, "prune", "--older-than", "1h", "--dry-run").stdout


def test_prune_says_who_has_the_file(folder: Path) -> None:
    with open_store(folder / "j.db", command="saga serve shop", now=1):
        result = saga(folder, "prune", "--older-than", "0s")
    assert result.returncode == 2
    assert f"j.db is in use by process {os.getpid()} (saga serve shop" in result.stderr


def test_what_would_be_pruned_is_what_is_pruned(tmp_path: Path) -> None:
    """A root that is over stays while a saga below it is not."""
    path = tmp_path / "j.db"

    async def main() -> tuple[int, int]:
        with open_store(path, command="test", now=1) as store:
            store.define("h", "text")

            def begun(name: str, parent: int | None, ended: int | None) -> int:
                new = NewRun(id=name, saga="S", definition="h", began=10, parent=parent)
                number, _ = store.begin(new, b"1")
                if ended is not None:
                    over = Change(state=State.COMPLETED, at=ended, ended=ended)
                    store.append(number, b"2", change=over)
                return number

            one = begun("one", None, 20)
            begun("one's", one, 20)
            two = begun("two", None, 20)
            below = begun("two's", two, 20)
            begun("two's own", below, None)
            begun("late", None, 90)
            begun("open", None, None)
            await store.all_committed()
            return store.reader.old(50), await store.prune(50)

    assert asyncio.run(main()) == (2, 2)


# --- watch -------------------------------------------------------------------------------------


def test_watch_tells_a_pipe_what_happens_line_by_line(tmp_path: Path) -> None:
    with waiting(tmp_path, "t-1") as runner:
        environment = {"SAGA_DB": "j.db"}
        watching = warm.Started("saga", "watch", cwd=tmp_path, env=environment)
        with watching as watcher, killed_after(60, watcher):
            first = watcher.stdout.readline()
            assert re.search(r"t-1  Trip: running since .*, waits at verdict of Trip$", first)
            runner.send_signal(signal.SIGINT)  # asks the saga to cancel
            line = ""
            while "compensated" not in line or "…" in line or "child" in line:
                line = watcher.stdout.readline()
                assert line, "it ended"
            assert re.match(r"\d{4}-\d\d-\d\d .*  t-1  compensated with", line)
            watcher.send_signal(signal.SIGINT)
            assert watcher.wait(20) == 0


def test_watch_tells_a_settlement_in_words_and_one_ms_in_its_order() -> None:
    place, purpose = m.Place("pay"), m.Purpose.STEP
    call = {"place": place, "purpose": purpose, "label": "Bank.charge", "key": "k"}
    said = {"how": "retry", "by": "ada", "why": "it is back"}
    entries = (
        j.AttemptEnded(saga_id="o-1", at=5, **call, attempt=1, kind="unknown", error="Timeout"),
        j.Waiting(saga_id="o-1", at=5, **call, reason="backoff", delay=91, until=96),
        j.Settlement(saga_id="o-1", at=5, place=place, purpose=purpose, **said),
    )
    run = RunInfo("o-1", "S", State.RUNNING, None, "h", 1, 1, None, None)
    stream = io.StringIO()
    Lines(stream).show([View(run, Status(), entries)], 9)
    told = [line.split("  ", 1)[1] for line in stream.getvalue().splitlines()]
    assert told == [
        "o-1  Bank.charge: attempt 1 is unknown, Timeout",
        "o-1  Bank.charge: again in 91 ms",
        "o-1  ada settles it: retry (it is back)",
    ]


def test_watch_until_idle_ends_and_misses_no_run(tmp_path: Path) -> None:
    trip(tmp_path, "t-0")
    result = saga(tmp_path, "watch", "--until-idle")
    assert (result.returncode, result.stdout) == (0, "")
    path = tmp_path / "j.db"
    with open_book(path) as book:
        now = time.time_ns() // 1_000_000
        watched = Watched(book, Filter((State.RUNNING,)), now)
        assert watched.look(now) == []
        trip(tmp_path, "t-1")  # begins and ends between two looks
        now = time.time_ns() // 1_000_000
        (view,) = watched.look(now)
        assert (view.run.id, len(view.new)) == ("t-1", len(book.history("t-1")))
        (view,) = watched.look(now + 1)
        assert view.new == ()
        assert watched.look(now + 60_000) == []


def test_watch_gives_programs_entries_as_they_stand_in_an_export(made: Path) -> None:
    stream = io.StringIO()
    with open_book(made / "j.db") as book:
        began = book.runs()[-1].began
        views = Watched(book, Filter(), began).look(began + 1_000)
        JsonLines(stream).show(views[:1], began)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    exported = [json.loads(x) for x in saga(made, "export", "t-done").stdout.splitlines()[1:]]
    assert {each.pop("run") for each in found} == {"t-done"}
    assert [each["entry"] for each in found] == [each["entry"] for each in exported]
    assert found[3] == {**exported[3], "args": []}
    assert CARD not in stream.getvalue()


def test_the_screen_shows_each_run_on_a_line_and_draws_over_itself(made: Path) -> None:
    with open_book(made / "j.db") as book:
        now = time.time_ns() // 1_000_000
        views = Watched(book, Filter((State.RUNNING, State.ESCALATED)), now).look(now)
    stream = io.StringIO()
    screen = Screen(stream, colour=False)
    screen.show(views, now)
    screen.show(views[:1], now)
    one, two, rest = stream.getvalue().split("\n", 2)
    assert re.search(r"escalated +Trip t-open .*needs bank-desk: Bank\.", one)
    assert re.search(r"running +Trip t-killed .*waits at verdict", two)
    assert rest.startswith("\x1b[J\x1b[2A")
    assert rest.count("Trip") == 1


# --- Completion --------------------------------------------------------------------------------


def test_shells_complete_the_ids_of_runs(made: Path) -> None:
    asked = {"_SAGA_COMPLETE": "bash_complete", "COMP_CWORD": "2", "SAGA_DB": "j.db"}
    for words, ids in (("saga show t-o", {"t-open"}), ("saga export t-k", {"t-killed"})):
        result = warm.run("saga", cwd=made, env={**asked, "COMP_WORDS": words})
        assert {line.partition(",")[2] for line in result.stdout.splitlines()} == ids


def test_ids_are_found_by_their_beginning(made: Path) -> None:
    with reading(made / "j.db") as reader:
        assert reader.ids("t-", 3) == ["t-done", "t-killed", "t-open"]
        assert reader.ids("t-u", 9) == ["t-undone"]
        assert reader.ids("u", 9) == []
