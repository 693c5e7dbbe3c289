"""Planted miscompilations: edits of the compiler's source that the equivalence test must notice."""
