"""From the journal of one run to its sequence diagram: what really happened."""

from sagalang.render.journal.drawing import LateArrival, Shown, model

__all__ = ["LateArrival", "Shown", "model"]
