"""Ships prebuilt parse tables in the wheel, so that no user waits for the grammar to compile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TablesHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # the tables are then made on first use, and follow the grammar as it changes
        root = Path(self.root)
        sys.path.insert(0, str(root))
        try:
            from sagalang.syntax import tables
        finally:
            sys.path.remove(str(root))
        target = self._target()
        grammar = (root / "grammar" / "saga.lark").read_text(encoding="utf-8")
        target.write_bytes(tables.build(grammar))
        build_data["artifacts"].append("sagalang/syntax/saga.tables")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._target().unlink(missing_ok=True)  # a source tree makes its own

    def _target(self) -> Path:
        return Path(self.root) / "sagalang" / "syntax" / "saga.tables"
