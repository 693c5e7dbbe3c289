"""A folder with sagas, their services in Python, and the `saga` commands in processes of their own.

What the services did stands in files: `calls`, a line for each, and `effects`, a line for each key.
`hold-NAME` keeps the call of that name from being answered, `down-NAME` lets it fail.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import warm

SERVICES = """
import time
from pathlib import Path

def do(name, key):
    with open("calls", "a") as file:
        file.write(name + "\\n")
    while Path("hold-" + name).exists():
        time.sleep(0.01)
    if Path("down-" + name).exists():
        raise RuntimeError("down")
    line = name + " " + key + "\\n"
    with open("effects", "a+") as file:
        file.seek(0)
        if line not in file.readlines():
            file.write(line)
    return {"at": "there"}

def pay(name, card, key):
    return do(name, key)

def hush(name, key):
    do(name, key)

def undo(of):
    with open("calls", "a") as file:
        file.write("undo\\n")
"""

SAGAS = """
event Review { verdict: string, by: string }
error Late
policy firm { timeout 20s  retry 1 times backoff 10ms jitter none "a test" }
service S {
  python "operated_services"
  with firm
  command do(name: string) -> { at: string } keyed compensate undo(key)
  command pay(name: string, card: secret string) -> { at: string } keyed compensate undo(key)
  command hush(name: string) keyed compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
saga Reviewed(id: string) {
  id id
  step S.do("take")
  wait review: Review within 1h else abort Late
  step S.do("send")
}
saga Stuck(id: string) {
  id id
  step S.do("take")
  step S.do("send") else escalate "ops"
  step S.do("tell")
}
saga Twice(id: string) {
  id id
  for name in ["red", "blue"] by name, 2 at once {
    step S.do(name) else escalate "ops"
  }
}
saga Parent(id: string) {
  id id
  step saga Child()
  step S.do("tell")
}
saga Child() {
  step S.do("send") else escalate "ops"
}
saga Sure(id: string) {
  id id
  pivot step S.do("take")
  wait review: Review within 1h else escalate "ops"
}
saga Valued(id: string) {
  id id
  step x = S.do("send") else escalate "ops"
  step S.do(x.at)
}
saga Quiet(id: string) {
  id id
  step S.hush("quiet") else escalate "ops"
}
saga Paid(id: string, card: secret string) {
  id id
  step S.pay("pay", card)
  wait review: Review within 1h else abort Late
}
"""


class Operated:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "operated_services.py").write_text(SERVICES)
        (folder / "all.saga").write_text(SAGAS)

    def saga(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return warm.run("saga", *arguments, cwd=self.folder, env={"SAGA_DB": "j.db", **env})

    def begin(self, *arguments: str, **env: str) -> warm.Started:
        env = {"SAGA_DB": "j.db", **env}
        return warm.Started("saga", *arguments, cwd=self.folder, env=env)

    def run(self, saga: str, run_id: str = "o-1", **env: str) -> warm.Started:
        return self.begin("run", "all.saga", saga, "--input", f'{{"id": "{run_id}"}}', **env)

    def escalate(self, saga: str, *down: str, run_id: str = "o-1") -> None:
        """Run one whose steps of these names fail, and let those work again."""
        for name in down:
            (self.folder / f"down-{name}").touch()
        with self.run(saga, run_id) as process:
            assert process.wait(30) == 1
        for name in down:
            (self.folder / f"down-{name}").unlink()
        (self.folder / "calls").unlink()

    def killed(self, saga: str, held: str, run_id: str = "o-1") -> None:
        """Begin one, and kill it while the step of this name is being done."""
        (self.folder / f"hold-{held}").touch()
        before = self.calls.count(held)
        with self.run(saga, run_id):
            until(lambda: self.calls.count(held) > before)
        (self.folder / f"hold-{held}").unlink()

    @property
    def calls(self) -> list[str]:
        return _lines(self.folder / "calls")

    @property
    def effects(self) -> list[str]:
        """The names of what was done, each key once."""
        return [line.split()[0] for line in _lines(self.folder / "effects")]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
