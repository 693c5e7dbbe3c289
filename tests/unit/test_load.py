"""Files as users have them: missing, unreadable, huge, in odd encodings, importing each other."""

from __future__ import annotations

import io
import os
import time
from importlib import import_module
from pathlib import Path

import pytest

from sagalang.diagnostics import Diagnostic
from sagalang.diagnostics.render import concise, full
from sagalang.workspace import load, load_text

GOOD = "record Money { amount: decimal }\n"


def only(path: Path) -> Diagnostic:
    found = load(str(path))
    assert len(found.diagnostics) == 1
    assert full(found.diagnostics[0], found.sources)
    return found.diagnostics[0]


def written(folder: Path, data: bytes, name: str = "a.saga") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def names_of(text: str, **others: str) -> list[str]:
    files = {f"{name}.saga": other for name, other in others.items()}
    return [d.name for d in load_text(text, "main.saga", files).diagnostics]


# --- the file itself ---------------------------------------------------------------------------


def test_missing_file_is_told(tmp_path: Path) -> None:
    found = only(tmp_path / "none.saga")
    assert found.name == "unreadable-file"
    assert found.message.endswith("there is no such file")


def test_directory_instead_of_a_file_is_told(tmp_path: Path) -> None:
    found = only(tmp_path)
    assert found.name == "unreadable-file"
    assert "it is a directory" in found.message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_file_without_permission_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.encode())
    path.chmod(0)
    assert "no permission" in only(path).message


def test_invalid_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    found = only(written(tmp_path, b"record A { x: int }\n// caf\xe9\n"))
    assert found.name == "unreadable-file"
    assert "line 2 is not UTF-8" in found.message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_told(tmp_path: Path, encoding: str) -> None:
    found = load(str(written(tmp_path, GOOD.encode(encoding)))).diagnostics
    assert found
    assert {d.name for d in found} <= {"unreadable-file", "bad-character", "syntax-error"}


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert load(str(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()))).diagnostics == ()


def test_empty_file_is_clean(tmp_path: Path) -> None:
    assert load(str(written(tmp_path, b""))).diagnostics == ()


def test_file_of_comments_is_clean(tmp_path: Path) -> None:
    assert load(str(written(tmp_path, b"// nothing\n/// yet\n"))).diagnostics == ()


@pytest.mark.parametrize(
    "text",
    ['let a = "x\x00y"\n', "let a = 1 \x00\n", "// x\x00y\n", "\x00", "record \x00A { }\n"],
)
def test_zero_byte_is_told_wherever_it_stands(text: str) -> None:
    found = load_text(text).diagnostics
    assert [d.name for d in found] == ["bad-character"]
    assert text[found[0].span.start] == "\x00"


def test_standard_input_has_a_name_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(b"record A { x: itn }\n")

    monkeypatch.setattr("sys.stdin", Input())
    found = load("-")
    assert concise(found.diagnostics[0], found.sources).startswith("<stdin>:1:15: error[SG101]")


def test_large_file_is_checked_in_time() -> None:
    rows = [f"record Record{i} {{ first: string, second: list<decimal>? }}" for i in range(5000)]
    rows += [f"// a remark of some length, for the reader of line {i}" for i in range(90_000)]
    text = "\n".join(rows)
    assert len(text) > 5_000_000
    started = time.monotonic()
    assert load_text(text).diagnostics == ()
    assert time.monotonic() - started < 40


def test_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("sagalang.workspace.load"), "MAX_BYTES", 1024 * 1024)
    assert "larger than 1 MB" in only(written(tmp_path, b" " * (1024 * 1024 + 1))).message


