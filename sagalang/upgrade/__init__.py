"""What becomes of running sagas when their definition changes.

A run is rebuilt from its journal. So a position of a run is safe under a new definition exactly
where that could have led to the same journal and the same requests: from there on the run is one
of the new definition, and all that was checked of it holds. `reach` says which statements each
position has come to, `compare` what differs in them.
"""

from sagalang.upgrade.compare import compare
from sagalang.upgrade.findings import Change, Kind, Position, SagaUpgrade, Verdict

__all__ = ["Change", "Kind", "Position", "SagaUpgrade", "Verdict", "compare"]
