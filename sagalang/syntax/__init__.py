"""Text to syntax tree. The only importer of lark, and only where a text is really parsed."""