def test_not_every_unknown_name_is_compared_with_every_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That would take a while where a whole file has gone wrong."""
    compared = []
    monkeypatch.setattr(
        "sagalang.diagnostics.suggest._edit_distance", lambda a, b: compared.append(b) or 99
    )
    text = "\n".join(f"record Record{i:05} {{ a: Recrod{i:05} }}" for i in range(1000))
    assert len(load_text(text).diagnostics) == 1000
    assert 0 < len(compared) <= 1000 * 1000 / 10


# --- line ends ---------------------------------------------------------------------------------


def test_crlf_gives_the_lines_and_columns_of_lf() -> None:
    text = "/// A doc.\nrecord A {\n  x: itn,\n  y: strin\n}\nlet a = 'x'\n"
    shown = []
    for version in (text, text.replace("\n", "\r\n")):
        loaded = load_text(version)
        shown.append([full(d, loaded.sources) for d in loaded.diagnostics])
    assert len(shown[0]) == 3
    assert shown[0] == shown[1]


def test_doc_comment_has_no_carriage_return() -> None:
    loaded = load_text("/// One.\r\n/// Two.\r\nrecord A { x: int }\r\n")
    assert loaded.program.records["A"].doc == "One.\nTwo."


# --- imports -----------------------------------------------------------------------------------


def test_imports_are_relative_to_the_importing_file(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    written(tmp_path / "parts", b'import "deep.saga"\n', "a.saga")
    written(tmp_path / "parts", GOOD.encode(), "deep.saga")
    main = written(tmp_path, b'import "parts/a.saga"\nlet m = Money(amount: 1)\n', "main.saga")
    assert load(str(main)).diagnostics == ()


def test_near_name_of_a_missing_import_is_proposed(tmp_path: Path) -> None:
    written(tmp_path, GOOD.encode(), "money.saga")
    found = only(written(tmp_path, b'import "monney.saga"\n', "main.saga"))
    assert found.name == "import-not-found"
    assert found.help == 'did you mean `"money.saga"`?'


def test_imported_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    found = only(written(tmp_path, b'import "parts"\n', "main.saga"))
    assert found.name == "import-not-found"
    assert "it is a directory" in found.message


@pytest.mark.parametrize("path", ["", ".", "\\u{0}", "a" * 300, "../" * 50])
def test_odd_import_paths_are_told(tmp_path: Path, path: str) -> None:
    found = only(written(tmp_path, f'import "{path}"\n'.encode(), "main.saga"))
    assert found.name == "import-not-found"


def test_circle_is_told_once_with_both_places() -> None:
    text = 'import "a.saga"\nrecord M { x: int }\n'
    loaded = load_text(
        text, "main.saga", {"a.saga": 'import "b.saga"\n', "b.saga": 'import "main.saga"\n'}
    )
    assert [d.name for d in loaded.diagnostics] == ["import-cycle"]
    assert "main.saga → a.saga → b.saga → main.saga" in loaded.diagnostics[0].message
    assert loaded.diagnostics[0].secondary[0].span.file == "main.saga"


def test_diamond_of_imports_is_no_clash() -> None:
    assert (
        names_of(
            'import "a.saga"\nimport "b.saga"\nlet m = Money(amount: 1)\n',
            a='import "c.saga"\n',
            b='import "c.saga"\n',
            c=GOOD,
        )
        == []
    )


def test_file_imported_twice_is_told() -> None:
    assert names_of('import "a.saga"\nimport "./a.saga"\n', a=GOOD) == ["duplicate-name"]


def test_names_of_a_file_that_is_not_imported_are_not_visible() -> None:
    loaded = load_text(
        'import "a.saga"\nimport "b.saga"\n',
        "main.saga",
        {"a.saga": GOOD, "b.saga": "let m = Money(amount: 1)\nlet n = price\nlet o = m\n"}
        | {"a.saga": GOOD + "let price = 5\n"},
    )
    assert [d.name for d in loaded.diagnostics] == ["unknown-name", "unknown-name"]
    for found in loaded.diagnostics:
        assert found.message.endswith("is declared in a file that this one does not import")
        assert found.secondary[0].span.file == "a.saga"


def test_mistake_in_an_imported_file_is_told_there() -> None:
    loaded = load_text('import "a.saga"\n', "main.saga", {"a.saga": "record A { x: itn }\n"})
    assert [d.span.file for d in loaded.diagnostics] == ["a.saga"]


def test_long_chain_of_imports_is_refused_with_a_place() -> None:
    files = {f"f{i}.saga": f'import "f{i + 1}.saga"\n' for i in range(400)}
    loaded = load_text('import "f0.saga"\n', "main.saga", files)
    assert [d.name for d in loaded.diagnostics] == ["nested-too-deeply"]


@pytest.mark.parametrize(
    ("link", "end"),
    [
        ("type T{} = T{}", "type T{} = int"),
        ("let t{} = t{}", "let t{} = 1"),
        ("policy t{} extends t{} {{ }}", "policy t{} {{ timeout 1s }}"),
        ("record T{} {{ x: T{} }}", "record T{} {{ x: int }}"),
        ('saga T{}(x: string) {{ id x step saga T{}("y") }}', "saga T{}(x: string) {{ id x }}"),
    ],
)
def test_endless_chains_of_declarations_never_raise(link: str, end: str) -> None:
    count = 1500
    text = "\n".join([link.format(i, i + 1) for i in range(count)] + [end.format(count)])
    assert {d.name for d in load_text(text).diagnostics} <= {"nested-too-deeply"}


def test_many_ways_through_records_are_walked_once() -> None:
    rows = [f"record R{i} {{ a: R{i + 1}, b: R{i + 1} }}" for i in range(40)]
    rows.append("record R40 { x: secret string }")
    rows.append("service S { command a(r: R0) idempotent }")
    assert names_of("\n".join(rows)) == []


# --- allow comments ----------------------------------------------------------------------------


def test_allow_silences_the_next_line_only() -> None:
    text = '// saga: allow(unused-name) "later"\nerror A\nerror B\nsaga S(x: string) { id x }\n'
    found = load_text(text).diagnostics
    assert [(d.name, d.span.start) for d in found] == [("unused-name", text.index("B"))]


def test_allow_comments_may_stand_above_each_other() -> None:
    text = (
        '// saga: allow(unused-name) "later"\n'
        "// and a word about it\n"
        '// saga: allow(unreachable) "later"\n'
        "error A\nsaga S(x: string) { id x }\n"
    )
    assert names_of(text) == ["unused-allow"]


def test_an_error_cannot_be_allowed() -> None:
    text = '// saga: allow(missing-id) "no"\nsaga S(_x: string) { }\n'
    assert sorted(names_of(text)) == ["missing-id", "unused-allow"]


# --- what is told, and what only follows from it -----------------------------------------------

PRE = """
error E, F
service T {
  with guarded
  command r(x: string) -> { v: string? } keyed, records rejections rejects E, F compensate u(key)
  command u(of: key) idempotent, absent ok, fences late
  command p(x: string) keyed
  command raw(x: string) compensate undo(x)
  command undo(x: string) idempotent, absent ok, fences late
  query q(x: string) -> { n: int }
}
policy few { timeout 1s retry 2 times backoff 1s jitter full }
policy guarded { timeout 1s breaker opens at 50% of at least 20 calls in 30s, probes after 10s }
saga Child(x: string) { id x deadline 1h step T.r(x) }
"""


def names_in_saga(body: str, head: str = "saga A(x: string)") -> list[str]:
    return names_of(f"{PRE}{head} {{ id x\n{body}\n}}\n")


@pytest.mark.parametrize(
    "body",
    [
        "step r = T.r(x) if r.v == null { abort E } step T.q(r.v)",
        "step r = T.r(x) if r.v == null or len(r.v) > 3 { abort E } step T.q(r.v)",
        "step r = T.r(x) if r.v != null and len(r.v) > 3 { step T.q(r.v) }",
        "step r = T.r(x) if not (r.v == null) { step T.q(r.v) }",
        'step r = T.r(x) step T.q(if r.v != null then r.v else "")',
        "attempt { step r = T.r(x) } on E, F { abort E } step T.q(r.v ?? x)",
        'pivot step T.p(x) attempt { step T.q(["a"][1]) } on BadValue { step T.p(x) }',
        "pivot step T.p(x) attempt { step T.q(x) abort E } on E { step T.p(x) }",
        "attempt { pivot step T.r(x) } on E, F { pivot step T.p(x) } step T.p(x)",
        'attempt { step T.r(x) else escalate "t" } on NotDone { }',
        "attempt { pivot step T.p(x) with few } on NotSent, CircuitOpen, Throttled { }",
        "attempt { step saga Child(x) } on DeadlineExceeded, E { }",
    ],
)
def test_right_sagas_are_clean(body: str) -> None:
    assert set(names_in_saga(body)) <= {"unused-name"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("return 1", "misplaced-return"),
        ("step T.p(y: x) best effort", "unknown-argument"),
        ("pivot step T.p(x) step T.r(x)", "rejectable-after-pivot"),
        ('step T.q(x) compensate T.u("k")', "misplaced-clause"),
        ('step T.q(x) best effort else escalate "t"', "misplaced-clause"),
        ("parallel { step T.q(x) return nothing }", "misplaced-return"),
        ("abort E step T.q(x)", "unreachable"),
        ("step r = T.rr(x) step T.q(r.v.w)", "unknown-name"),
        ("for y in ys { step T.q(y.z) }", "unknown-name"),
        ("when compensated { step T.p(x) }", "misplaced-clause"),
        ("if T { step T.q(x) }", "unknown-name"),
        ("step r = T.r(x) if r.v == null { step T.q(r.v) }", "type-mismatch"),
        ("step r = T.r(x) if r.v != null { sleep 1s } step T.q(r.v)", "type-mismatch"),
        ("step r = T.r(x) if r.v == null or x == x { step T.q(r.v) }", "type-mismatch"),
        ("pivot step T.p(x) attempt { step T.raw(x) } on BadValue { }", "unresolvable-outcome"),
        ('if x == "a" { pivot step T.p(x) } step T.raw(x)', "unresolvable-outcome"),
        ("parallel { abort E step T.q(x) } step T.q(x)", "unreachable"),
    ],
)
def test_one_mistake_is_one_message(body: str, name: str) -> None:
    quiet = ("unused-name", "needless-handler")
    found = [n for n in names_in_saga(body) if n not in quiet]
    expected = [name, "unknown-name"] if "nothing" in body else [name]
    assert found == expected
