"""What `saga compile` would do to the files on disk: read and compared, not yet written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from sagalang.compile import INIT, GeneratedFile
from sagalang.compile.seal import Origin, origin, same, source_of


@dataclass(frozen=True, slots=True)
class Found:
    """A file: what it should hold (None: no longer made), what it holds (None: it is missing).

    `only_there`: whatever it holds is right.
    """

    path: Path
    wanted: str | None
    text: str | None
    only_there: bool = False

    @property
    def state(self) -> str:
        """`same`, `missing`, `differs`, `no longer made`."""
        if self.wanted is None:
            return "no longer made"
        if self.text is None:
            return "missing"
        return "same" if self.only_there or same(self.text, self.wanted) else "differs"

    @property
    def in_the_way(self) -> str:
        """Why this file may not be overwritten unasked; empty if it may."""
        if self.state != "differs" or self.text is None:
            return ""
        match origin(self.text):
            case Origin.EDITED:
                return "was edited by hand since it was made"
            case Origin.FOREIGN:
                return "was not made by `saga compile`"
            case Origin.MADE:
                return ""


def compare(
    folder: Path, files: Sequence[GeneratedFile], others: Mapping[str, str], *, tests: bool
) -> list[Found]:
    """What is to be made beside what the folders hold. Raises OSError.

    `others`: files that an earlier layout had, and what they were made from, as `package_files`
    gives them. `tests`: whether tests are made; if not, those in the folders are left out.
    """
    made = [
        Found(path, file.text, _read(path), only_there=not file.source)
        for file in files
        for path in (folder / file.path,)
    ]
    wanted = {found.path for found in made}
    sources = {file.source for file in files} - {""}
    near = {path for place in {path.parent for path in wanted} for path in place.glob("*.py")}
    left = dict.fromkeys(near, sources)
    left |= {folder / name: {source} for name, source in others.items()}
    return [
        *made,
        *_abandoned(
            (path, left[path])
            for path in sorted(left.keys() - wanted)
            if tests or not path.name.startswith("test_")
        ),
    ]


def difference(found: Found) -> str:
    """A unified difference of what is there and what would be; empty where they are the same."""
    if found.wanted is None or found.state == "same":
        return ""
    old, new = found.text or "", found.wanted
    name = str(found.path)
    before = "/dev/null" if found.text is None else name
    lines = unified_diff(_lines(old), _lines(new), before, f"{name} (compiled)")
    return "".join(lines)


def _abandoned(places: Iterable[tuple[Path, Collection[str]]]) -> list[Found]:
    """Those that were made from one of the sources beside them; the empty one is of `INIT`."""
    found = []
    for path, sources in places:
        try:
            text = _read(path)
        except OSError:
            continue  # not ours to judge
        if text is not None and ("" if same(text, INIT) else source_of(text)) in sources:
            found.append(Found(path, None, text))
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
