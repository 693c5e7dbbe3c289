"""sagalang: a language for sagas."""

__version__ = "0.1.0"
