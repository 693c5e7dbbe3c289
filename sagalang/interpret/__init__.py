"""Runs checked programs: drives the saga machine on an engine. See `run`."""
