"""Many files together: reading, imports, and the stages in their order."""

from sagalang.workspace.load import Loaded, load, load_text

__all__ = ["Loaded", "load", "load_text"]
