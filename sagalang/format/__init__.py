"""The canonical layout of a `.saga` text; comments survive it."""
