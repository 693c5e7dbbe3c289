"""The shop's saga as one writes it without sagalang, to compare with what it compiles to."""
