"""The commands as a user meets them: what they print, where, and the exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import warm

ROOT = Path(__file__).parents[2]
ORDER = "examples/order/order.saga"
SHOP = "examples/shop/shop.saga"
SAGA = Path(sys.executable).parent / "saga"


def saga(*arguments: str | Path, **given: Any) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", *arguments, **{"cwd": ROOT, **given})


def started_anew(
    *arguments: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same from nothing, as a shell starts it: once for each command and exit status."""
    return subprocess.run(
        [SAGA, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def hasty(folder: Path, *changes: tuple[str, str]) -> str:
    """The order saga where nobody waits long: a lost answer costs 0.3 s for each attempt."""
    text = (ROOT / ORDER).read_text()
    for old, new in (("timeout 2s", "timeout 300ms"), ("backoff 200ms", "backoff 20ms"), *changes):
        assert old in text
        text = text.replace(old, new)
    (folder / "a.saga").write_text(text)
    return "a.saga"


def ledger(result: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Operation to (key column, effect), from the printed ledger."""
    lines = result.stdout.partition("ledger")[2].splitlines()[2:]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines if line.startswith("  ")]
    return {
        row[0].partition("(")[0]: ("", row[1]) if len(row) == 3 else (row[1], row[2])
        for row in rows
    }


# --- check -------------------------------------------------------------------------------------


def test_check_of_right_files_says_ok_and_exits_0() -> None:
    result = started_anew("check", ORDER, SHOP)
    assert result.returncode == 0
    assert result.stdout.startswith("ok")
    assert result.stderr == ""


def test_check_shows_place_and_fix_and_exits_1(tmp_path: Path) -> None:
    broken = (ROOT / ORDER).read_text().replace("    compensate refund(key)\n", "")
    (tmp_path / "a.saga").write_text(broken)
    result = started_anew("check", "a.saga", cwd=tmp_path)
    assert result.returncode == 1
    assert "error[SG301]: nothing undoes `Payment.charge`" in result.stdout
    assert "--> a.saga:" in result.stdout
    assert "= help: add `compensate …`" in result.stdout
    assert "saga explain SG301" in result.stdout


def test_check_exits_1_on_a_warning_too(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text((ROOT / ORDER).read_text() + "\nerror Never\n")
    result = saga("check", "a.saga", cwd=tmp_path)
    assert result.returncode == 1
    assert "warning[SG103]" in result.stdout


@pytest.mark.parametrize("name", ["missing.saga", "."])
def test_check_of_what_cannot_be_read_exits_2(tmp_path: Path, name: str) -> None:
    result = started_anew("check", name, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout.startswith(f"error[SG901]: cannot read {name}: ")
    assert result.stdout.splitlines()[1:3] == [f" --> {name}", ""]
    assert "Traceback" not in result.stderr


def test_check_in_json_is_one_document_with_places(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text("record A { x: nope }\n")
    result = saga("check", "--format", "json", "a.saga", cwd=tmp_path)
    made = json.loads(result.stdout)
    assert made["format_version"] == 1
    (found,) = made["diagnostics"]
    assert (found["code"], found["name"]) == ("SG101", "unknown-name")
    assert found["primary"]["start"] == {"offset": 14, "line": 1, "column": 15}


def test_check_concise_is_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text("record A { x: nope }\nrecord B { y: nope }\n")
    result = saga("check", "--format", "concise", "a.saga", cwd=tmp_path)
    lines = result.stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["a.saga:1:15:", "a.saga:2:15:"]


def test_check_reads_standard_input() -> None:
    result = started_anew("check", "-", stdin="record A { x: int }\n")
    assert result.returncode == 0


def test_check_watches_and_tells_again_after_a_save(tmp_path: Path) -> None:
    file = tmp_path / "a.saga"
    file.write_text("record A { x: int }\n")
    process = subprocess.Popen(
        [SAGA, "check", "--watch", "a.saga"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "ok" in process.stdout.readline()
        time.sleep(0.3)
        file.write_text("record A { x: nope }\n")
        seen = ""
        while "SG101" not in seen:
            line = process.stdout.readline()
            assert line, "the watch ended"
            seen += line
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def test_colour_is_for_terminals_and_no_color_wins(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text("record A { x: nope }\n")
    assert "\x1b[" not in started_anew("check", "a.saga", cwd=tmp_path).stdout
    forced = started_anew("check", "a.saga", cwd=tmp_path, env={"FORCE_COLOR": "1"})
    assert "\x1b[1;31m" in forced.stdout
    never = saga("check", "a.saga", cwd=tmp_path, env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b[" not in never.stdout


# --- explain, help, completion -----------------------------------------------------------------


@pytest.mark.parametrize("word", ["SG301", "sg301", "missing-compensation"])
def test_explain_takes_code_and_name(word: str) -> None:
    result = started_anew("explain", word)
    assert result.returncode == 0
    assert "missing-compensation" in result.stdout
    assert "SG301" in result.stdout


def test_explain_of_an_unknown_code_proposes_one() -> None:
    result = started_anew("explain", "missing-compensatoin")
    assert result.returncode == 2
    assert "did you mean `missing-compensation`?" in result.stderr


def test_unknown_command_proposes_one_and_exits_2() -> None:
    result = started_anew("chekc")
    assert result.returncode == 2
    assert "did you mean `check`?" in result.stderr


def test_version_and_completion() -> None:
    assert re.fullmatch(r"saga \d+\.\d+\.\d+\n", started_anew("--version").stdout)
    for shell in ("bash", "zsh", "fish"):
        assert "_SAGA_COMPLETE" in saga("completion", shell).stdout


# --- new ---------------------------------------------------------------------------------------


def test_new_project_checks_and_runs(tmp_path: Path) -> None:
    made = started_anew("new", "trip", cwd=tmp_path)
    assert made.returncode == 0
    assert saga("check", "trip/trip.saga", cwd=tmp_path).returncode == 0
    ran = saga("run", "trip/trip.saga", "--mock", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    failed = saga(
        "run", "trip/trip.saga", "--mock", "--fault", "Airline.book rejects NoSeat", cwd=tmp_path
    )
    assert failed.returncode == 1
    assert ledger(failed)["Hotel.book"][1] == "undone"


def test_new_touches_nothing_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "mine.txt").write_text("mine")
    result = started_anew("new", "trip", cwd=tmp_path)
    assert result.returncode == 2
    assert [p.name for p in (tmp_path / "trip").iterdir()] == ["mine.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["trip"]


# --- run on fakes ------------------------------------------------------------------------------


def test_run_on_fakes_completes_and_shows_the_ledger() -> None:
    result = started_anew("run", ORDER, "--mock")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("completed")
    assert {effect for _, effect in ledger(result).values()} == {"done"}
    assert "Payment.charge" in result.stderr, "progress goes to standard error"


def test_out_of_stock_is_compensated_and_the_refund_names_the_key_of_the_charge() -> None:
    result = started_anew("run", ORDER, "--mock", "--fault", "Inventory.reserve rejects OutOfStock")
    assert result.returncode == 1
    assert result.stdout.startswith("compensated with OutOfStock")
    rows = ledger(result)
    charge_key, effect = rows["Payment.charge"]
    assert effect == "undone"
    assert rows["Payment.refund"][0] == f"of={charge_key}"
    assert rows["Orders.create"][1] == "undone"
    assert rows["Inventory.reserve"][1] == "none"


def test_a_lost_answer_is_compensated_although_nobody_knows(tmp_path: Path) -> None:
    fault = "Payment.charge times out after effect, always"
    result = saga("run", hasty(tmp_path), "--mock", "--fault", fault, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith("compensated with Timeout")
    assert ledger(result)["Payment.charge"][1] == "undone"


def test_a_crash_of_the_orchestrator_does_nothing_twice() -> None:
    result = saga("run", ORDER, "--mock", "--fault", "crash after Payment.charge")
    assert result.returncode == 0, result.stderr
    rows = ledger(result)
    assert rows["Payment.charge"][1] == "done"
    assert result.stdout.count("Payment.charge") == 1


def test_escalated_saga_says_what_is_owed_and_to_whom() -> None:
    result = saga("run", SHOP, "--mock", "--fault", "Shipping.book rejects BadAddress, always")
    assert result.returncode == 1
    assert result.stdout.startswith("escalated")
    assert "owed      Shipping.book (BadAddress), for logistics" in result.stdout


def test_sent_event_reaches_the_wait_and_secrets_stay_covered(tmp_path: Path) -> None:
    order = {
        "id": "o-9",
        "lines": [{"sku": "A", "qty": 1}],
        "total": {"amount": 5000, "currency": "EUR"},
        "address": "Main St",
        "card": "tok-do-not-show",
    }
    (tmp_path / "order.json").write_text(json.dumps(order))
    send = 'Review(verdict: Verdict.Approved, by: "me") after 200ms'
    given = ("--input", str(tmp_path / "order.json"), "--send", send)
    result = saga("run", SHOP, "--mock", *given)
    assert result.returncode == 0, result.stderr
    made = saga("run", SHOP, "--mock", *given, "--format", "json")
    rows = {row["operation"]: row for row in json.loads(made.stdout)["ledger"]}
    assert rows["Payment.authorize"]["args"]["card"] == "•••"
    for text in (result.stdout, result.stderr, made.stdout, made.stderr):
        assert "tok-do-not-show" not in text


def test_json_result_has_outcome_steps_and_ledger() -> None:
    fault = "Inventory.reserve rejects OutOfStock"
    result = saga("run", ORDER, "--mock", "--fault", fault, "--format", "json")
    assert result.returncode == 1
    made = json.loads(result.stdout)
    assert made["outcome"]["kind"] == "compensated"
    assert made["outcome"]["error"] == "OutOfStock"
    assert made["compensated"] == ["Payment.refund", "Orders.fail"]
    assert made["owed"] == []
    assert [row["operation"] for row in made["ledger"]][:2] == ["Orders.create", "Payment.charge"]
    assert result.stderr == ""


# --- run: input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ('{"id": "x", "sku": "a", "qty": "3", "amount": 1}', "order.qty: expected an int"),
        ('{"id": "x", "sku": "a", "amount": 1}', "order.qty"),
        ('{"id": "x", "sku": "a", "qty": 3, "amonut": 1}', "amonut"),
        ('{"id": "x", ', "not"),
    ],
)
def test_wrong_input_is_refused_with_its_path_before_anything_is_called(
    given: str, place: str
) -> None:
    result = saga("run", ORDER, "--mock", "--input", given)
    assert result.returncode == 2
    assert place in result.stderr
    assert "nothing was called" in result.stderr
    assert result.stdout == ""


def test_input_comes_from_a_file_from_stdin_and_from_a_let(tmp_path: Path) -> None:
    text = '{"id": "from-input", "sku": "a", "qty": 1, "amount": 1.10}'
    (tmp_path / "in.json").write_text(text)
    for given, stdin in ((str(tmp_path / "in.json"), ""), ("-", text)):
        result = saga("run", ORDER, "--mock", "--input", given, stdin=stdin)
        assert "PlaceOrder from-input" in result.stdout, result.stderr
    assert "PlaceOrder o-1" in saga("run", ORDER, "--mock", "--input", "sample").stdout


def test_without_input_and_sample_a_mock_run_makes_one_up_and_says_so(tmp_path: Path) -> None:
    text = (ROOT / ORDER).read_text()
    (tmp_path / "a.saga").write_text(text[: text.index("let sample")])
    result = saga("run", "a.saga", "--mock", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "a made-up `order`" in result.stderr
    refused = saga("run", "a.saga", cwd=tmp_path)
    assert refused.returncode == 2
    assert "`let sample = Order(…)`" in refused.stderr


def test_another_id_is_put_into_the_input() -> None:
    result = saga("run", ORDER, "--mock", "--id", "o-77", "--format", "json")
    made = json.loads(result.stdout)
    assert made["id"] == "o-77"
    assert made["ledger"][0]["args"]["id"] == "o-77"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "Inventory.reserv rejects OutOfStock"), "did you mean `reserve`?"),
        (("--fault", "Inventory.reserve rejects Declined"), "never rejects with `Declined`"),
        (("--fault", "nonsense here"), "cannot stand after"),
        (("--send", "Review()"), "there is no event `Review`"),
        (("--latency", "fast"), "`fast` is not a latency"),
        (("--cancel-after", "soon"), "`soon` is not a duration"),
        (("--input", "nowhere.json"), "there is no such file"),
    ],
)
def test_wrong_options_are_told_plainly_and_exit_2(arguments: tuple[str, str], said: str) -> None:
    result = saga("run", ORDER, "--mock", *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_fault_that_no_call_meets_is_named() -> None:
    unused = "Inventory.release unavailable"
    result = saga("run", ORDER, "--mock", "--fault", unused)
    assert f"note: this fault never happened: {unused}" in result.stdout
    used = saga("run", ORDER, "--mock", "--fault", "Payment.charge unavailable")
    assert "never happened" not in used.stdout


def test_best_effort_that_failed_is_named_in_the_end() -> None:
    fault = "Notification.receipt unavailable, always"
    result = saga("run", SHOP, "--mock", "--fault", fault, timeout=120)
    assert result.returncode == 0
    assert "skipped   Notification.receipt (best effort, Unavailable)" in result.stdout


def test_late_call_after_an_unfenced_compensation_is_not_hidden(tmp_path: Path) -> None:
    file = hasty(tmp_path, ("absent ok, fences late", "absent ok"))
    fault = "Payment.charge arrives late after 60s, always"
    result = saga("run", file, "--mock", "--fault", fault, cwd=tmp_path)
    assert result.returncode == 1
    assert "LEFT      Payment.charge" in result.stdout
    assert ledger(result)["Payment.charge"][1] == "done"


def test_escalated_compensation_names_those_it_holds_back(tmp_path: Path) -> None:
    text = (ROOT / ORDER).read_text()
    text = text.replace(
        "  id order.id\n", '  id order.id\n  compensate with once_more else escalate "ops"\n'
    )
    text += "policy once_more { timeout 200ms retry 1 times backoff 20ms jitter full }\n"
    (tmp_path / "a.saga").write_text(text)
    faults = ("Inventory.reserve rejects OutOfStock", "Payment.refund unavailable, always")
    options = [option for fault in faults for option in ("--fault", fault)]
    result = saga("run", "a.saga", "--mock", *options, cwd=tmp_path)
    assert result.returncode == 1
    assert "owed      Payment.refund, which undoes Payment.charge (Unavailable), for ops" in (
        result.stdout
    )
    assert "then      Orders.fail: held back until that is settled" in result.stdout


def test_fault_without_mock_is_refused() -> None:
    result = saga("run", ORDER, "--fault", "Inventory.reserve rejects OutOfStock")
    assert result.returncode == 2
    assert "--mock" in result.stderr


def test_missing_secret_is_refused_before_anything_is_called() -> None:
    result = started_anew("run", SHOP, env={"PAYMENT_AUTH": ""})
    assert result.returncode == 2
    assert "PAYMENT_AUTH" in result.stderr
    assert "nothing was called" in result.stderr


def test_a_file_with_errors_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text("saga S() { step A.b() }\n")
    result = saga("run", "a.saga", "--mock", cwd=tmp_path)
    assert result.returncode == 2
    assert "nothing was run" in result.stderr


def test_services_that_are_down_mean_not_sent_and_nothing_to_undo() -> None:
    down = {"ORDERS_URL": "http://127.0.0.1:9"}
    result = started_anew("run", ORDER, env=down)
    assert result.returncode == 1
    assert result.stdout.startswith("compensated with NotSent")
    assert "nothing, because nothing had happened" in result.stdout
    assert "are the services running?" in result.stdout


def test_interrupt_cancels_and_undoes(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [SAGA, "run", ORDER, "--mock", "--fault", "Inventory.reserve unavailable, always"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "Inventory.reserve" not in (line := process.stderr.readline()):
        assert line, "the run ended"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out.startswith("compensated with Cancelled")
    assert "undone    " in out


def test_terminal_shows_a_live_list() -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [SAGA, "run", ORDER, "--mock", "--latency", "150"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    process.wait(30)
    text = seen.decode()
    assert "\x1b[1A" in text, "earlier lines are drawn again"
    assert "running" in text
    assert re.search(
        r"ok\S*\s+Orders\.confirm", text.rpartition("\x1b[4A")[2].replace("\x1b[0m", "")
    )


# --- mock, render ------------------------------------------------------------------------------


def test_mock_serves_until_interrupted_and_shows_what_it_holds() -> None:
    process = subprocess.Popen(
        [SAGA, "mock", ORDER, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    env: dict[str, str] = {}
    while not (line := process.stdout.readline()).startswith("next:"):
        assert line, "the fakes ended"
        name, _, url = line.removeprefix("export ").strip().partition("=")
        env[name] = url
    assert sorted(env) == ["INVENTORY_URL", "ORDERS_URL", "PAYMENT_URL"]
    first = saga("run", ORDER, env=env)
    second = saga("run", ORDER, env=env)
    assert first.returncode == second.returncode == 0
    assert "the services remember o-1" in second.stdout
    assert "--id o-2" in second.stdout
    assert "remember" not in first.stdout
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.search(r'Payment\.charge\("o-1", 18\.50\) +\S+ +done +2', out)


def test_mock_on_a_taken_port_says_so(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = started_anew("mock", ORDER, "--port", str(taken.getsockname()[1]))
    assert result.returncode == 2
    assert "cannot listen" in result.stderr


def test_render_prints_or_writes_mermaid(tmp_path: Path) -> None:
    printed = started_anew("render", ORDER)
    assert printed.stdout.startswith("sequenceDiagram\n")
    target = tmp_path / "order.mmd"
    assert saga("render", ORDER, "-o", target).returncode == 0
    assert target.read_text() == printed.stdout
    refused = started_anew("render", ORDER, "-o", tmp_path / "order.mmd" / "x.mmd")
    assert refused.returncode == 2
    assert "cannot write" in refused.stderr


def test_compile_writes_once_and_says_what_cannot_be_compiled(tmp_path: Path) -> None:
    first = started_anew("compile", ORDER, "-o", tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("wrote")
    assert saga("compile", ORDER, "-o", tmp_path).stdout.startswith("unchanged")
    text = (ROOT / ORDER).read_text() + "\nlet first = [10, 20][5]\n"
    (tmp_path / "a.saga").write_text(text)
    refused = started_anew("compile", "a.saga", "-o", "out", cwd=tmp_path)
    assert refused.returncode == 1
    assert "error[SG701]" in refused.stdout
    assert not (tmp_path / "out").exists()


def test_which_saga_is_asked_when_there_are_several(tmp_path: Path) -> None:
    text = (ROOT / ORDER).read_text()
    again = text[text.index("saga PlaceOrder") : text.index("let sample")]
    (tmp_path / "a.saga").write_text(text + again.replace("PlaceOrder", "Other"))
    result = saga("render", "a.saga", cwd=tmp_path)
    assert result.returncode == 2
    assert "PlaceOrder, Other" in result.stderr
    assert saga("render", "a.saga", "Other", cwd=tmp_path).returncode == 0
